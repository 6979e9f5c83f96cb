"""Numbers in the theory's formulas whose change no measurement can notice: part of the line -> why; "entry: part" where
it holds for one entry alone.

Only iterations that correct themselves, guards of rounding, and moments that enter no mean have a place here.
"""

_NEWTON = "a Newton step: a slope that is off converges to the same root"

UNNOTICED: dict[str, str] = {
    "snr2: scale = np.full_like(right": "a factor of all signals of a group, which a ratio of signal to noise has not",
    "snr2: sets = log_binomial(others": "a factor of all signals of a group, which a ratio of signal to noise has not",
    # softmax, jump chain and flow
    "z = np.arcsinh(size / 2.0)": "the start of Newton's iteration",
    "total = 2.0 * start": "the start of Newton's iteration, polished below in its own equation",
    "z = z - (2.0 * z + 2.0 * np.sinh(z) - size)": _NEWTON,
    "rise = np.maximum(rise - value / (2.0": _NEWTON,
    "trim_high = max(_TRIM_HIGH": "a guard of denormal numbers",
    '"rollouts": 1,': "a record of the arguments",
    "early = np.unique(np.concatenate([np.arange(1000)": "which of very many rounds are shown",
    "count = math.ceil(_A_DECADE * math.log10": "which of very many rounds are shown",
    # rewards that come late
    "pg_delayed: start, end = ": "where the last of the flow's steps ends",
    "pg_delayed: length = max(": "the flow's steps, which are right at any short length",
    "pg_delayed: slopes = [0.0, float": "the flow's first slope, of a step's length only",
    "pg_delayed: times, logits, slopes = [0.0": "the slope of the first step alone",
    "pg_delayed: bend = ": "the curve between two near nodes",
    "pg_delayed: return course(": "one round of a million",
    # two arms at a constant step
    "low = high = (best - other)": "where the search for a root's bracket begins",
    "low /= 2.0": "how fast the bracket widens",
    "high *= 2.0": "how fast the bracket widens",
    # best-arm identification
    "high = 1.0": "where the search for a root's bracket begins",
    # several rare correct arms
    "log_below = min(log_peak - 0.5": "a guess that sets the spacing of a sum, which is right at any fine spacing",
    "each = np.log1p(w) if order < 0": "where the path of an integral runs, which any path gives",
    "spacing = 2.0 * math.pi * tilt": "the spacing of a sum that is right at any fine spacing",
    # groups of rollouts
    "chunk = max(_MOST_TERMS": "how many sums are held in memory at once",
    'if signal == "pass_at_k" else 1': "a k that other signals than pass_at_k do not read",
    "terms = min(terms, math.ceil(": "a large group's terms, held to all of them in test_theory_groups",
    "first = np.clip(np.floor(rollouts": "a large group's terms, held to all of them in test_theory_groups",
    "some = np.where(log_q == 0.0": "a guard of the branch that is not taken",
    "others = np.where(enough, wrong": "a guard of the branch that is not taken",
    "bend = (self.k - 1)": "the width of panels, which are right at any short width",
    "return rise + _PANEL / max(1.0": "the width of panels, which are right at any short width",
    "window / max(window - ddof": "a guard of a window of one score, whose signal is 0",
    "np.sqrt(np.where(alive, variance": "a guard of the branch that is not taken",
    "dynamic_sampling_drift: return k * np.exp": "a signal under which dead groups teach: it is refused",
    'dynamic_sampling_drift: return {"signed"': "a signal, or a group of one, that is refused",
    # classic bounds
    # many arms
    "np.log1p(-np.minimum(share, 0.5))": "a guard of the branch that is not taken",
    # sequences and language models
    **{
        f"{entry}: {part}": "a moment of the spread, which pg_jump_single's own cases see; this entry's see the mean"
        for entry in ("rft_predict", "kappa_fit", "prefix_tree_jump", "ppo_jump_single")
        for part in ("value_third[t] = np.vdot(deviation**2", "second += deviation * (2.0")
    },
    # decisions with a kernel
    "max(count - have, 32)": "how many successes are drawn at once",
    "found[:, n] = np.minimum(right.sum(axis=1), 1.0)": "a guard of rounding",
    "value[:, t] = np.minimum(walks.path @": "a guard of rounding",
    "moved = straight + (gone + ahead / 2)": "scores that turn, held to a policy whose scores do in test_theory_tree",
    "tree_rounds: jump = np.divide": "a moment of the spread that no mean shows",
    **{
        f"tree_transfer: {part}": "Adam has no part in the transfer of plain gradient steps"
        for part in ("decay1 = decay2", "first = beta1", "second = beta2", "direction = first")
    },
    # many prompts
}
