"""The page's table of learners × arm sets is the code's own, and complete. Catches a learner or arm set that was
added, or whose refusals changed, without the table.
"""

from pathlib import Path

import pytest

from bandit_rft import arms, learners
from simulations import support_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "learners-and-arms.md"
NO_ARM_SETS = {"Beta", "Prior", "TwoPoint", "zipf_log_mass"}


def test_every_learner_and_arm_set_has_its_place() -> None:
    assert set(support_table.LEARNERS) == set(learners.__all__)
    assert set(support_table.ARM_SETS) == set(arms.__all__) - NO_ARM_SETS


def test_the_page_shows_the_table() -> None:
    if not PAGE.exists():
        pytest.skip("no docs beside the tests")
    assert support_table.table() in PAGE.read_text(), "paste `python -m simulations.support_table` into the page"
