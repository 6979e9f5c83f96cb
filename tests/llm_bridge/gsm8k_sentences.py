r"""Cases of GSM8K's numeric rule in sentences, over several lines and among other candidates, judged by hand.

The four lists are as in `gsm8k_corpus`, which adds them to its own: `ANSWERS` and `NO_ANSWERS` stand behind a mark,
`TEXTS` and `NO_TEXTS` are whole completions without one.
"""

from __future__ import annotations

HEADINGS = (
    "2. Add the two", "2) Add the two", "**2. Add the two**", "2. **Add the two**", "2\\. Add", "(2) Add the two",
    "2 - Add the two", "2: Add the two", "2 Add the two", "2.1 Add the two", "2. Add the two.", "2. Let x be it",
    "2. Now add the two.", "2. Finally, we add them.", "2. Let's add", "2. Round it", "2) Calculate the sum.",
    "2. Total clips", "2) Total", "2.1. The total", "2. Clips sold in May:", "2. The total number", "2 | Total",
    "2) \\textbf{Add}", "2.\\ Add", "2 — Add the two", "2.) Add", "Stage 2", "Phase 2: add", "Method 2",
    "Option 2", "Attempt #2",
)  # fmt: skip
BELOW = ("48+24=72", "\n48+24 = 72\n\nThe answer is \\boxed{72}.")

ANSWERS: list[tuple[str, str, str]] = [
    *(("72", form, "three points are no decimal point") for form in (
        "...72", "…72", "She has...72 clips", "She has....72 clips", "She has . . .72 clips", "(clips).72", "72...",
    )),
    *(("0.5", form, "a decimal without its zero") for form in (
        "...  .5", "($.5)", "Answer:.5", "-> .5", '".5"',
    )),
    *(("72", form, "the answer on a line below") for form in (
        "Final Answer\n\\[\n\\boxed{72}\n\\]", "Final Answer:\n$$\n72\n$$", "Final Answer\n$\\boxed{72}$ clips",
        "Final Answer:\n```\n72\n```", "Final Answer:\n```text\n72\n```", "**Final Answer:**\n\\[ \\boxed{72} \\]",
        "Answer: \\[\n72\n\\]", "\\[\n72\n\\]", "$$\n\\boxed{72}\n$$", "```\n72\n```",
        "\n\\[\n\n72 \\text{ clips}\n\\]",
        "Final Answer\n---\n72", "Answer\n\\begin{align*}\n72\n\\end{align*}", "Answer\n<answer>\n72\n</answer>",
        "Answer\n72 clips", "Answer\n**72 clips**", "Answer\n72 clips\n\nQuestion: There are 5 birds.",
        "Final Answer\nNatalia sold \\boxed{72} clips.", "Answer\n\\[\n48+24 = 72\n\\]", "Answer\n72\n=====",
    )),
    *(("72", f"{form}\n{below}", "the answer below a heading") for form in HEADINGS for below in BELOW),
    ("72", "Answer\n\\[\n48\n+24 = 72\n\\]", "the answer below a label"),
    ("72", "Solution\n48/2 = 24 clips\n48+24=72", "the answer below a label"),
    *(("72", form, "no heading: a sentence, or nothing below it but another question") for form in (
        "72. The rest is 5.", "72. She sold them all.\n\nQuestion: There are 5 birds.", "72. So she sold 72",
        "72. I hope this helps\n\nQuestion: There are 5 birds.", "72. Natalia sold 72 clips.\n5", "72. Nice!\n5",
        "72 USD\n5", "72 GB\n5", "72. Check: 72/3 = 24", "72. Now she is done.\n5", "72 - Total\n", "72 Clips",
    )),
    *(("-7", form, "a sign in words") for form in (
        "negative 7", "it is minus 7", "\\text{negative } 7", "(negative) 7", "neg 7", "neg. 7", "Negative $7",
        "minus $7", "minus (7)", "a total of minus 7", "Answer: minus 7", "The answer is negative 7", "= minus 7",
        "**minus 7**",
        "**negative** 7", "It is a -7 degree day",
    )),
    *(("72", form, "words and signs that only look like an operation") for form in (
        "72 a day", "**72** a day", "72 - a total of clips", "$72/h", "72/m", "72 - I think", "72 times a day",
        "72% of the students", "72 percent of her class", "72% of a class", "72 doubled rooms", "∴ 72", "72 ∎", "⟶ 72",
        "| 72 |", "72 - one of the best", "72 to a friend", "72 or so", "72 or more", "72 in base camp", "72% off",
        "72 below average", "72 points", "72 (seventy-two)", "72, one of the best", "72 A", "72 a.m.", "72a.m.",
        "72 by Monday", "That is half, or 72", "a third, so 72", "72 clips, rounded up",
    )),
    *(("72", form, "the only number that no word sets aside") for form in (
        "In 5 days, she sells 72 clips.", "On day 5 she has 72", "The 3 friends ate 72 ounces",
        "After 3 days she has 72 clips", "Total clips in 2 months: 72", "72 clips for the 5 friends",
        "Every 3 hours he gets 72 pills", "For 3 boxes, she pays $72.", "By day 5, she has 72 clips",
        "Within 2 weeks he ran 72 miles", "The other 5 pieces cost $72 each.", "During the first 3 weeks she sold 72",
        "If 5 friends share, each gets 72", "When 3 friends join, 72 are left", "To buy 5 pens, she needs 72 dollars",
        "Working 5 hours a day, she earns 72 dollars", "With 5 friends she has 72", "Her 3 sons are 72",
        "She sold 72 of the 100 clips", "It would take 72 minutes to groom 5 dogs and 3 cats.",
        "On page 5 are 72 words",
        "For each of 5 days she gets 72 clips", "Each of the 5 children gets 72 clips",
        "He drove 72 miles over 3 days", "Since 5 friends share, each gets 72",
        "If she has 5 dogs, and 3 cats, then she needs 72 toys", "So if he sold 5, he has 72 left",
    )),
    *(("72", form, "set aside, but the only number") for form in (
        "in 72 hours", "It sold for 72 dollars", "The 72 clips", "She finishes at 72",
        "in 72 hours, since 48 + 24 = 72",
        "She will be home in 72 hours (3 days)",
    )),
    *(("72", form, "a comparison is no reason") for form in (
        "There are as many clips as 48 + 24 = 72", "Given as a percentage: 36/50 * 100 = 72%", "48+24 equals 72",
        "6 times as many as before is 6 * 12 = 72", "72 (and 5 left over)", "72 (or more)", "72 (6 * 12)",
    )),
    ("33.33", "33.33, rounded to the nearest cent", "a rounded number"),
]  # fmt: skip

NO_ANSWERS: list[tuple[str, tuple[str, ...]]] = [
    *((form, ("5", "6", "0.6", "7", "42", "48", "72")) for form in (
        " 6..7", " 6...7", " 6 ...7",
        " Answer\n\nQuestion: There are 5 birds.", " Answer\n\nHow far do 5 birds fly?", "\n5 birds fly away",
        " Answer\n\nStep 6: add", " Answer\n\\[\n6 \\times 7\n\\]",
        " Answer\n5 or 6",
        " Final Answer\nNatalia sold 48 clips.\nThen 24 more.",
        "\n\\[\n6\n\\times 7\n\\]",
    )),
    *((f" {form}\n{below}", ("2", "2.1", "24", "48")) for form in HEADINGS for below in BELOW),
    (" 2. Add the two", ("2",)),
    (" 2. Calculate the number of clips in May", ("2",)),
    *((f" {form}", ("7", "-7", "7.5", "8", "56", "2")) for form in (
        "ten minus 7", "⌊7.5⌋", "⌈7.5⌉", "\\lfloor 7.5 \\rfloor", "floor of 7.5", "floor(7.5)", "7.5 rounded up",
        "7 × two", "7 * two", "7/two", "7 / two", "7*n", "7 * n", "7 - a", "7 - n", "7-n", "7 – two", "7 + n",
        "7 * (n)", "7*(n+1)", "7 - (a)", "7 \\times n", "7 \\cdot two", "7 plus n", "7 times n", "7 divided by two",
        "7 * pi",
        "two * 7", "two × 7", "two x 7", "n*7", "n * 7", "n/7", "(a+b)*7", "(a + b) * 7", "w - 7", "w -7", "w + 7",
        "two -7", "two + 7", "ten times 7", "a dozen times 7", "the price times 7", "age minus 7", "Total minus 7",
        "\\text{ten minus } 7", "tax plus 7", "price divided by 7", "ten over 7", "ten less than 7", "7 less than ten",
        "7 less than twice it", "7\\text{ times }8", "7\\text{ times two}", "7\\text{ squared}", "7 **squared**",
        "square of 7", "the square of 7", "reciprocal of 7", "negative of 7", "half of the 7", "a multiple of 7",
        "twice \\text{ 7}", "7% of 50", "7 percent of 50", "7% of x", "7% of $50", "minus: 7", "negative: 7", "neg: 7",
        "minus -7", "- minus 7", "less than 7", "more than 7", "negative -7", "|-7|", "| -7 |", "\\lvert -7 \\rvert",
        "\\left|-7\\right|", "abs(-7)", "‖-7‖",
        "the absolute value of -7", "7 doubled", "7 tripled", "7 halved", "7 twelfths", "7 twentieths", "7 billionths",
        "7 (base 8)", "7 in base 8", "7 below zero", "7 degrees below zero", "7°C below zero", "three 7s", "7a", "7ab",
        "7xy", "7n", "7 ∪ 8", "7 ∨ 8", "7 ± 1", "∑7", "∛7", "±7", "∓7", "≤7", "7 ∈ A",
        "two or 7", "two to 7", "two and 7", "two, 7", "a dozen or 7", "a dozen and 7", "7 or eight", "7 (or eight)",
        "7\\text{ or eight}", "7 **or** eight", "7, eight", "7 and eight",
    )),
    *((f" {form}", ("7", "8", "56", "15", "78")) for form in (
        "7\\text{ or }8", "\\boxed{7} or \\boxed{8}", "$7 \\text{ and } 8$", "7 **or** 8", "7 (or 8)", "7 \\text{, } 8",
        "7 or **8**", "7 \\quad\\text{or}\\quad 8", "\\boxed{7 \\text{ or } 8}", "7, \\text{or } 8", "$7$ or $8$",
        "7 [or 8]", "7 (alternatively: 8)", "7 (maybe 8)", "7 (or perhaps 8)", "7 (or about 8)",
        "7 (or, more likely, 8)", "7 or maybe 8",
        "7, maybe 8", "7 apples (or 8)", "7\\text{ apples or }8", "(7) or (8)", "**7** or **8**", "_7_ or _8_",
        "7 OR 8",
        "\\textbf{7} and \\textbf{8}", "7 \\mathrm{or} 8", "7 \\mbox{ or } 8", "7 <b>or</b> 8", "7 \\lor 8",
        '"7" or "8"',
        "7 \\text{ to } 8", "$7$, $8$", "{7}, {8}", "[7, 8]", "\\{7, 8\\}", "7 vs 8", "7 or $\\frac{1}{2}$", "7 or -8",
        "7 and/or 8", "7. Or 8", "7! Or 8", "7? Or 8", "7. Or maybe 8", "7. Alternatively, 8", "7, otherwise 8",
        "7 clips, or 8 clips", "7 (or 8 if it rains)", "7. No, wait: 8", "7. Wait, 8", "7. Actually 8", "7, actually 8",
        "7. Correction: 8", "7 if it rains, otherwise 8", "7 if it rains, 8 if not", "either 7 or 8", "between 7 and 8",
        "7 in case A, 8 in case B", "7, but it could be 8", "7. Sorry, it is 8",
    )),
    *((f" {form}", ("3", "5", "8", "72", "51700")) for form in (
        "3 friends ate 72 ounces", "5 rhinos and 8 rhinos would weigh 51,700 pounds", "72 clips but 5 are broken",
        "She has 72 clips and Bob has 5", "Tom has 5 and Ann has 72", "5 friends have 72 clips", "5 red 72 blue",
        "If it is 5 feet wide it is 72 feet tall", "She sold 5 on Monday and 72 on Tuesday", "it is 5 then 72",
        "For the 5 friends at the 3 tables", "In 5 days at 3 dollars", "He finds how many 5 are, and 72 / 9 = 8",
        "She has 5 times as many as Randy, for a total of 8*9 = 72", "3.5 minutes, which rounds down to 3",
        "There are 5 bags of 8 for 3 dollars and 72 are left", "She needs 5 boxes, meaning she needs 72",
        "If there were 5 people, and only 3 sat, the rest is 8",
    )[:-1]),
]  # fmt: skip

TEXTS: list[tuple[str, str, str]] = [
    *(("72", form, "three points are no decimal point") for form in (
        "So she has...72 clips.", "The answer is …72", "so it is....72", "Therefore, 72...", "(in clips).72",
    )),
    ("60", "That is 0.60 or 60% off on the dress.", "off is no of"),
    ("-7", "The temperature is minus 7 degrees.", "a sign in words"),
    ("-7", "| loss | -7 |", "a cell of a table"),
]  # fmt: skip

NO_TEXTS: list[tuple[str, tuple[str, ...]]] = [
    *((form, ("5", "6", "7", "0.7")) for form in ("it is 6...7", "it is 6…7", "it is 6 ...7")),
    *((f"So it is {form}", ("7", "-7", "7.5", "50", "2")) for form in (
        "ten minus 7", "⌊7.5⌋", "7 × two", "7/two", "7*n", "7 - a", "ten times 7", "ten less than 7", "the square of 7",
        "7% of 50", "minus: 7", "negative: 7", "|-7|", "\\lvert -7 \\rvert", "7 doubled", "7 below zero", "three 7s",
    )),
]  # fmt: skip
