r"""What signs say, in words: calculations, ranges, scales and parts beside a number, as expressions.

    AFTER.match(" times 8")        BEFORE.search("half of ")        AFTER.match(" clips a day") is None

`beside` matches those of what stands after a number there, and searches those of what stands before it in the last
characters before. Every repetition is bounded or possessive: a long line is no longer work.
"""

from __future__ import annotations

import re

from llm_bridge.verifiers.numerals import AND_A_PART, PART

OPEN, SHUT = r"[ *_`\"'{(\[$]{0,6}", r"[ *_`\"'{})\]$]{0,6}"  # dress before a number, and after one, but no remark
NUMBER_WORD = (
    r"(?:zero|oh|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|(?:thir|four|fif|six|seven|eigh|nine)teen|"
    r"(?:twen|thir|for|fif|six|seven|eigh|nine)ty(?:[- ][a-z]++)?)\b"
)
_QUANTITY = rf"(?:{NUMBER_WORD}|(?:dozen|hundred|thousand|million|half)\b)"
_MORE = rf"(?:(?!one\b|half\b){_QUANTITY}|(?:one|half)\b(?! ?[a-z]))"  # "7 - two", but no "7 - one of them"
_VARIABLE = r"(?:[b-hj-z](?![a-z'.])|[ai](?![a-z']| ?[a-z]))"
OPERATION = (
    r"(?:times|plus|minus|less|divided by|multiplied by|added to|subtracted from|take away|(?:more|less|fewer) than)"
)
AT_ONCE_BESIDE = r"(?:over|by|point|mod|modulo|choose|(?:raised )?to the power of|raised to|versus|vs\.?)"
_OPERAND = (
    rf"(?:[0-9π√\\]|(?!one\b){_QUANTITY}|(?:an? |one )?{PART}\b|pi\b|sqrt|(?:the )?(?:square |cube )?root\b"
    rf"|(?:twice|thrice|double|triple)\b|{_VARIABLE})"
)
_COUNTED = r"(?:[ ]?[%°$])?(?:[ {}]{0,3}(?!is\b|which\b|that\b)[A-Za-z]++){0,3}?"

AFTER = re.compile(
    "|".join(
        (
            rf"{_COUNTED}{SHUT}(?<![a-z]){OPERATION}(?![a-z])[ *({{}}$-]{{0,6}}{_OPERAND}",
            rf"(?:-|{SHUT}(?<![0-9])){AT_ONCE_BESIDE}(?![a-z])[ *({{}}$-]{{0,6}}{_OPERAND}",
            # Several candidates: "7 (or eight)", "7, eight"
            rf"{_COUNTED}{SHUT}[(\[]?(?<![a-z])(?:and/)?(?:or|to|through)(?![a-z])[ *_}}{{$]{{0,6}}{_QUANTITY}",
            rf"{SHUT}(?<![0-9])and(?![a-z])[ *_}}{{$]{{0,6}}{NUMBER_WORD}",
            rf"{SHUT},{SHUT}{NUMBER_WORD}{SHUT}\.?$",
            # Scales and parts: "5 million six hundred thousand", "7 and a half of them", "7 doubled", "7 in base 8"
            rf" {NUMBER_WORD} (?:hundred|thousand|million)\b",
            rf"{_COUNTED}{SHUT}{AND_A_PART}",
            rf" ?\*? ?(?:pi|sqrt)\b| (?:square |cube )?root (?:of )?{_OPERAND}",
            rf"{SHUT}(?:squared|cubed|doubled|tripled|quadrupled|halved)\b(?!{SHUT} [a-z])",
            rf"{SHUT}(?<![0-9])factorial\b|[ (]{{1,2}}(?:in )?base[ -](?:[0-9]|{NUMBER_WORD})",
            r" ?(?:°[CF]?|[a-z ]{0,20}) below zero\b",
            # Per cent of another number: "7% of 50", but no "7% of the 50 children"
            r"(?: ?%| ?percent| ?per cent| ?pct\.?) of(?![a-z])[ $*({]{0,4}"
            rf"(?:[0-9]|{_QUANTITY}|(?!a ){_VARIABLE}|{PART}\b)",
            r" ?[°%] ?[0-9]| ?(?:\.{2,}|…) ?[0-9]",
            # "7*n", "7 / two" and "7 - a", but no "**72** a day", "72 - a total" and "$72/h"
            rf"{SHUT}(?: \*\*? |\*\*?(?! )){OPEN}(?:{_MORE}|{_VARIABLE})",
            rf"{SHUT}/ ?{OPEN}(?:{_MORE}|(?![dghlmsw](?![a-z])){_VARIABLE})",
            rf"{SHUT}-{OPEN}(?:{_MORE}|{_VARIABLE})",
        )
    ),
    re.IGNORECASE,
)
ROUNDED = re.compile(
    rf"{SHUT},? rounded (?:up|down|off|to (?:an?|the) (?:nearest )?(?:whole|integer|unit))", re.IGNORECASE
)
SCALED = re.compile(
    r"[ *{]{0,3}(?:[- ]?(?:halves|thirds|fourths|fifths|sixths|sevenths|eighths|ninths|tenths|elevenths|twelfths"
    r"|[a-z]{3,5}teenths|[a-z]{3,5}tieths|(?:hundred|thousand|million|billion)ths)\b"
    r"|(?:lakhs?|crores?|mil|bn|mn)\b|[kKMB](?![\w.'/^]))"
)

STEPS = (
    r"(?:steps?|parts?|questions?|problems?|cases?|examples?|sections?|exercises?|equations?|eq|figures?|tables?|q"
    r"|stage|phase|method|approach|option|attempt|scenario|task|chapter|hint)"
)
STEP = re.compile(rf"[ *_(]*{STEPS}[ .*_(#]{{0,4}}[0-9]{{1,2}}(?:\.[0-9])?(?![0-9])", re.IGNORECASE)  # opens a heading

_END = r"[ *_`\"'{}()\[\]$]{0,6}$"
BEFORE = re.compile(
    "(?:"
    + "|".join(
        (
            rf"(?:[0-9][ A-Za-z%°$]{{0,24}}|\b(?:[xyznmk]|pi)|\b{_QUANTITY}(?: [a-z]++){{0,2}}) {OPERATION}",
            rf"[a-z0-9)}}\]$]{SHUT} [{{ *]{{0,3}}"
            r"(?:times|plus|divided by|multiplied by|subtracted from|added to|take away)",
            rf"[0-9][ -]{AT_ONCE_BESIDE}|\b{NUMBER_WORD}[ -](?:over|by|mod|choose|point|and)",
            rf"\b(?!one\b|oh\b){NUMBER_WORD}(?=[ -]{{1,2}}[$*]{{0,3}}$)",  # "three 7s"
            r"\b(?:half|quarter) past|\b(?:more|less|fewer|greater|smaller) than",
            r"\b(?:twice|thrice|double|triple|half of(?: the)?|sqrt|log|ln|sin|cos|tan|pi|root|floor|ceil|abs)",
            r"(?:%|\b(?:percent|per cent|thirds?|quarters?|fourths?|fifths?|tenths?|root|factorial|square|cube"
            r"|reciprocal|inverse|opposite|negative|double|triple|absolute value|magnitude|floor|ceiling|integer part"
            r"|log|logarithm|multiples?|powers?)) of(?: the)?",
        )
    )
    + rf"){_END}",
    re.IGNORECASE,
)
# One of several candidates, behind a mark: "two or 7".
LISTED_BEFORE = re.compile(
    rf"(?:\b(?!half){_QUANTITY},?{SHUT}(?<![a-z])(?:or|and|to|through)|^[^a-z0-9]*{NUMBER_WORD}{SHUT},){_END}",
    re.IGNORECASE,
)
# "minus 7" is a sign, and no operation, only where nothing stands before it that 7 can be taken from.
SIGN_WORD = re.compile(
    r"(?:(?:^|[^a-z])(?:negative|neg\.?)|(?:^|[^a-z0-9)}\]%°*_ +-]|\b(?:is|are|was|were|be|been|equals?|to|at|of|by"
    r"|with|about|exactly|only|or|gives?|makes?|gets?|becomes?|now|then|thus|so|therefore|hence|the|a))[ *_({$]*minus"
    rf"|(?P<other>(?:^|[^a-z])minus))(?P<label>[ *_]{{0,3}}[:,=])?{_END}",
    re.IGNORECASE,
)
TAKEN_FROM = re.compile(rf"(?:^|[^a-z'])(?:[b-hj-z]|{_QUANTITY})$", re.IGNORECASE)  # what "-7" is taken from: "x -7"
TIMES = re.compile(rf"(?:[0-9)}}]|\b{_QUANTITY}|\b[a-wyz]) ?x$|[)}}\]](?:\*\*?| \*\*? )[({{$]*$", re.IGNORECASE)
