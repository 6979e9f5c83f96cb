r"""Numbers beside letters without capitals: Chinese, Japanese, Thai, Korean and others, most of which write no spaces.

    spaced("答案是72个") == "答案是 72 个"    spaced("不是72万") == " not 720000"    spaced("6乘以7") == "6 times 7"

A digit beside such a letter is a number beside a word, whereas digits beside letters with capitals are a part of the
word ("CO2"). The few words of these languages that change what a number says are put in English, for the expressions
that read English; all others stay, and are passed over as any word is.
"""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction

_LETTER = r"[^\W\d_A-Za-z]"
_SEAM = re.compile(rf"(?<=[0-9]){_LETTER}|{_LETTER}(?=[$+-]{{0,2}}[0-9])")
_POWERS = dict(zip("十百千万萬亿億兆천만억", (1, 2, 3, 4, 4, 8, 8, 12, 3, 4, 8), strict=True))
_SCALED = re.compile(  # "1万2千", "2億3456万", but no kilograms, 千克
    r"(?<![0-9.,])(?:[0-9]{1,20}(?:,[0-9]{3})*(?:\.[0-9]{1,20})? ?[十百千万萬亿億兆천만억]{1,2}"
    r"(?![克米瓦卡分赫字]))+(?P<rest>零?[0-9]+)?"
)
_PART = re.compile(r"([0-9.,]+) ?([^0-9.,零 ]+)")
_COUNTER = "[个個只隻块塊本人円개명원]?"
_PAIRS = (  # units of one kind, in two of which a quantity may be given
    "(?:小时|小時|時間|시간|时|時|点|點|分钟?|分鐘|秒|年|个?月|天|日|周|년|월|일|분)",
    "(?:元|块|角|分|원)",
    "(?:米|公尺|尺|寸|公分|厘米|公斤|斤|克)",
)

_WORDS = tuple(
    (re.compile(pattern), english)
    for pattern, english in (
        ("不是|并不是|並不是|并非|並非|不等[于於]|不(?:可能|会|會|应该|應該)是|不为(?=[0-9 ])|ไม่ใช่", " not "),
        (
            "(?:では|じゃ) ?(?:ない|なく|ありません)|[이가]? ?아(?:닙니다|니다|니라)|[是为]?[错錯](?:[误誤了])?的?"
            "|是?不(?:对|對|正确|正確)的?|は?間違い(?:です)?|ผิด",
            " is wrong ",
        ),
        ("不(?:知道|确定|確定)|[无無]法(?:确|確)定|[わ分]かりません|[わ分]からない|ไม่(?:ทราบ|รู้)", " not sure "),
        ("(?:也可能|或者?|还|還)是|或许|或許|或者?|または|もしくは|あるいは|หรือ|또는|혹은", " or "),
        (f"(?<=[0-9]){_COUNTER}(?:到|至|から|ถึง|에서)(?=[0-9])", " to "),
        (f"(?<=[0-9]){_COUNTER}(?:和|与|與|以及|及|と|や|และ|와|과)(?=[0-9])", " and "),
        ("等[于於]", " = "),
        ("(?<=[0-9])(?:乘[以上]?|かける|곱하기)(?=[0-9])", " times "),
        ("(?<=[0-9])(?:除以|割る|나누기)(?=[0-9])", " divided by "),
        ("(?<=[0-9])(?:加上?|足す|더하기)(?=[0-9])", " plus "),
        ("(?<=[0-9])(?:减去?|減去?|引く|빼기)(?=[0-9])", " minus "),
        (f"(?<=[0-9]){_COUNTER}[的の](?:一半|半分)", " halved "),
        (f"(?<=[0-9]){_COUNTER}[的の]?[两兩二][倍]", " doubled "),
        ("(?<=[0-9])的?平方(?![厘分公米尺])", " squared "),
        *((f"(?<=[0-9]){unit}(?=[0-9]+(?:{unit}|\\W|$))", " hours ") for unit in _PAIRS),  # any unit in pairs will do
        ("因[为為]|なぜなら", " because "),
        ("所以|因此|[于於]是|したがって|よって", " so "),
        ("第 ?(?=[0-9]+ ?(?:步|题|題|部分|问|問|阶段|階段))|(?:步[骤驟]|ステップ) ?(?=[0-9])", " Step "),
        ("第(?=[0-9])", " the "),
        ("在(?=[0-9])", " in "),
        ("每(?=[0-9])", " every "),
        ("[负負](?=[0-9])", " -"),
    )
)


def spaced(line: str) -> str:
    """A line where a digit and a letter without capitals are words apart, scales ("72万") are worked out, and the words
    that matter are English. The work is in proportion to the line.
    """
    if not any(map(_uncased, line)):
        return line
    line = _SCALED.sub(_worked_out, line)
    for pattern, english in _WORDS:
        line = pattern.sub(english, line)
    return _SEAM.sub(_parted, line)


def _uncased(character: str) -> bool:
    """Whether a character is a letter without a capital, as of Han, kana, Hangul, Thai, Arabic or Hindi."""
    return character > "\u05cf" and (character == "ー" or unicodedata.category(character) == "Lo")


def _parted(found: re.Match[str]) -> str:
    """A letter beside digits, with spaces between where it has no capital."""
    letter, before, after = found[0], found.string[: found.start()][-1:], found.string[found.end() :][:1]
    if not _uncased(letter):
        return letter
    return " " * before.isdigit() + letter + " " * (after.isdigit() or after in "$+-")


def _worked_out(found: re.Match[str]) -> str:
    """The value of a number with its scales; a sum, which is no number, where it cannot be told ("1万5")."""
    total, least = Fraction(0), 0
    for digits, powers in _PART.findall(found[0]):
        power = sum(_POWERS[one] for one in powers)
        value = Fraction(digits.replace(",", "")) * 10**power
        if least and value >= 10**least:
            return f"{total} + {value}"
        total, least = total + value, power
    rest = found["rest"] or ""
    if rest and len(rest) != least and not rest.startswith("零"):
        return f"{total} + {rest}"
    return str(total + int(rest.lstrip("零") or "0"))
