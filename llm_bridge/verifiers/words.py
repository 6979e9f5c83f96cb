"""Words and figures among MATH answers: names of things, and angles and segments by the letters of their points."""

from __future__ import annotations

import re

from llm_bridge.verifiers import vocabulary
from llm_bridge.verifiers.leads import CONNECTIVES, says_what_follows
from llm_bridge.verifiers.values import values_of

_FIGURE = re.compile(
    r"\\(angle|measuredangle|overline|bar|triangle|overrightarrow|overleftrightarrow|overarc|widehat|vec)"
    r"(?![a-zA-Z])\s*\{?\s*([A-Z]{2,4})\s*\}?"
)


def figures(gold: str, answer: str) -> bool | None:
    """Angles, segments, triangles and the like by the letters of their points, which math-verify takes for factors:
    \\angle ABC is \\angle CBA and not \\angle BCA; of a triangle any order will do, and of a vector none other.
    """
    one, other = _FIGURE.fullmatch(gold), _FIGURE.fullmatch(answer)
    if one is None or other is None:
        return None
    if one[1] != other[1]:
        return None
    if one[1] == "triangle":
        return sorted(one[2]) == sorted(other[2])
    turned = one[1] not in ("overrightarrow", "vec")
    return one[2] == other[2] or (turned and one[2] == other[2][::-1])


_WORDS = re.compile(r"[A-Za-z0-9 ,.'()&/-]*")
_LETTERS = re.compile(r"[A-Za-z ,]*")
_OPTION = re.compile(r"(?<![a-z0-9)])\(\s*([a-z])\s*\)")
_ARTICLE = re.compile(r"^\s*(?:an?|the)\s+(?=[a-z]{2})")
_VERB = re.compile(r"(?:\bis|\bare|:)\s+(?=[a-z])")
# What a sentence says of the thing that it begins with: "Evelyn has the greatest speed", "odd function".
_SAID_OF = re.compile(
    r"\s(?:has|had|have|is|was|ran|won)\sthe\s(?:[a-z]+est|most)\b[a-z' -]*\.?|\s(?:function|number|integer)s?\.?"
)
_COMPARES = re.compile(r"\b(?:and|or|but|than|other|same|while|if)\b")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
# What is seen of a word: letters, digits and signs, a point between digits, an apostrophe behind a lone letter.
_SEEN = re.compile(r"[a-z0-9/()&-]|(?<=\d)\.(?=\d)|(?<=\b[a-z])'")


def _word(text: str) -> list[str] | None:
    """The words of an answer that is nothing but words, in lower case, by commas; None for any other."""
    bare = _said(_lower(text))
    if not _WORDS.fullmatch(bare) or not re.search(r"[a-z]", bare):
        return None
    bare = _ORDINAL.sub("", bare)
    if bare.startswith("(") and bare.endswith(")") and "(" not in bare[1:] and ")" not in bare[:-1]:
        bare = bare[1:-1]
    parts = ["".join(_SEEN.findall(part)) for part in bare.split(",")]
    return [part for part in parts if part]


def _lower(text: str) -> str:
    """An answer in lower case without the marks of text, the brackets of options, and the braces of a set."""
    bare = text.replace("\\text", " ").strip()
    if _is_set(bare):
        bare = bare[2:-2]
    bare = bare.replace("{", " ").replace("}", " ").replace("\\&", "&")
    return _OPTION.sub(r"\1", bare.casefold().strip())


def _is_set(text: str) -> bool:
    return text.startswith("\\{") and text.endswith("\\}")


def _said(bare: str) -> str:
    """What a sentence in lower case says, without what leads to it: "odd" of "the function is odd"."""
    bare = CONNECTIVES.sub("", bare)
    for verb in _VERB.finditer(bare, 0, 100):
        if says_what_follows(bare[: verb.end()].strip()):
            bare = bare[verb.end() :]
            break
    return _ARTICLE.sub("", bare)


def _said_of(gold: str, answer: str) -> bool:
    """Whether a sentence begins with what the ground truth names, and only says what that is or has."""
    name, sentence = _said(_lower(gold)), _lower(answer)
    if len(name) < 3 or not name.replace(" ", "").isalpha():
        return False
    for whole in (sentence, _said(sentence)):
        behind = whole[len(name) :]
        if whole.startswith(name) and _SAID_OF.fullmatch(behind):
            return vocabulary.leads(behind) and not _COMPARES.search(behind)
    return False


def words(gold: str, answer: str) -> bool | None:
    """Words are equal as they are spelt, whatever capitals, spaces, articles and periods; a list of letters in any
    order; a sentence is what it says that the answer is. Text is not compared with mathematics, save letter by letter:
    \\text{ACF} is ACF, while xy is yx by math-verify. What holds anything but letters and is not marked as text is
    mathematics: 5(x-2) is not 5x-2.
    """
    one, other = _word(gold), _word(answer)
    texts = "\\text" in gold, "\\text" in answer
    if one and other:
        letters = _LETTERS.fullmatch(gold) and _LETTERS.fullmatch(answer)
        if one == other and (any(texts) or (letters and len("".join(one)) > 1)):
            return True
        point = any(text.startswith(("(", "[")) for text in (gold, answer))  # (a,b) is not (b,a)
        if len(one) > 1 and all(len(word) == 1 and word.isalpha() for word in one + other):
            in_order = one == other and not _is_set(gold) and not _is_set(answer)
            return in_order if point else sorted(one) == sorted(other)
        if texts[0] and len(one) > len(other) == 1 and len("".join(one)) == len(one) and not point:
            return "".join(one) == other[0]  # ACF, of a list of letters
        if texts[0] and texts[1] and _said_of(gold, answer):
            return True
        if texts[0] and (texts[1] or len("".join(one)) > 1):
            return False
        if len(one) == len(other) == 1 and len(one[0]) == len(other[0]) == 1 and (letters or one != other):
            return one == other
    if one is not None and texts[0] and values_of(answer, every=False) is not None:
        return False
    if other is not None and texts[1] and values_of(gold, every=True) is not None:
        return False
    return None
