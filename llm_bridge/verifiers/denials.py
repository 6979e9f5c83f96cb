r"""What takes a number back: words of denial and of doubt before it, behind it, and on the line below.

    before("The answer is not ") is True        before("Apples not sold: ") is False        behind(", not 6") is False
    behind(" is wrong") is True                 behind(" apples that are not red") is False

A denial before a number is of that number where nothing parts the two, no sign and no verb: "not 5", "did not sell 5",
but no "apples not sold = 5". One behind it is a verdict: of the number ("5 is wrong"), of what was said ("that's
wrong"), or by itself ("5, no", "5 (wrong)"); wrong answers may be what is counted ("5 answers were wrong").
"""

from __future__ import annotations

import re

_NOT = r"(?:\b(?:no(?!\.? of\b)|not|none|never|cannot|neither|nor|nicht|kein)\b|n't\b)"
# What parts a denial from a number that it does not deny: "the apples that are not sold are 5".
_PARTS = (
    r"(?:is|are|was|were|equals|gives|makes|leaves|totals|costs|has|had|after|he|she|they|we|you|it|i|so|then|but|because|and|which|that|since|as|if"
    r"|when|while|where|who|means|meaning|leaving|therefore|thus|hence|must|needs|there)"
)
_DENIES = re.compile(rf"{_NOT}(?:\W*|(?: +(?!{_PARTS}\b)[^\s.:;,=!?()]++){{1,8}}[ *_$({{]*)$", re.IGNORECASE)
_KNOWS = (
    r"(?:know|sure|certain|clear|enough|think|believe|say|tell|true|find|determined?|solved?|answer|figure|guess"
    r"|possible|correct|right)"
)
_DOUBTS = re.compile(
    rf"(?:{_NOT} (?:[a-z]+ ){{0,2}}?{_KNOWS}\b|\bno (?:answer|solution|idea|way|such|clue)\b"
    r"|\b(?:unknown|undefined|unclear|unsure|uncertain|impossible)\b(?! (?!if\b|whether\b)[a-z]))"
    r"(?!.*\b(?:so|therefore|thus|hence|then|must)\b)",
    re.IGNORECASE,
)
_CONTRASTS = re.compile(
    r"(?:[,;.:(\[–-] ?(?:and |but )?(?:is |it is |it's )?not|\b(?:rather than|instead of))[ *_$(]{1,4}$", re.IGNORECASE
)

_WELL = r"(?:[a-z]+ly |quite |just |also |even |so |very |still |at all ){0,2}"
_ANSWER = (
    r"(?:(?:the |an? |my |our )?(?:right |correct |final |real |actual |true |valid ){0,2}"
    r"(?:answer|solution|result|value|number|amount))"
)
_RIGHT = rf"(?:right|correct|true|valid|possible|accurate|sure|certain|{_ANSWER}|it|so|what (?:we|i|it|was)|richtig)\b"
_WRONG = (
    rf"(?:{_WELL}(?:wrong|incorrect|false|mistaken|(?:an? )?(?:mistake|error)|erroneous|invalid|impossible|inaccurate"
    rf"|untrue|nonsense|unsure|uncertain|falsch|faux|falso|incorrecto)\b(?! (?:answers?|ones?|way))"
    rf"|not {_WELL}{_RIGHT})"
)
_IS = r"(?:(?:'s| is| was| seems| looks| must be| may be| might be| ist| est| es)(?: to be)? "
_VERDICT = (
    rf"(?:{_IS}{_WRONG}|(?: is| was)n't {_WELL}{_RIGHT})|(?: cannot| can't| can not| could not| couldn't)"
    rf" (?:possibly )?be {_WELL}{_RIGHT}|(?: does not| doesn't| did not| didn't| won't| will not) {_WELL}"
    r"(?:work|fit|make (?:any )?sense|add up|seem (?:right|correct)|look (?:right|correct)|count as the answer)\b)"
)
_SAID = (
    r"\b(?:this|that|it|which|(?:the|my) (?:answer|result|number|value|calculation|solution|above|total))"
    r"(?!(?<=it) was)"
)
_UNSURE = (
    r"\b(?:(?:i'm|i am|we're|we are) (?:[a-z]+ ){0,2}?(?:not (?:[a-z]+ )?(?:sure|certain)|unsure|uncertain)"
    r"|i (?:do not|don't|cannot|can't) (?:[a-z]+ )?(?:know|tell|say)|i doubt\b"
    r"|(?:maybe|perhaps|(?<!whether )or) not\b(?! (?:the|a)\b)"
    r"|not sure\b|but (?:maybe|perhaps|possibly|(?:it|this|that) (?:could|might|may))\b)"
)
_ALONE = rf"(?:no|nope|nein|non|(?:is )?{_WRONG})(?= ?[*_]{{0,2}}(?:[,.;:!?)\]…]|$))"
_BEHIND = re.compile(
    rf"^[ *_)}}\]$%°]{{0,6}}(?: ?[a-z]++){{0,2}}?(?<!\bare){_VERDICT}|^[^\w\n]{{0,9}}[❌✗✘🚫👎]|^ nicht\b"
    rf"|{_SAID}(?!(?<=it) is not (?:possible|so|sure|valid)){_VERDICT}|{_UNSURE}|[,.;:!?(\[…-][ *_]{{0,3}}{_ALONE}",
    re.IGNORECASE,
)
_BELOW = re.compile(
    r"\s*[*_(]{0,3}(?:(?:but |oh,? )?(?:wait|hmm+|oops|sorry|actually|correction|hold on)\b|(?:no|nope)[,.!:](?! of\b)"
    rf"|{_SAID}{_VERDICT})[^\n]{{0,200}}",
    re.IGNORECASE,
)


def before(text: str) -> bool:
    """Whether the words before a number, from its line's or sentence's begin, deny or doubt it."""
    return bool(_MAY.search(text) and (_DENIES.search(text) or _DOUBTS.search(text)))


def contrasts(text: str) -> bool:
    """Whether the number behind a text is named as what the answer is not: "5, not 6"."""
    return _CONTRASTS.search(text) is not None


def behind(text: str) -> bool:
    """Whether what stands behind a number takes it back or doubts it."""
    return _BEHIND.search(text) is not None


def below(text: str, end: int) -> str:
    """The line below the one that ends at a place, where it takes back what that one says ("Wait, that's wrong"); else
    nothing.
    """
    found = _BELOW.match(text, end)
    return found[0].strip() if found else ""


_MAY = re.compile(r"no|n't|un|impossible|never|kein|nicht", re.IGNORECASE)  # for speed: few lines hold a denial
