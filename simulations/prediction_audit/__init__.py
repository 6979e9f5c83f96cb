"""Held against real runs: the half-time that each law predicts before a fine-tuning run, and the one that is measured.

    bandit-rft simulate prediction-audit --tier tiny --out runs/prediction-audit
    python -m simulations.prediction_audit.page --run runs/prediction-audit      writes the page
    bandit-rft figures prediction_half_times --run runs/prediction-audit --out docs

Questions are drawn by a rule that was written before any run of them: every question of the first `SCANNED` training
questions of a task is measured with `SCAN_SAMPLES` responses; in each bin of p0 the first `PER_BIN` questions in order
are taken, without those on which the law was developed (`DEVELOPED`). Each is then measured anew, from fresh responses,
and every condition of `CONDITIONS` is run on it, with seeds that none of the measurements used.

The half-time is the round at which the mean reward over seeds, made monotone (isotonic regression), is at one half; and
at three quarters where the question starts too near one half for that to test a law. Its interval is a bootstrap over
seeds. The stated 80% interval of the tree law is that of the same estimator on runs drawn from the law, each from a
tree of resampled responses: what 16 seeds would show if the law held.
"""
