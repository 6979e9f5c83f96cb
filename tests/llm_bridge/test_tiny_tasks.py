"""The embedded models' tasks, corpus, tokens and verifier, by enumeration and against the host's own code."""

import collections
from random import Random

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import Tokenizer

from bandit_rft.errors import InputError
from llm_bridge.data import datasets
from llm_bridge.tiny import tasks, vocabulary
from llm_bridge.tiny.verifier import TokenVerifier
from llm_bridge.verifiers import GSM8K
from simulations.tiny_models import corpus

NAMES = tuple(tasks.TASKS)


def some(name, split, count, seed=0):
    task, random = tasks.task(name), Random(seed)
    return [task.problem(split, int(random.random() * task.size(split))) for _ in range(count)]


def test_no_pair_of_summands_is_in_both_splits():
    """All 810,000 pairs, either order. Catches a split by ordered pair, and a pair lost or listed twice."""
    train, test = (np.sort(tasks._additions()[split], axis=1) for split in ("train", "test"))
    assert len(tasks._additions()["train"]) + len(tasks._additions()["test"]) == 810_000
    codes = [set((pairs[:, 0] * 1000 + pairs[:, 1]).tolist()) for pairs in (train, test)]
    assert not codes[0] & codes[1]
    assert len(codes[0]) + len(codes[1]) == 900 * 901 // 2
    assert 0.1 < len(test) / 810_000 < 0.15


def test_no_story_is_in_both_splits_under_another_name():
    task = tasks.task("tiny-stories")
    stories = {split: [task.problem(split, i) for i in range(task.size(split))] for split in tasks.SPLITS}
    texts = {split: {story.prompt for story in some} for split, some in stories.items()}
    assert all(len(texts[split]) == len(stories[split]) for split in tasks.SPLITS)
    assert not texts["train"] & texts["test"]
    contents = {split: {row[2:] for row in tasks._stories()[split]} for split in tasks.SPLITS}
    assert not contents["train"] & contents["test"]
    assert all(0 <= story.answer <= 99 for some in stories.values() for story in some)
    assert {story.difficulty for story in stories["test"]} == {1, 2, 3, 4}


@pytest.mark.parametrize("name", NAMES)
def test_the_prompt_says_what_the_answer_is_of(name):
    """The answer, worked out anew from the prompt's own words."""
    for problem in some(name, "test", 300):
        if name == "tiny-addition":
            a, b = problem.prompt.removesuffix("=?\n").split("+")
            assert int(a) + int(b) == problem.answer
            continue
        begin, *phrases = problem.prompt.removesuffix(". How many?\n").split(", ")
        value = int(begin.split()[2])
        for phrase in phrases:
            verb, amount = phrase.split()
            value = {"doubles": lambda v, n: 2 * v}.get(
                verb, (lambda v, n: v + int(n)) if verb in ("buys", "finds", "gets") else (lambda v, n: v - int(n))
            )(value, amount)
        assert value == problem.answer


@pytest.mark.parametrize("name", NAMES)
def test_corpus_shares_are_those_documented(name):
    """Careful answers are right, direct ones with their probability, and styles come as often as the tables say; 4
    standard errors, fixed seed."""
    random, verifier = Random(1), lambda text, problem: GSM8K(answer=str(problem.answer), rule="strict")(text)
    seen = collections.defaultdict(list)
    for problem in some(name, "train", 12_000):
        level = problem.difficulty - (name == "tiny-stories")
        seen[level].append(corpus.style_of(name, problem, random))
        assert verifier(corpus.response(name, problem, random, "careful"), problem) == 1.0
        seen["right", level].append(verifier(corpus.response(name, problem, random, "direct"), problem))
        hasty = corpus.response(name, problem, random, "hasty")
        assert hasty.count("#### ") == 1
    for level in range(4):
        for style, table in (("careful", corpus.CAREFUL), ("direct", corpus.DIRECT)):
            share, want = np.mean([s == style for s in seen[level]]), table[name][level]
            assert abs(share - want) < 4 * np.sqrt(want * (1 - want) / len(seen[level])) + 1e-9
        want = corpus.DIRECT_RIGHT[name][level]
        assert abs(np.mean(seen["right", level]) - want) < 4 * np.sqrt(want * (1 - want) / len(seen["right", level]))


def test_hasty_additions_drop_carries_as_often_as_documented():
    """One carry: right exactly when it is kept."""
    random, kept = Random(2), []
    for problem in some("tiny-addition", "train", 6000):
        if problem.difficulty == 1:
            kept.append(corpus.response("tiny-addition", problem, random, "hasty").endswith(f"#### {problem.answer}"))
    assert abs(np.mean(kept) - 0.15) < 4 * np.sqrt(0.15 * 0.85 / len(kept))


def test_tokenizer_file_and_table_agree(tmp_path):
    """On corpus text and on text that no token spells: the model reads what the corpus was written in."""
    vocabulary.write_tokenizer(tmp_path)
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert tokenizer.get_vocab_size() == len(vocabulary.TOKENS) == 64
    random = Random(3)
    texts = ["Ana has zebras", "a+b #### 7", "####7", "é 12  apples"]
    for name in NAMES:
        for problem in some(name, "train", 300):
            text = problem.prompt + corpus.response(name, problem, random)
            ids = vocabulary.encode(text)
            assert vocabulary.UNKNOWN not in ids
            assert vocabulary.decode(ids) == text == tokenizer.decode(ids)
            texts.append(text)
    for text in texts:
        assert tokenizer.encode(text).ids == vocabulary.encode(text)


def test_token_verifier_equals_the_text_verifier():
    """10^4 random token sequences of many kinds and 10^4 corpus responses. Catches commas, minus signs, points, special
    tokens inside a number, several markers, a marker without a number, and text beyond the window."""
    rng = np.random.Generator(np.random.PCG64(0))
    likely = [vocabulary.ID[t] for t in ("#### ", "1", "2", "-", ",", ".", "+", "\n", "<unk>", "<eos>", "<pad>")]
    answers = ("1", "12", "212", "0")
    rows = []
    for count in range(10_000):
        alphabet = likely if count % 2 else range(len(vocabulary.TOKENS))
        rows.append(rng.choice(np.asarray(alphabet), size=60 if count % 3 else 12))
    tokens = np.zeros((len(rows), 60), np.int32)
    lengths = np.asarray([rng.integers(0, len(row) + 1) for row in rows], np.int32)
    for place, row in enumerate(rows):
        tokens[place, : len(row)] = row
    agree = 0
    for answer in answers:
        mine = np.asarray(jax.jit(TokenVerifier(answer))(jnp.asarray(tokens), jnp.asarray(lengths)))
        text = [vocabulary.decode(row[:n]) for row, n in zip(tokens.tolist(), lengths, strict=True)]
        theirs = np.asarray([GSM8K(answer=answer, rule="strict")(one) for one in text], np.float32)
        np.testing.assert_array_equal(mine, theirs)
        agree += int(theirs.sum())
    assert agree > 100


def test_token_verifier_reads_no_further_than_the_window():
    """A right answer followed by 300 characters is out of sight of both."""
    filler = vocabulary.encode(" apples" * 60)
    for words in (40, 41, 42, 43):
        ids = [*vocabulary.encode("#### 12"), *filler[:words]]
        text = vocabulary.decode(ids)
        mine = TokenVerifier("12")(jnp.asarray(ids, jnp.int32), jnp.int32(len(ids)))
        assert float(mine) == GSM8K(answer="12", rule="strict")(text)


@pytest.mark.parametrize("name", NAMES)
def test_token_verifier_on_corpus_responses(name):
    random = Random(5)
    for problem in some(name, "test", 40):
        texts = [corpus.response(name, problem, random) for _ in range(12)]
        ids = [[*vocabulary.encode(text), vocabulary.EOS] for text in texts]
        tokens = np.zeros((len(ids), 40), np.int32)
        for row, one in enumerate(ids):
            tokens[row, : len(one)] = one
        mine = TokenVerifier(str(problem.answer))(jnp.asarray(tokens), jnp.asarray([len(i) for i in ids], jnp.int32))
        np.testing.assert_array_equal(mine, [GSM8K(answer=str(problem.answer), rule="strict")(text) for text in texts])


def test_data_sets_by_name():
    for name in NAMES:
        data = datasets.load(name, "test")
        problem = tasks.task(name).problem("test", 3)
        assert data.example(3).prompt[-1]["content"] == problem.prompt
        assert data.example(3).answer == str(problem.answer)
        assert len(data) == tasks.task(name).size("test")
        with pytest.raises(InputError, match="split"):
            datasets.load(name, "dev")
    for answer in ("", "-3", "1.5", "١"):
        with pytest.raises(InputError, match="plain digits"):
            TokenVerifier(answer)
    with pytest.raises(InputError, match="tiny-stories"):
        tasks.task("tiny-chess")
