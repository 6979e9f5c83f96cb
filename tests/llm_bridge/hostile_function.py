"""A user's verifier, as `--verifier file.py:function` takes it."""


def equal(text: str, answer: str) -> float:
    return float(text.strip() == answer)


def broken(text: str, answer: str) -> float:
    raise ZeroDivisionError("no\nway")


def nothing(text: str, answer: str) -> None:
    return None


number = 3
