"""Settings on language models: which questions they are trained on, how, and what is measured along the rounds.

Questions are chosen by a rule that was written before any run: of `scanned` training questions, each with
`scan_samples` responses, the first `per_bin` whose share of right ones lies in the bin. Their p0 is then measured again
with fresh responses, because a share that was looked at is biased towards its bin.

The step of "sgd" is in units of 1/kappa, where kappa is the median over the questions of the bin at a quarter: one step
for a model and task, as one would choose it, so that a harder question is not given a larger one.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jax
import numpy as np

from bandit_rft.errors import InputError
from bandit_rft.experiments import Outcome, Setting, Unit
from bandit_rft.keys import as_key
from bandit_rft.runs import read_json, to_json, write_atomically
from bandit_rft.runs.progress import ProgressLine
from llm_bridge import FineTune, LanguageModel, QuestionArms, finetune, load_model, measure
from llm_bridge.bandits.question_arms import verifier_of
from llm_bridge.bandits.token_arms import TokenQuestionArms, speaks_tiny
from llm_bridge.data import datasets
from llm_bridge.measuring.evaluate import evaluate
from llm_bridge.sampling.buckets import lone_width
from llm_bridge.training.evaluators import Evaluator
from simulations.tiny_models import checkpoints

# [low, high) of the share of right responses in the scan, by a bin's name.
BINS = {
    "0.5": (0.35, 0.65),
    "0.25": (0.15, 0.35),
    "0.05": (0.03, 0.08),
    "0.01": (0.005, 0.02),
    "0.001": (0.0, 0.002),
}
MEDIUM, HARD = "0.25", ("0.01", "0.001")
TEST_FILES = {"gsm8k": 1319, "math": 5000}  # questions
SCAN_KEY, AGAIN_KEY, KAPPA_KEY, RUN_KEY = 401, 402, 403, 404


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU- or device-seconds, measured once.

    Attributes:
        run: of a run, its compilation among it.
        round: of a seed's round.
        pull: of each of its responses, generated and learned from.
        response: of an evaluation's response.
    """

    run: float
    round: float
    pull: float
    response: float


@dataclass(frozen=True, kw_only=True)
class LanguageTier:
    """Models, tasks and sizes of a study.

    Attributes:
        models, tasks: what "base model" and "task" range over; names as `load_model` and `datasets.load` take them.
        bins: of "difficulty", names of `BINS`.
        optimisers: (optimizer, step) of "optimiser".
        seeds, rounds: of each run.
        hard_seeds: of the runs on questions of `HARD` bins, where some seeds learn and others do not.
        per_bin: questions of each bin of each model and task.
        scanned, scan_samples: training questions that are scanned, and responses to each. first: of them.
        fresh: responses behind a chosen question's p0 and kappa.
        test_questions: evaluated with one response each; 0: none.
        train_once: whether one response to each training question is drawn when the test questions are, as the papers
            do: of one question it is one coin.
        evaluate_every: rounds between those evaluations.
        max_tokens: longest response.
        batch: responses sampled together in scans and evaluations.
        made: of the models that are made by a recipe, their folders. made_by: the command that makes them.
        load, learn: more for `load_model` and for `FineTune`.
        cost: what is counted for a plan.
        key: of all random numbers of the runs, those of choosing and measuring questions apart.
    """

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    bins: tuple[str, ...]
    optimisers: tuple[tuple[str, float], ...]
    seeds: int
    rounds: int
    per_bin: int
    scanned: int
    scan_samples: int
    fresh: int
    max_tokens: int
    test_questions: int
    evaluate_every: int
    batch: int
    cost: Cost
    hard_seeds: int = 0
    first: int = 0
    train_once: bool = False
    made: Mapping[str, Path] = field(default_factory=dict)
    made_by: str = ""
    load: Mapping[str, Any] = field(default_factory=dict)
    learn: Mapping[str, Any] = field(default_factory=dict)
    key: int = RUN_KEY
    version: int = 1

    @property
    def levels(self) -> Mapping[str, tuple[Mapping[str, Any], ...]]:
        """Of the factors that experiments name."""
        return {
            "base model": tuple({"model": model} for model in self.models),
            "task": tuple({"task": task} for task in self.tasks),
            "optimiser": tuple({"optimizer": name, "step": step} for name, step in self.optimisers),
            "difficulty": tuple({"p0": name} for name in self.bins),
        }

    def with_seeds(self, seeds: int) -> LanguageTier:
        """The same with so many seeds in each run, those on hard questions among them."""
        return dataclasses.replace(self, seeds=seeds, hard_seeds=seeds)

    def held_out(self, *, key: int | None = None, first: int | None = None) -> LanguageTier:
        """The same with another key, or with questions from another one on; its name says so, and with it the digest of
        every run."""
        name = self.name + ("" if key is None else f"-key-{key}") + ("" if first is None else f"-from-{first}")
        return dataclasses.replace(
            self, name=name, key=self.key if key is None else key, first=self.first if first is None else first
        )

    def planned(self, setting: Setting) -> int:
        """How many units a setting has, where every bin is filled.

        Raises:
            InputError: settings of the learner that it lacks.
        """
        self._learner(setting, None, setting.step)
        if setting.pool > 1:
            return int(setting.optimizer != "sgd")
        return self.per_bin if setting.p0 in self.bins else 0

    def units(self, setting: Setting, folder: Path) -> Sequence[Unit]:
        """The questions of the setting's bin; or the pool of several questions, which are the first of the training
        split, whatever their difficulty (kappa, and with it the step of "sgd", is not defined there: it has none)."""
        if not self.planned(setting):
            return ()
        for name in self.made:  # before the first scan, which takes a while
            for task in self.tasks:
                if not self._scan_of(name, task, folder).exists():
                    self._check_made(name)
        named = f"{setting.model}, {setting.task}"
        if setting.pool > 1:
            return (Unit(f"{named}, questions 0 to {setting.pool - 1}"),)
        chosen = self.chosen(setting.model, setting.task, folder)
        if weights := chosen["design"].get("weights"):  # runs on other weights are other runs
            named += f" (weights {weights[:12]})"
        widths = chosen.get("widths", {})  # a scan of an earlier version has none: runs then are in another order
        return [
            Unit(f"{named}, question {place}", int(place), widths.get(place, 0))
            for place in chosen["bins"].get(setting.p0, {})
        ]

    def chosen(self, name: str, task: str, folder: Path) -> dict[str, Any]:
        """{"design": of the scan, "bins": bin -> {question: p0}, "widths": question -> that its run is compiled for,
        "kappa": of the bin at a quarter}; from the scan, which `folder` keeps.

        Raises:
            InputError: no question of the bin at a quarter, so that there is no step for "sgd"; or the folder keeps the
                scan of another design.
        """
        path = self._scan_of(name, task, folder)
        if path.exists():
            return self._of_this_design(read_json(path), path, name)
        model = self._model(name)
        data = datasets.load(task, "train")
        if self.first >= len(data):
            raise InputError(f"--first is {self.first:,}: {task} has {len(data):,} training questions, counted from 0.")
        sampled: dict[str, Any] = {"max_tokens": self.max_tokens, "batch": self.batch}
        looked_at = range(self.first, min(self.first + self.scanned, len(data)))
        examples = {place: data.example(place) for place in looked_at}
        with ProgressLine(f"choosing questions of {name}, {task}", unit="responses", quantity="Pass@1") as line:
            scan = evaluate(
                model, list(examples.values()), key=SCAN_KEY, samples=self.scan_samples, progress=line, **sampled
            )
        shares = np.asarray(scan.per_question) / self.scan_samples
        places = {
            name: [place for place, share in zip(examples, shares, strict=True) if low <= share < high][: self.per_bin]
            for name, (low, high) in BINS.items()
            if name in {*self.bins, MEDIUM}
        }
        if not places[MEDIUM]:
            raise InputError(
                f"{name} on {task} has no question with p0 from {BINS[MEDIUM][0]} to {BINS[MEDIUM][1]} among the "
                f"{len(examples)} from question {self.first} on: scan more of them."
            )
        wanted = sorted({place for some in places.values() for place in some})
        again = evaluate(
            model, [examples[place] for place in wanted], key=AGAIN_KEY, samples=self.fresh, **sampled
        ).per_question
        p0 = dict(zip(wanted, (np.asarray(again) / self.fresh).tolist(), strict=True))
        kappas = [self._kappa(model, examples[place], place) for place in places[MEDIUM]]
        found = {
            "design": {**self.scan_design(), **self._weights(name)},
            "bins": {name: {str(place): p0[place] for place in some} for name, some in places.items()},
            "widths": {str(place): _width(model, examples[place]) for place in wanted},
            "kappa": float(np.median(kappas)),
        }
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, to_json(found))
        return found

    def _scan_of(self, name: str, task: str, folder: Path) -> Path:
        return folder / f"questions-{name.replace('/', '--')}-{task}.json"

    def scan_design(self) -> dict[str, Any]:
        """Plain values: all of the tier that decides which questions are chosen, and what is measured of them."""
        sizes = ("first", "scanned", "scan_samples", "per_bin", "fresh", "max_tokens")
        return {
            **{name: getattr(self, name) for name in sizes},
            "bins": {name: list(BINS[name]) for name in sorted({*self.bins, MEDIUM})},
            "load": dict(self.load),
            "keys": [SCAN_KEY, AGAIN_KEY, KAPPA_KEY],
        }

    def _weights(self, name: str) -> dict[str, str]:
        """{"weights": digest} of a model that is made by a recipe, which rounds differently on another machine."""
        return {"weights": checkpoints.digest(self.made[name])} if name in self.made else {}

    def _of_this_design(self, kept: dict[str, Any], path: Path, name: str) -> dict[str, Any]:
        wanted, design = self.scan_design(), kept.get("design")
        if name in self.made and checkpoints.is_made(self.made[name]):
            wanted |= self._weights(name)
        elif design and "weights" in design:  # judged without the model, where all runs are there
            wanted["weights"] = design["weights"]
        if design == wanted:
            return kept
        if design is None:
            said = "does not say by which design its questions were chosen"
        else:
            other = next(entry for entry in {**wanted, **design} if wanted.get(entry) != design.get(entry))
            said = f"has questions that were chosen with {other} {design.get(other)}, and tier {self.name} has "
            said += f"{wanted.get(other)}"
        raise InputError(
            f"{path} {said}: remove the file, and the scan is made again with the same keys; or give --out another "
            "folder."
        )

    def _kappa(self, model: LanguageModel, example: Any, place: int) -> float:
        return measure(
            model,
            example.prompt,
            verifier_of(None, example),
            key=jax.random.fold_in(as_key(KAPPA_KEY), place),
            max_tokens=self.max_tokens,
            rollouts=self.fresh,
            batch=min(64, self.batch),
            standard_error=False,
        ).kappa

    def run(self, setting: Setting, unit: Unit, folder: Path) -> Outcome:
        """Fine-tune and evaluate, all seeds at once. What is left in the folder is the history and the responses: the
        checkpoints of a run that is done are removed."""
        model = self._model(setting.model)
        data, test = datasets.load(setting.task, "train"), datasets.load(setting.task, "test")
        several = setting.pool > 1
        examples = [data.example(unit.place + offset) for offset in range(setting.pool)]
        arms = (TokenQuestionArms if speaks_tiny(model) else QuestionArms)(model, examples)
        # folder is runs/DIGEST of the whole study, which keeps the scan.
        chosen = {} if several else self.chosen(setting.model, setting.task, folder.parents[1])
        step = setting.step / chosen["kappa"] if setting.optimizer == "sgd" else setting.step
        tests = [test.example(place) for place in range(min(self.test_questions, len(test)))]
        learner = FineTune(**self._learner(setting, model, step))
        once: dict[str, Any] = {"every": self.evaluate_every, "samples": 1, "batch": self.batch}
        evaluators = [Evaluator("test", tests, **once)] if tests else []
        if self.train_once:
            evaluators.append(Evaluator("train", examples, **once))
        done = finetune(
            arms,
            learner,
            self.rounds,
            seeds=self.seeds_of(setting),
            key=self.key,
            out=folder / "run",
            evaluate=evaluators,
            checkpoint_every=self.evaluate_every,
            shown=False,
        )
        evaluated, seen = _curves(done.evaluations, "test", self.seeds_of(setting))
        outcome = Outcome(
            train=done.history.rewards.mean(axis=2),
            evaluated=evaluated,
            test=seen,
            p0=math.nan if several else chosen["bins"][setting.p0][str(unit.place)],
            pulls=setting.pulls,
            noise=float((seen[:, -1] * (1 - seen[:, -1])).mean() / len(tests)) if tests else 0.0,
            train_once=_curves(done.evaluations, "train", self.seeds_of(setting))[1] if self.train_once else None,
            right=_last_answers(done.evaluations, self.seeds_of(setting)) if tests else None,
        )
        shutil.rmtree(folder / "run" / "checkpoints", ignore_errors=True)
        return outcome

    def _check_made(self, name: str) -> None:
        place = self.made.get(name)
        if place is not None and not checkpoints.is_made(place):
            raise InputError(f"--tier {self.name} needs a model in {place}, and there is none: run {self.made_by}.")

    def _model(self, name: str) -> LanguageModel:
        self._check_made(name)
        return _loaded(str(self.made.get(name, name)), tuple(sorted(self.load.items())))

    def _learner(self, setting: Setting, model: LanguageModel | None, step: float) -> dict[str, Any]:
        """What the run's `FineTune` is made with. Raises InputError for what `setting.learner` must not say."""
        decided = {
            "model": model,
            "signal": setting.signal,
            "prompts": setting.questions,
            "rollouts": setting.rollouts,
            "baseline_rollouts": setting.extra_rollouts,
            "reward_wrong": setting.reward_wrong,
            "learning_rate": step,
            "optimizer": setting.optimizer,
            "window": setting.score_window,
        }
        plain = {"kl_coefficient": 0.0, "gradient_clip": None, "weight_decay": 0.0, "max_tokens": self.max_tokens}
        return setting.learner_of(FineTune, decided, {**plain, **self.learn})

    def seeds_of(self, setting: Setting) -> int:
        """More of them on hard questions."""
        hard = setting.pool == 1 and setting.p0 in HARD
        return max(self.seeds, self.hard_seeds) if hard else self.seeds

    def rounds_of(self, setting: Setting) -> int:
        """As many everywhere."""
        del setting
        return self.rounds

    def seconds(self, setting: Setting) -> float:
        """CPU-seconds, from costs that were measured once."""
        cost, seeds = self.cost, self.seeds_of(setting)
        evaluations = -(-self.rounds // self.evaluate_every) * seeds + 1  # before the first round all seeds are one
        rounds = self.rounds * seeds * (cost.round + cost.pull * setting.pulls)
        each = self.test_size(setting.task) + (setting.pool if self.train_once else 0)
        return cost.run + rounds + cost.response * evaluations * each

    def test_size(self, task: str) -> int:
        """Test questions that are evaluated, as a plan counts them."""
        return min(self.test_questions, TEST_FILES.get(task, self.test_questions))

    def one_sample(self) -> LanguageTier:
        """The same with the papers' metric: one response at temperature 1 to every question of the training and of the
        test file, before training and every 100 rounds. Of a task whose questions are generated, as many as MATH's."""
        return dataclasses.replace(
            self,
            name=f"{self.name}-one-sample",
            test_questions=max(TEST_FILES.values()),
            train_once=True,
            evaluate_every=100,
        )

    def scan_seconds(self) -> float:
        """CPU-seconds, of choosing the questions of every model and task."""
        bins = len({*self.bins, MEDIUM})
        responses = self.scanned * self.scan_samples + 2 * bins * self.per_bin * self.fresh
        return len(self.models) * len(self.tasks) * (self.cost.run + self.cost.response * responses)


def _last_answers(records: Sequence[Mapping[str, Any]], seeds: int) -> np.ndarray:
    """float64 [S, Q], share of right responses to each test question after the last round."""
    tests = [record for record in records if record["measured"] == "test"]
    last = max(record["round"] for record in tests)
    found = {
        record.get("seed"): np.asarray(record["per_question"]) / record["samples_per_question"]
        for record in tests
        if record["round"] == last
    }
    return np.stack([found[seed] if seed in found else found[None] for seed in range(seeds)])


def _width(model: LanguageModel, example: Any) -> int:
    """Of the prompt in a run on this question alone."""
    return lone_width(len(QuestionArms(model, [example]).question_tokens[0]))


@functools.lru_cache(maxsize=2)
def _loaded(name: str, how: tuple[tuple[str, Any], ...]) -> LanguageModel:
    return load_model(name, **dict(how))


def _curves(records: Sequence[Mapping[str, Any]], name: str, seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """(rounds [E], Pass@1 [S, E]) of an evaluator; before the first round one evaluation stands for all seeds."""
    tests = [record for record in records if record["measured"] == name]
    rounds = sorted({record["round"] for record in tests})
    seen = np.full((seeds, len(rounds)), np.nan)
    for record in tests:
        seed = record.get("seed")
        seen[slice(None) if seed is None else seed, rounds.index(record["round"])] = record["pass_at_1"]
    return np.array(rounds, np.int64), seen
