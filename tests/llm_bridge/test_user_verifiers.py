"""A user's own verifier that misbehaves: one sentence that names the function, whatever it returns or raises."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from bandit_rft.errors import InputError
from llm_bridge import verifiers
from llm_bridge.bandits.text_rewards import score, score_each

RETURNS = {
    "huge": "10 ** 400",
    "more_digits_than_python_writes": "10 ** 5000",
    "beyond_float32": "1e300",
    "a_list": "[1.0]",
    "long_list": "list(range(100_000))",
    "nothing": "None",
    "a_text": "'1.0'",
    "some_bytes": "b'1'",
    "not_a_number": "float('nan')",
    "infinite": "float('-inf')",
    "a_complex": "1 + 0j",
    "an_array": "__import__('numpy').ones(1)",
    "a_class": "Odd()",
}
RAISES = {
    "exits": "raise SystemExit(3)",
    "raises_what_is_no_exception": "raise BaseException('odd')",
    "recurses": "return recurses(text, answer)",
    "no_memory": "raise MemoryError",
    "odd_error": "raise OddError",
    "asserts": "assert False, 'no'",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    odd = (
        "class Odd:\n    def __float__(self):\n        raise RuntimeError('no')\n    __repr__ = __float__\n"
        "class OddError(Exception):\n    def __str__(self):\n        raise RuntimeError('no')\n"
    )
    functions = [f"def {name}(text, answer):\n    return {value}\n" for name, value in RETURNS.items()]
    functions += [f"def {name}(text, answer):\n    {body}\n" for name, body in RAISES.items()]
    path = tmp_path_factory.mktemp("mine") / "mine.py"
    path.write_text(odd + "".join(functions))
    return str(path)


@pytest.mark.parametrize("name", [*RETURNS, *RAISES])
def test_what_is_no_reward_ends_in_one_sentence_with_the_functions_name(source: str, name: str) -> None:
    """Catches OverflowError, SystemExit and the like that pass through, a text that is read as a number, a class's name
    in the function's place, and a value that is printed at length."""
    with pytest.raises(InputError) as found:
        score(verifiers.make(f"{source}:{name}", "7"), ["fine"])
    said = str(found.value)
    assert f"mine.py:{name} " in said
    assert "make it return a float" in said
    assert "\n" not in said
    assert len(said) < len(source) + 250


def test_ctrl_c_within_a_verifier_stays_ctrl_c(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def waits(text, answer):\n    raise KeyboardInterrupt\n")
    with pytest.raises(KeyboardInterrupt):
        score(verifiers.make(f"{tmp_path / 'mine.py'}:waits", "7"), ["fine"])


def test_a_file_that_exits_when_it_is_imported_is_a_sentence(tmp_path: Path) -> None:
    """Catches a command that ends without a word, with the exit code of a script that is no module."""
    (tmp_path / "script.py").write_text("import sys\nsys.exit(0)\n")
    with pytest.raises(InputError, match=r"script.py cannot be imported .SystemExit"):
        verifiers.make(f"{tmp_path / 'script.py'}:score", "7")


@pytest.mark.parametrize("right", [1, True, np.float32(1), np.ones(()), jnp.ones(()), jnp.bfloat16(1), np.bool_(True)])
def test_scalars_of_any_library_are_numbers(right: Any) -> None:
    np.testing.assert_array_equal(score(lambda text: right, ["a", "b"]), np.ones(2, np.float32))


def test_many_gives_a_list_of_numbers_or_a_sentence() -> None:
    class Mine:
        def __init__(self, given: Any) -> None:
            self.given = given

        def __call__(self, text: str) -> float:
            raise AssertionError(text)

        def many(self, texts: list[str]) -> Any:
            return self.given(len(texts))

    def rewards(given: Any) -> Any:
        return score_each([Mine(given)] * 3, ["a", "b", "c"])

    for given in (np.ones, jnp.ones, lambda n: [1] * n, lambda n: (1.0 for _ in range(n)), lambda n: (True,) * n):
        one = Mine(given)
        np.testing.assert_array_equal(score_each([one] * 3, ["a", "b", "c"]), np.ones(3, np.float32))
    wrong = (lambda n: {0.0, 1.0, 2.0}, lambda n: dict.fromkeys(range(n), 1.0))  # in no order, and keys for rewards
    for given in (lambda n: None, lambda n: 1.0, lambda n: "111", lambda n: [1.0] * 5, lambda n: [[1.0]], *wrong):
        with pytest.raises(InputError, match=r"Verifier Mine gave"):
            rewards(given)
