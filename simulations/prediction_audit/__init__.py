"""Held against real runs: the half-time that each law predicts before a fine-tuning run, and the one that is measured.

    bandit-rft simulate prediction-audit --tier tiny --out runs/prediction-audit
    python -m simulations.prediction_audit.page --run runs/prediction-audit      writes the page
    bandit-rft figures prediction_half_times --run runs/prediction-audit --out docs

Questions are drawn by a rule that was written before any run of them: every question of the first `scanned` training
questions of a task is measured with `scan_samples` responses; in each bin of p0 the first `per_bin` questions in order
are taken, without those on which the law was developed (`DEVELOPED`). Each is then measured anew, from fresh responses,
and every condition of the tier is run on it, with seeds that none of the measurements used.

The half-time is the round at which the mean reward over seeds, made monotone (isotonic regression), is at one half; and
at three quarters where the question starts too near one half, or is expected there after fewer than five successes of a
seed, for that to test a law. Its interval is a bootstrap over seeds. The stated 80% interval of the tree law is that of
the same estimator on runs drawn from the law, each from a tree of resampled responses: what 16 seeds would show if the
law held.

Of a question that no measured response is right on there is no such law. Its wait for the first success is predicted
(`theory.pulls_to_first_success`), and measured on fresh responses of the model as it is: until then nothing moves it.

What was changed after rows had been seen: (1) a tree was refused wherever it explains less than .8 of the counted p0;
it now takes more than that count's noise. One question of the tiny tier was refused by a count of 61 of 256 where p0 is
.18, as 2,048 fresh responses showed; its rows were then run. (2) Rows whose level came before five successes were run
anew to three quarters. (3) The small tier's questions, as `design.py` says, before any run of it. (4) All rows of one
question had one key, and so shared their chances: three models had a half-time of 24 at the same question and step. The
law seemed early by a tenth, with a standard error that took rows as independent. Each row has a key of its own now (its
`key`), and all were run anew. (5) Causes were looked for by more runs of few seeds, whose noise was as large as what
they looked for; `paths` takes their place, which has none. (6) The page's regime of few successes was told by those
that a run had shown, so that lucky runs stood together in it and were missing elsewhere; it is told by what the law
expects before the run. (7) Under AdamW the law was late in the mean of 29 rows, by .15 ± .06 in log2. A third of it is
shown by runs drawn from the law itself and held against it in the same way (`half_times.shown_by_itself`, now a column
of the page). `adam_paths` has no chance of 16 seeds: there the law was off by .13 in the root mean square at the levels
of these rows, now by .06, and in the mean by .02 ± .02, so that what is left of the bias is mostly chance. The cause is
that Adam goes so far for the same gain that the scores turn; they are now measured once more where it goes. Where that
is was fixed before any row was predicted anew (a way twice as far made no difference on two paths); that a sum over the
chosen weights is scaled by what they have of the gradient was decided after some had been, because the sums at the
start were off by up to 19%. Only predictions are new: runs, half-times and levels stay as they were, and so do the rows
of the small tier. (8) The level was told by the successes that a run had shown (2), so that lucky runs were held at
three quarters; it is told by what the law expects. Seven rows of the tiny tier changed theirs by this and were made
again at the other level, with the same key; no others. (9) The whole tiny tier was then run anew by one command on a
clean clone, with the code as it was by then. It ended once, after 33 rows, for a process holds no more than some 65,000
compiled pieces; that was mended, and it went on where it was. All half-times that had been measured before came out the
same; three predictions moved by a round or two, the intervals under AdamW by a few; and the question with one right
response of 256, which had been refused, has two rows. (10) It was run anew once more when one program measured a
question in a fifth to a quarter of the time. Two questions, with eleven rows, were refused, because products of scores
in single precision gave a squared norm below 0; the products are of double precision now. Those rows were run after
that, the paths and test curves too, and all rows were predicted anew (`audit.predict_again`); all half-times that had
been measured before came out the same.
"""
