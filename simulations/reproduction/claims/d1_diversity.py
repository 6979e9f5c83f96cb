"""NSR keeps diversity (arXiv 2506.01347): 20 correct among 200 arms, one rollout a round, step .5."""

from bandit_rft.experiments import Claim, Outcome
from simulations.reproduction.experiments import diversity

CLAIM = Claim(
    id="D1 diversity",
    statement="Learning from failures alone spreads over the correct arms, where from successes alone one takes over.",
    source="NSR, arXiv 2506.01347",
    experiments=(diversity,),
    effect="effective number of 20 correct arms after the run, failures alone less successes alone",
    measure=lambda results: results.paired(diversity, "failures alone", "successes alone", Outcome.diversity),
    direction="above",
    threshold=10.0,
    # A correct arm has the signal 0 under NSR, so that all 20 stay alike; under PSR Pólya's urn leaves about one.
    expected=lambda: {"all": 19.0},
    tiers=("simulation",),
)
