r"""Cases of GSM8K's numeric rule in sentences, over several lines and among other candidates, judged by hand.

The four lists are as in `gsm8k_corpus`, which adds them to its own: `ANSWERS` and `NO_ANSWERS` stand behind a mark,
`TEXTS` and `NO_TEXTS` are whole completions without one.
"""

from __future__ import annotations

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
    *(("72", form, "no heading: a sentence, or nothing below it but another question") for form in (
        "72. The rest is 5.", "72. She sold them all.\n\nQuestion: There are 5 birds.", "72. So she sold 72",
        "72. I hope this helps\n\nQuestion: There are 5 birds.", "72. Natalia sold 72 clips.\n5", "72. Nice!\n5",
        "72 USD\n5", "72 GB\n5", "72. Check: 72/3 = 24", "72. Now she is done.\n5", "72 - Total\n", "72 Clips",
    )),
]  # fmt: skip

NO_ANSWERS: list[tuple[str, tuple[str, ...]]] = [
    *((form, ("5", "6", "0.6", "7", "42", "48", "72")) for form in (
        " 6..7", " 6...7", " 6 ...7",
        " Answer\n\nQuestion: There are 5 birds.", " Answer\n\nHow far do 5 birds fly?", "\n5 birds fly away",
        " Answer\n\nStep 6: add", " Answer\n\\[\n48\n+24 = 72\n\\]", " Answer\n\\[\n6 \\times 7\n\\]",
        " Answer\n5 or 6",
        " Final Answer\nNatalia sold 48 clips.\nThen 24 more.", " Solution\n48/2 = 24 clips\n48+24=72",
        "\n\\[\n6\n\\times 7\n\\]",
    )),
    *((f" {form}\n{below}", ("2", "2.1", "24", "48", "72")) for form in (
        "2. Add the two", "2) Add the two", "**2. Add the two**", "2. **Add the two**", "2\\. Add", "(2) Add the two",
        "2 - Add the two", "2: Add the two", "2 Add the two", "2.1 Add the two", "2. Add the two.", "2. Let x be it",
        "2. Now add the two.", "2. Finally, we add them.", "2. Let's add", "2. Round it", "2) Calculate the sum.",
        "2. Total clips", "2) Total", "2.1. The total", "2. Clips sold in May:", "2. The total number", "2 | Total",
        "Stage 2", "Phase 2: add", "Method 2", "Option 2", "Attempt #2",
    ) for below in ("48+24=72", "\n48+24 = 72\n\nThe answer is \\boxed{72}.")),
    (" 2. Add the two", ("2",)),
    (" 2. Calculate the number of clips in May", ("2",)),
]  # fmt: skip

TEXTS: list[tuple[str, str, str]] = [
    *(("72", form, "three points are no decimal point") for form in (
        "So she has...72 clips.", "The answer is …72", "so it is....72", "Therefore, 72...", "(in clips).72",
    )),
]  # fmt: skip

NO_TEXTS: list[tuple[str, tuple[str, ...]]] = [
    *((form, ("5", "6", "7", "0.7")) for form in ("it is 6...7", "it is 6…7", "it is 6 ...7")),
]  # fmt: skip
