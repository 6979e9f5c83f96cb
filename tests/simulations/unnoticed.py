"""Numbers in the theory's formulas whose change no measurement can notice: part of the line -> why; "entry: part" where
it holds for one entry alone.

Only iterations that correct themselves, guards of rounding, and moments that enter no mean have a place here.
"""

_NEWTON = "a Newton step: a slope that is off converges to the same root"

UNNOTICED: dict[str, str] = {
    # softmax, jump chain and flow
    "z = np.arcsinh(size / 2.0)": "the start of Newton's iteration",
    "total = 2.0 * start": "the start of Newton's iteration, polished below in its own equation",
    "z = z - (2.0 * z + 2.0 * np.sinh(z) - size)": _NEWTON,
    "rise = np.maximum(rise - value / (2.0": _NEWTON,
    "trim_high = max(_TRIM_HIGH": "a guard of denormal numbers",
    '"rollouts": 1,': "a record of the arguments",
    # several rare correct arms
    "log_below = min(log_peak - 0.5": "a guess that sets the spacing of a sum, which is right at any fine spacing",
    "each = np.log1p(w) if order < 0": "where the path of an integral runs, which any path gives",
    "spacing = 2.0 * math.pi * tilt": "the spacing of a sum that is right at any fine spacing",
    # groups of rollouts
    "chunk = max(_MOST_TERMS": "how many sums are held in memory at once",
    # classic bounds
    # many arms
    "np.log1p(-np.minimum(share, 0.5))": "a guard of the branch that is not taken",
    # sequences and language models
    **{
        f"{entry}: {part}": "a moment of the spread, which pg_jump_single's own cases see; this entry's see the mean"
        for entry in ("rft_predict", "kappa_fit", "prefix_tree_jump", "ppo_jump_single")
        for part in ("value_third[t] = deviation**2", "second += deviation * (2.0")
    },
    # many prompts
}
