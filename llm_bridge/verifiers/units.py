"""Units and money of MATH answers: tables, what is read as a unit behind a number, and money before it.

    without_money("\\text{USD }5")  is  ("5", "dollar")

Money is one table, `_CURRENCIES`: a sign, a code or a word, before the number or behind it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable

from llm_bridge.verifiers.vocabulary import NUMBERS, follows

DOLLAR = "\uff04"  # for \\$, while $ is the border of mathematics
# A currency, then its signs, codes, words and commands, before a number or behind it.
_CURRENCIES = tuple(
    tuple(line.replace("$", DOLLAR).split())
    for line in r"""
dollar $ US$ U.S.$ CA$ AU$ A$ C$ NZ$ HK$ S$ USD usd dollars bucks CAD AUD NZD HKD SGD \dollar \textdollar
euro € EUR eur euros \euro \texteuro \EUR
pound £ GBP pounds \pounds \textsterling
yen ¥ JPY \yen \textyen
yuan CNY RMB
rupee ₹ INR Rs. Rs rupees \rupee \INR
rupiah IDR
won ₩ KRW
franc CHF francs
ruble ₽ RUB rubles roubles
reais R$ BRL
peso ₱ MX$ MXN PHP pesos
lira ₺ TRY liras
rand ZAR
krona SEK NOK DKK kronor kroner
zloty PLN
shekel ₪ ILS shekels
dirham AED dirhams
naira ₦ NGN
baht ฿ THB
dong ₫ VND
ringgit MYR
cents ¢ cent \cent \textcent
""".strip().splitlines()
)
_MONEY = {name: names[0] for names in _CURRENCIES for name in names}


def _any(names: Iterable[str]) -> str:
    return "|".join(re.escape(name) for name in sorted(names, key=len, reverse=True))


_CURRENCY = re.compile(
    rf"\\text\s*\{{\s*(?P<text>{_any(_MONEY)})\s*+[\uff04€£¥₹]?\s*\}}(?:\.?\s+)?(?=[-+]?\s*(?:\.?\d|[\\\uff04€£¥₹]))"
    rf"|(?<![a-zA-Z\\])(?P<word>{_any(name for name in _MONEY if name.strip('.').isalpha() and name.isascii())})\s*+"
    r"(?=[-+]?\s*(?:\.?\d|[\uff04€£¥₹]))"
    rf"|(?P<command>{_any(name for name in _MONEY if name.startswith(chr(92)))})(?![a-zA-Z])\s*"
    r"|\\text\s*\{\s*[A-Z.]{1,4}\s*\}\s*(?P<dollar>\uff04)"
    rf"|(?<![a-zA-Z])(?P<sign>{_any(name for name in _MONEY if not name.isascii())})|[\uff04€£¥₹¢]"
)


def without_money(text: str) -> tuple[str, str]:
    """The text without its signs, codes and names of money, and the first of these in words ("dollar"); "" for none.
    Between two numbers a space is left, so that 5\\$3 is no 53.
    """
    found = _CURRENCY.search(text)
    return (_CURRENCY.sub(apart, text), _MONEY[found[found.lastgroup or 0]]) if found else (text, "")


def apart(match: re.Match[str]) -> str:
    """What takes the place of dress that goes: between two numbers spaces, more than part thousands; else nothing."""
    before = match.string[: match.start()].rstrip(" {}")[-1:]
    after = match.string[match.end() :].lstrip(" {}")[:1]
    return "  " if (before.isdigit() or before == ".") and (after.isdigit() or after == ".") else ""


# A unit that is a command: 5\\ \\Omega, 5\\,\\text{k}\\Omega, 5\\,\\mu\\text{m}, and those of siunitx.
_UNIT_COMMAND = re.compile(
    r"(?<=[\d\s})])\s*+(?:\\text\s*\{\s*([kMG])\s*\}|([kMG]))?\s*\\(Omega|AA|ohm|celsius|degreeCelsius)\s*\.?$"
)
_COMMANDS = {"Omega": "ohm", "AA": "angstrom"}
_MICRO = re.compile(r"(?<=[\d\s}])\\mu\s*\\text\s*\{\s*(?=[a-zA-Z])")
_QUANTITY = re.compile(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([^{}]*)\}")


def unit_commands(text: str) -> str:
    """Units that are commands, as text."""
    text = _QUANTITY.sub(lambda match: f"{match[1]}\\text{{{match[2].replace(chr(92), ' ')}}}", text)
    text = _MICRO.sub(r"\\text{ micro", text)
    return _UNIT_COMMAND.sub(
        lambda match: f"\\text{{ {match[1] or match[2] or ''}{_COMMANDS.get(match[3], match[3])}}}", text
    )


# Names of one unit; the first is the one that `Plain.unit` has.
_UNITS = tuple(
    tuple(line.split())
    for line in """\
cm centimeter centimetre centimeters centimetres
mm millimeter millimetre millimeters millimetres
m meter metre meters metres
km kilometer kilometre kilometers kilometres
inch inches in
foot feet ft
yard yards yd yds
mile miles mi
mph
second seconds sec secs s
minute minutes min mins
hour hours hr hrs h
day days
week weeks
month months
year years yr yrs
degree degrees deg
radian radians rad rads
gram grams g gm
kg kilogram kilograms
pound pounds lb lbs
ounce ounces oz
liter litre liters litres l
ml
gallon gallons
acre acres
ohm ohms
kohm
unit units
""".splitlines()
)
_MEASURED = frozenset(name for names in _UNITS for name in names)
CANONICAL = {name.lower(): unit for name, unit in _MONEY.items()}
CANONICAL |= {name: names[0] for names in _UNITS for name in names}
_LETTERS = frozenset("mshglLNJWV")  # units of one letter, where they are marked as text
_THINGS = """
square squares sq cubic cu per and of kph kmh ways way integers digits digit points point edges students people ticket
tickets apples books boxes pieces values solutions triangles multiples teachers dogs daps meals
"""
_COUNTED = frozenset(_THINGS.split())
_JOINING = ("square", "sq", "cubic", "cu", "per", "and", "of", "point")  # with which no unit ends
_SMALL = _MEASURED | _COUNTED | _MONEY.keys()


_SHORT = """
of to in at by on an as is if up so no or it be do go he me my us we ox dry sky fly try shy st nd rd th am pm
kmh kph mph rpm bpm psi kwh hz khz mhz kw kj pa kpa nm dm dl cl mg mb gb kb tb px pt pts qt qts sqft cc ccs cms kms gms
kgs hp ev mv kv ma pc pcs wk wks mo mos dz fl gal tbsp tsp
"""
_SHORT_WORDS = frozenset(_SHORT.split()) | {name.casefold() for name in _SMALL}
_OF_LETTERS = re.compile(r"[^\W\d_]+")
_ABBREVIATED = re.compile(r"(?:[A-Za-z]\.){2,}|['’](?:s|ll|re|ve|d|m)\b|\bo['’]clock\b")
_POWERS = re.compile(r"(?<=[^\W\d_])\^?-?\d(?![\d.])")
_AS_WRITTEN = re.compile(r"(?:[^\W\d_]|[ .,/()'’%-]|\\%)*")
_DASHED = re.compile(r"(?:^|\s)-\s|\s-|-\s|^-(?![^\W\d_]{2})|-$")
_SAME = re.compile(r"\s*\(\s*([A-Za-z]{3,9})\s*\)\s*")  # 3 (three)
_REMARK = re.compile(r"\s*\(\s*[A-E]\s*\)\s*")  # the option that the number stands for


def measures(number: str, words: str) -> bool:
    """Whether words after this are a unit, or say what was counted: a digit or a number's name stands before, the words
    are words, and none of them changes what is said.
    """
    if len(words.strip()) == 1 and words.strip() not in _LETTERS:
        return False  # the numbers e and i, in roman type
    if (same := _SAME.fullmatch(words)) and same[1].lower() in NUMBERS:
        return number.strip() == str(NUMBERS.index(same[1].lower()))
    return bool(re.search(r"\d|\\pi", number)) and bool(_REMARK.fullmatch(words) or _are_words(words))


def _are_words(words: str) -> bool:
    """Whether a text behind a number is words of a language and units: + and = compute, and x y are variables."""
    words = _POWERS.sub("", _ABBREVIATED.sub("", words))
    if not _AS_WRITTEN.fullmatch(words) or words.lstrip().startswith(",") or _DASHED.search(words):
        return False
    if words.count("(") != words.count(")"):
        return False
    return all(map(is_word, _OF_LETTERS.findall(words))) and follows(words)


def is_word(word: str) -> bool:
    """Whether letters are a word: known, or long enough and with a vowel, and not the letters of an alphabet."""
    if len(word) == 1:
        return word in _LETTERS or word in "aAKCFsSt"
    low = word.casefold()
    if low in _SHORT_WORDS:
        return True
    in_a_row = all(ord(after) - ord(before) == 1 for before, after in itertools.pairwise(low))
    vowels = "aeiou" if len(word) == 3 else "aeiouy"
    return (
        len(word) > 2
        and any(letter in vowels for letter in low)
        and not in_a_row
        and not (word.isupper() and len(word) == 3)
    )


def known(words: str) -> bool:
    """Whether all of plain words are units, of two letters or more; codes of money in capitals only (5rs is 5 r s)."""
    every = [word for word in re.split(r"[\s./]+", words) if word]
    if not every or every[-1].lower() in _JOINING or every[0].lower() in ("and", "of"):
        return False
    return len(words) > 1 and all(word in _MONEY or (len(word) > 1 and word.lower() in _SMALL) for word in every)


_POWER_WORDS = {"square": "2", "sq": "2", "squared": "2", "cubic": "3", "cu": "3", "cubed": "3"}
_POWER_AT_END = re.compile(r"([a-z]+)\^?([2-9])")


def canonical(words: str, power: str | None) -> str:
    """One name of a unit, with its power where it has one: "square feet", "ft2" and "feet squared" are "foot^2"."""
    every = [word for word in re.split(r"[\s.]+", words.lower()) if word]
    for place in (0, -1):
        if len(every) > 1 and every[place] in _POWER_WORDS:
            power = _POWER_WORDS[every.pop(place)]
    if len(every) == 1 and (raised := _POWER_AT_END.fullmatch(every[0])):
        every, power = [raised[1]], raised[2]
    return " ".join(CANONICAL.get(word, word) for word in every) + (f"^{power}" if power else "")
