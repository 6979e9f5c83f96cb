"""Units and money of MATH answers: tables, what is read as a unit behind a number, and money before it.

    without_money("\\text{USD }5")  is  ("5", "dollar")

Money is one table, `_CURRENCIES`: a sign, a code or a word, before the number or behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

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
    """The text without its signs, codes and names of money, and the first of these in words ("dollar"); "" for none."""
    found = _CURRENCY.search(text)
    return (_CURRENCY.sub("", text), _MONEY[found[found.lastgroup or 0]]) if found else (text, "")


# A unit that is a command: 5\\ \\Omega, 5\\,\\text{k}\\Omega, 5\\,\\mu\\text{m}, and those of siunitx.
_UNIT_COMMAND = re.compile(
    r"(?<=[\d\s})])\s*+(?:\\text\s*\{\s*([kMG])\s*\}|([kMG]))?\s*\\(Omega|AA|ohm|celsius|degreeCelsius)\s*\.?$"
)
_COMMANDS = {"Omega": "ohm", "AA": "angstrom"}
_MICRO = re.compile(r"(?<=[\d\s}])\\mu\s*\\text\s*\{\s*(?=[a-zA-Z])")
_QUANTITY = re.compile(r"\\(?:SI|qty)\s*\{([^{}]*)\}\s*\{([^{}]*)\}")


def unit_commands(text: str) -> str:
    """Units that are commands, as text."""
    text = _MICRO.sub(r"\\text{ micro", _QUANTITY.sub(r"\1\\text{ \2}", text))
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
_SMALL = _MEASURED | _COUNTED | _MONEY.keys()


# Words that are no unit: what follows, computes, scales or divides the number; a comma was an "or".
_CHANGES = re.compile(
    r"^\s*,|(?<![a-z])(?<![a-z]\^)\d|\b(?:and|or|if|for|when|is|are|was|not|no|never|cannot|except|otherwise|wrong|incorrect|plus|minus|times|"
    r"over|than|through|versus|divided|multiplied|power|percent of|per cent of|dozen|score|gross|tens|hundreds?|lakhs?|"
    r"crores?|half|halves|"
    r"thirds?|quarters?|fourths?|fifths?|sixths?|sevenths?|eighths?|ninths?|tenths?|hundredths?|thousandths?|mod|modulo|base|"
    r"choose|remainder|repeating|recurring|root|sqrt|pi|log|ln|sin|cos|tan|factorial|infinity|negative|below|inverse|"
    r"reciprocal|conjugate|complement|bn|mil|quadrillion)\b|n't|^\s*(?:squared|cubed)\b"
)


def measures(number: str, words: str) -> bool:
    """Whether words after this are a unit: something with a digit or a number's name stands before, and none of the
    words changes what is said.
    """
    if len(words.strip()) == 1 and words.strip() not in _LETTERS:
        return False  # the numbers e and i, in roman type
    return bool(re.search(r"\d|\\pi", number)) and not _CHANGES.search(words.casefold())


def known(words: str) -> bool:
    """Whether all of plain words are units, of two letters or more; codes of money in capitals only (5rs is 5 r s)."""
    every = [word for word in re.split(r"[\s./]+", words) if word]
    return len(words) > 1 and all(word in _MONEY or (len(word) > 1 and word.lower() in _SMALL) for word in every)


def canonical(words: str, power: str | None) -> str:
    every = [CANONICAL.get(word, word) for word in re.split(r"[\s.]+", words.lower()) if word]
    if every[:1] in (["square"], ["sq"]):
        every, power = every[1:], "2"
    if every[:1] in (["cubic"], ["cu"]):
        every, power = every[1:], "3"
    return " ".join(every) + (f"^{power}" if power else "")
