"""`help()` of every public name says something of its own, and shows how it is used; the examples run as doctests."""

import inspect
import re
from importlib import import_module

import pytest

ROOMS = ("arms", "learners", "policies", "verifiers", "signals", "objectives", "regret", "theory", "plots")
MODULES = ("bandit_rft", "llm_bridge", *(f"bandit_rft.{name}" for name in ROOMS))
# What a documented function returns, what it raises, and protocols: their attributes are the documentation.
RETURNED = {
    *("Evaluation", "Evaluator", "LanguageModel", "Measurement", "Measuring", "QuestionRollouts", "Rollouts", "Run"),
    *(
        "Band",
        "Growth",
        "HittingTime",
        "ColdStart",
        "ContextsPrediction",
        "Curves",
        "Entry",
        "Law",
        "Summary",
        "Takeover",
    ),
    *("ForestSample", "LearnerComparison", "LearnerDifference", "LogVerdict"),
    *("ManyArmedExponents", "ReservoirExponents", "UpdateMoments", "Signal"),
    *("TokenPolicy", "TokenPolicyFactory", "Verifier", "Prior"),
}
# Steps of the loops, and what takes a fine-tuning run to show: snippets of the README and the pages call these.
SHOWN_ELSEWHERE = {"named", "QuestionArms", "evaluate", "finetune", "measure", "windowed", "slid", "tree_transfer"}


def _public() -> list[tuple[str, str, object]]:
    named = []
    for name in MODULES:
        module = import_module(name)
        own = [k for k, v in vars(module).items() if k[0] != "_" and getattr(v, "__module__", "") == name]
        named += [(name, one, getattr(module, one)) for one in getattr(module, "__all__", own)]
    return [entry for entry in named if inspect.isclass(entry[2]) or inspect.isfunction(entry[2])]


PUBLIC = _public()


@pytest.mark.parametrize(("module", "name", "value"), PUBLIC, ids=lambda value: value if isinstance(value, str) else "")
def test_a_public_name_has_a_docstring_of_its_own(module: str, name: str, value: object) -> None:
    """Catches a dataclass whose docstring is its signature, and a function without one."""
    text = vars(value).get("__doc__") or "" if inspect.isclass(value) else inspect.getdoc(value) or ""
    assert len(text.split()) > 2, f"{module}.{name}"
    assert not re.match(rf"{name}\([^)]*: ", text), f"{module}.{name}"  # what `dataclass` writes where there is none


@pytest.mark.parametrize(("module", "name", "value"), PUBLIC, ids=lambda value: value if isinstance(value, str) else "")
def test_a_public_name_that_is_called_shows_an_example(module: str, name: str, value: object) -> None:
    """Catches a learner, an arm set or an entry of the theory that was added without one."""
    raised = inspect.isclass(value) and issubclass(value, Exception)
    helper = name.startswith("check_") or name in SHOWN_ELSEWHERE or module == "bandit_rft.plots"
    if not raised and not helper and name not in RETURNED:
        assert "Example:" in (inspect.getdoc(value) or ""), f"{module}.{name}"
