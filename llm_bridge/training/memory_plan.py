"""What a fine-tuning run will hold on each device, before a weight is loaded: `bandit-rft finetune … --plan`.

    plan = plan_memory(FineTuneConfig(model="tiny-llama", prompt="1+1=", answer="2", rollouts=8))
    plan.peak                   bytes per device, of the fullest phase
    plan.report()               a table: phases across, what is held down, and the options that would make it smaller

Of the model config.json alone is read. Weights, moments, decoding's copy and the cache are the bytes of their shapes;
what a program needs beside them is XLA's own account of it (`memory_analysis`), compiled from those shapes by the
backend at hand. Of another device than a CPU a CPU can only estimate: in 16 bits its programs hold float32 copies of
weights that an accelerator multiplies as they are. `target="accelerator"` therefore takes temporaries from the float32
program: an estimate on the safe side, for 16-bit activations take half.

Where p0 and kappa are measured before the run, that is the first phase, with the tree of its responses.

Left out: what the allocator loses to fragments, compiled code, workspace of the libraries (cuDNN, NCCL), and the host.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from bandit_rft import arguments
from bandit_rft.errors import InputError
from bandit_rft.settings.finetune import FineTuneConfig
from bandit_rft.settings.mesh import sizes_of
from bandit_rft.settings.ranges import ABOVE_0, COUNT, MOST_ROWS
from llm_bridge.language_model import LanguageModel
from llm_bridge.models import lora, placement
from llm_bridge.models.attention import chosen
from llm_bridge.models.config import DecoderConfig
from llm_bridge.training.measured_first import SMALL
from llm_bridge.training.memory_programs import Compiled, Programs, abstract_params, bytes_of, in_float32

Target = Literal["here", "accelerator"]
GB = 1e9
_ITEMS = (
    ("weights", "weights that are trained"),
    ("base", "frozen weights"),
    ("reference", "reference"),
    ("moments", "optimiser's state"),
    ("rows", "responses kept of past rounds"),
    ("scores", "sums of scores"),
    ("copy", "decoding's copy of the weights"),
    ("cache", "keys and values"),
    ("gradient", "gradient"),
    ("before", "weights and state before the step"),
    ("temporaries", "activations and temporaries"),
)


@dataclass(frozen=True, kw_only=True)
class Phase:
    """One moment of a round.

    Attributes:
        name: what is computed.
        items: bytes per device by name.
    """

    name: str
    items: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes per device."""
        return sum(self.items.values())


@dataclass(frozen=True, kw_only=True)
class MemoryPlan:
    """What a run will hold.

    Attributes:
        model: by name.
        parameters: how many the model has, and how many of them are trained.
        devices: over which the run is spread.
        phases: of a round, in order.
        smaller: (options, peak in bytes) of the same run with one option changed, the smallest first.
        assumptions: sentences on what was taken for granted.
        limit: bytes of a device; None: not said.
        rates: upper bounds on tokens per second from stated rates of a device.
    """

    model: str
    parameters: tuple[int, int]
    devices: int
    phases: tuple[Phase, ...]
    smaller: tuple[tuple[str, int], ...] = ()
    assumptions: tuple[str, ...] = ()
    limit: int | None = None
    rates: Mapping[str, float] = field(default_factory=dict)

    @property
    def fullest(self) -> Phase:
        """The phase of the peak."""
        return max(self.phases, key=lambda phase: phase.total)

    @property
    def peak(self) -> int:
        """Bytes per device, of the fullest phase."""
        return self.fullest.total

    def to_json(self) -> dict[str, Any]:
        """Plain values; sizes in bytes per device."""
        return {
            "model": self.model,
            "parameters": self.parameters[0],
            "trained_parameters": self.parameters[1],
            "devices": self.devices,
            "peak_bytes": self.peak,
            "peak_phase": self.fullest.name,
            "phases": {phase.name: {**phase.items, "total": phase.total} for phase in self.phases},
            "smaller": [{"options": options, "peak_bytes": peak} for options, peak in self.smaller],
            "limit_bytes": self.limit,
            "fits": None if self.limit is None else self.peak <= self.limit,
            "tokens_per_second_at_most": dict(self.rates),
            "assumptions": list(self.assumptions),
        }

    def report(self) -> str:
        """The table and what follows from it, as text; GB of 10^9 bytes per device."""
        from llm_bridge.training.memory_report import report

        return report(self, dict(_ITEMS))


def plan_memory(
    config: FineTuneConfig,
    *,
    prompt_tokens: int | None = None,
    target: Target = "here",
    limit_gb: float | None = None,
    gb_per_second: float | None = None,
    tflops: float | None = None,
    alternatives: bool = True,
    progress: Callable[[str], None] | None = None,
) -> MemoryPlan:
    """The memory of one run of one seed, from its settings and the model's config.json.

    Args:
        config: as `bandit-rft finetune` makes it of its options; its data is not read.
        prompt_tokens: tokens of each prompt, which only the data and its tokenizer know; None: 256, or fewer where the
            model's context leaves fewer beside its responses.
        target: "here", the backend at hand, or "accelerator", estimated from float32 programs.
        limit_gb: memory of a device in GB (10^9 bytes), to be told whether the run fits.
        gb_per_second, tflops: a device's measured or stated memory bandwidth (10^9 bytes per second) and rate of matrix
            products (10^12 operations per second), for upper bounds on tokens per second; None: no bound is given.
        alternatives: plan the options as well that would make the peak smaller; False: for less time.
        progress: called with what is compiled, before each program is; a large model's take minutes.

    Raises:
        InputError: an unknown model, a config.json that the decoder cannot run, settings that do not go together, more
            devices than this backend has.

    Example:
        >>> from bandit_rft.settings.finetune import FineTuneConfig
        >>> from llm_bridge import plan_memory
        >>> config = FineTuneConfig(model="tiny-llama", prompt="1+1=", answer="2", rollouts=8, max_tokens=16)
        >>> plan = plan_memory(config, prompt_tokens=8, alternatives=False)
        >>> plan.phases[0].name, plan.phases[0].items["weights"] == 4 * plan.parameters[0]
        ('sampling', True)
    """
    arguments.require("config", config, FineTuneConfig, "a FineTuneConfig, the settings of bandit-rft finetune")
    limit_gb, gb_per_second, tflops = (
        None if value is None else ABOVE_0.checked(name, value)
        for name, value in (
            ("--device-memory", limit_gb),
            ("--device-bandwidth", gb_per_second),
            ("--device-tflops", tflops),
        )
    )
    if prompt_tokens is not None:
        prompt_tokens = COUNT.checked("--prompt-tokens", prompt_tokens)
    if target not in get_args(Target):
        raise InputError(f"target is {arguments.shown(target)}: give 'here' or 'accelerator'.")
    from llm_bridge.models import hub  # network and conversion code, which nothing else here needs

    shape = DecoderConfig.from_folder(hub.locate_config(config.model))
    if prompt_tokens is None:
        prompt_tokens = usual_prompt(config.max_tokens, shape.max_positions)
    kept: dict[Any, Compiled] = {}
    limit = None if limit_gb is None else round(limit_gb * GB)

    def tell(what: str, changed: str = "") -> None:
        if progress is not None:
            progress(f"compiling {what}{changed and ', with '}{changed}")

    plan, programs = _planned(config, shape, prompt_tokens, target, kept, tell=tell)
    found = []
    for text, changed in _smaller(config, programs.settings, plan.fullest.name) if alternatives else []:
        other, how = dataclasses.replace(config, **changed), {"near": plan, "tell": partial(tell, changed=text)}
        try:
            peak = _planned(other, shape, prompt_tokens, target, kept, **how)[0].peak
        except InputError:  # the options do not go together
            continue
        if peak < plan.peak:
            found.append((text, peak))
    found.sort(key=lambda pair: pair[1])
    rates = _rates(config, programs, prompt_tokens, gb_per_second, tflops)
    return dataclasses.replace(plan, smaller=tuple(found), limit=limit, rates=rates)


def usual_prompt(max_tokens: int | None, context: int) -> int:
    """Tokens of a prompt that nobody gave: 256, or what the context leaves beside responses of this length."""
    return max(1, min(256, context - (max_tokens or min(256, context // 2))))


def _planned(
    config: FineTuneConfig,
    shape: DecoderConfig,
    prompt_tokens: int,
    target: Target,
    kept: dict[Any, Compiled],
    near: MemoryPlan | None = None,
    tell: Callable[[str], None] = lambda what: None,
) -> tuple[MemoryPlan, Programs]:
    """The plan without alternatives, and the programs behind it; `tell` is called with what is compiled.

    Where a plan of nearly the same settings is given, only the program of its fullest phase is compiled anew; the
    others keep their caches and temporaries.
    """
    if config.mesh is not None:
        _simulate(config.mesh)
    adapters = None
    if config.lora_rank is not None:
        adapters = lora.make(config.lora_rank, config.lora_alpha, config.lora_weights)
    shape = dataclasses.replace(
        shape, mesh=placement.make(config.mesh, shape), lora=adapters, cache_dtype=config.cache_dtype
    )
    kind = chosen(config.attention, config.dtype, shape.head_dim, meshed=config.mesh is not None)
    shape = dataclasses.replace(shape, attention=kind)
    lora.check_fits(shape)
    if prompt_tokens >= shape.max_positions:
        raise InputError(
            f"--prompt-tokens is {prompt_tokens} and {config.model} takes {shape.max_positions}: lower it."
        )
    tokens = config.max_tokens or max(1, min(256, shape.max_positions - prompt_tokens))
    if prompt_tokens + tokens > shape.max_positions:
        raise InputError(
            f"A prompt of {prompt_tokens} tokens and {tokens} response tokens exceed the {shape.max_positions} that "
            f"{config.model} takes: lower --prompt-tokens or --max-tokens."
        )
    measures, several = config.measures, len(config.places) > 1
    settings: dict[str, Any] = {"max_tokens": tokens}
    if config.step_over_kappa is not None:
        settings |= {"step_over_kappa": None, "learning_rate": 1.0}
    config = dataclasses.replace(config, **settings)
    exact = programs = _programs(config, shape, config.dtype, config.param_dtype, prompt_tokens, kept, tell)
    estimated = target == "accelerator" and jax.default_backend() == "cpu" and config.dtype != "float32"
    if estimated:
        programs = _programs(config, shape, "float32", "float32", prompt_tokens, kept, tell)
    held = exact.settings
    weights, base, moments = bytes_of(exact.weights), bytes_of(exact.frozen), bytes_of(exact.moments)
    copy, _ = exact.decoding_copy()
    narrow = jnp.dtype(config.cache_dtype or config.dtype).itemsize / 4 if estimated else 1
    resident = {"weights": weights, "base": base, "moments": moments, "rows": exact.kept_rows}
    if held.needs_reference and adapters is None:
        resident["reference"] = weights
    # Weights of 32 bits are cast for 16-bit products: of the largest, outside the layers, the float32 program has none.
    cast = shape.vocabulary * shape.width * 2 if estimated and config.param_dtype != config.dtype else 0
    before = {}
    if held.epochs * held.mini_batches > 1:  # the round's first weights are kept until its last step is sound
        before = {"before": weights + moments}
    rows, evaluated = _sampled(held), _evaluated(config)
    summed = held.prompts * held.rollouts // held.mini_batches > (held.micro_batch or MOST_ROWS)
    wide = summed or config.param_dtype == "float16"
    gradient = bytes_of(in_float32(exact.weights)) if wide else weights
    needs = {
        "sampling": lambda: _sampling(programs, rows, narrow),
        "evaluation": lambda: _sampling(programs, evaluated, narrow),
        "scoring": lambda: {"temporaries": _made(programs.scoring()) + cast},
        "gradient": lambda: {
            "gradient": gradient,
            "temporaries": max(programs.gradient().made - bytes_of(programs.gradient().result[1]), 0)
            + exact.batch_bytes
            + cast,
        },
        "step": lambda: {"gradient": gradient, "temporaries": programs.step(donated=True).temporaries},
    }
    if evaluated[0] <= rows[0] and evaluated[1] <= rows[1]:
        del needs["evaluation"]
    if not held.scores_policy:
        del needs["scoring"]
    phases = []
    if measures:  # before there is a state: of weights those of the model alone
        at_once = min(config.evaluation_batch, config.measure_rollouts)
        drawn = {"copy": copy, **_sampling(programs, (at_once, 1), narrow)}
        scores = exact.measured_scores(config.measure_error and not several)
        moments_of_it = [drawn, {"scores": scores, "temporaries": programs.measuring().temporaries + cast}]
        if several or config.measure_tree or (config.measure_tree is None and _size(exact.weights) <= SMALL):
            responses = config.measure_rollouts * len(config.places)
            moments_of_it.append(dict(zip(("scores", "temporaries"), exact.measured_tree(responses), strict=True)))
        fuller = max(moments_of_it, key=lambda items: sum(items.values()))
        phases.append(Phase(name="measuring", items={"weights": weights, **fuller}))
    known = {} if near is None else {phase.name: phase.items for phase in near.phases if phase is not near.fullest}
    for name, needed in needs.items():
        items = resident | (before if name in ("gradient", "step") else {"copy": copy})
        if name in known:
            own = {item: known[name][item] for item in ("cache", "temporaries") if item in known[name]}
            items |= {"gradient": gradient} | own if name in ("gradient", "step") else own
        else:
            items |= needed()
        phases.append(Phase(name=name, items=items))
    assumed = [
        f"prompts of {prompt_tokens} tokens (--prompt-tokens) and responses that all take {tokens}",
        f"programs compiled for {jax.default_backend()} from shapes",
    ]
    if estimated:
        assumed[1] = "an accelerator; temporaries are those of the float32 program, on the safe side for 16 bits"
    elif jax.default_backend() == "cpu" and config.dtype != "float32":
        assumed.append("a CPU, which holds float32 copies for 16-bit products: --plan accelerator leaves them out")
    plan = MemoryPlan(
        model=config.model,
        parameters=(_size(exact.frozen) or _size(exact.weights), _size(exact.weights)),
        devices=placement.size(shape.mesh),
        phases=tuple(phases),
        assumptions=tuple(assumed),
    )
    return plan, exact


def _programs(
    config: FineTuneConfig,
    shape: DecoderConfig,
    dtype: str,
    param_dtype: str,
    tokens: int,
    kept: dict[Any, Compiled],
    tell: Callable[[str], None],
) -> Programs:
    from llm_bridge.training.from_settings import learner  # which draws figures: only where a plan is made

    # A narrower cache is read back in the compute dtype; where that is float32 in place of 16 bits, it has none.
    cache = shape.cache_dtype if dtype == config.dtype else None
    shape = dataclasses.replace(shape, cache_dtype=cache)
    graphdef, params = abstract_params(shape, dtype=dtype, param_dtype=param_dtype)
    model = LanguageModel(name=config.model, config=shape, graphdef=graphdef, params=params, tokenizer=None)
    settings = learner(config, model)
    rows = settings.prompts * settings.group
    options = (settings.micro_batch, settings.generation_batch, lambda name: f"--{name.replace('_', '-')}")
    placement.check_rows(shape.mesh, rows, *options)
    return Programs(settings, len(config.places), tokens, config.rounds, kept, tell)


def _sampled(settings: Any) -> tuple[int, int]:
    """(rows, prompts) of a round's largest batch of responses."""
    rows = settings.prompts * settings.group
    rows = min(settings.generation_batch or rows, rows)
    return rows, min(
        settings.prompts, -(-rows // settings.group) + (settings.prompts > 1 and rows % settings.group > 0)
    )


def _evaluated(config: FineTuneConfig) -> tuple[int, int]:
    """(rows, prompts) of the largest batch of an evaluation; zeros where there is none.

    Rows that answer one question stand together. Left out: that more than two batches of rows are refilled as they end,
    which holds the prompts that are read next besides (`llm_bridge.sampling.refill`).
    """
    most = max(config.ks)
    asked = []
    if config.train_samples:
        shown = min(len(config.places), config.train_questions)
        asked.append((shown, max(-(-config.train_samples // shown), most)))
    if config.test_source:
        asked.append((config.test_questions, most))
    found = [(0, 0)]
    for questions, samples in asked:
        rows = min(config.evaluation_batch, questions * samples)
        found.append((rows, min(questions, -(-rows // samples) + (rows % samples > 0))))
    return max(rows for rows, _ in found), max(prompts for _, prompts in found)


def _made(program: Compiled | None) -> int:
    return 0 if program is None else program.made


def _sampling(programs: Programs, many: tuple[int, int], narrow: float) -> dict[str, int]:
    """The fullest moment of sampling: while the cache grows, or while tokens are decoded."""
    found = programs.sampling(*many)
    prefix, state = found["prefill"].result
    held = bytes_of(prefix)
    moments = [(held + bytes_of(state), found["prefill"].temporaries)]
    if "grow" in found:
        grown = found["grow"].result
        moments.append((held + bytes_of(grown), found["grow"].arguments + found["grow"].temporaries))
        state = grown
    moments.append((held + bytes_of(state), found["decode"].temporaries))
    cache, temporaries = max(moments, key=sum)
    return {"cache": round(cache * narrow), "temporaries": temporaries}


def _smaller(config: FineTuneConfig, settings: Any, fullest: str) -> list[tuple[str, dict[str, Any]]]:
    """Options that may lower the peak, as a user types them, and the fields that they change."""
    found: list[tuple[str, dict[str, Any]]] = []
    rows = settings.prompts * settings.rollouts // settings.mini_batches
    micro = min(config.micro_batch or rows, rows)
    if micro > 1 and fullest in ("gradient", "scoring"):
        found.append((f"--micro-batch {micro // 2}", {"micro_batch": micro // 2}))
    if not config.remat and fullest in ("gradient", "measuring"):
        found.append(("--remat", {"remat": True}))
    sampled = _sampled(settings)[0]
    if sampled > 1 and fullest == "sampling":
        found.append((f"--generation-batch {sampled // 2}", {"generation_batch": sampled // 2}))
    if config.evaluation_batch > 1 and fullest == "measuring":
        half = config.evaluation_batch // 2
        found.append((f"--evaluation-batch {half}", {"evaluation_batch": half}))
    if config.measure_error and fullest == "measuring" and len(config.places) == 1:
        found.append(("--no-measure-error", {"measure_error": False}))
    if config.evaluation_batch > sampled and fullest == "evaluation":
        found.append((f"--evaluation-batch {sampled}", {"evaluation_batch": sampled}))
    if config.lora_rank is None and config.optimizer != "muon" and not config.measures:
        found.append(("--lora-rank 16", {"lora_rank": 16}))
        if settings.needs_reference:
            off = {"kl_coefficient": 0.0, "reward_kl_coefficient": 0.0, "log_kl": False, "kl_weighted": False}
            found.append(("--kl-coefficient 0 (no reference)", off))
    if config.lora_rank is not None and config.param_dtype == "float32":
        found.append(("--param-dtype bfloat16 (of the frozen weights)", {"param_dtype": "bfloat16"}))
    if config.moment_dtype == "float32" and config.optimizer != "sgd":
        found.append(("--moment-dtype bfloat16", {"moment_dtype": "bfloat16"}))
    if config.dtype == "float32":
        found.append(("--dtype bfloat16", {"dtype": "bfloat16"}))
        if config.cache_dtype is None and fullest in ("sampling", "evaluation"):
            found.append(("--cache-dtype bfloat16", {"cache_dtype": "bfloat16"}))
    return found


def _rates(
    config: FineTuneConfig, programs: Programs, prompt_tokens: int, gb_per_second: float | None, tflops: float | None
) -> dict[str, float]:
    """Upper bounds on tokens per second, of all devices, from stated rates of one; none where no rate is stated.

    Decoding reads the copy of the weights for every token of the batch, and of the cache the prompt and half of the
    response: it cannot be faster than its bytes. An update takes 2 operations a weight and token forward, as many for
    the gradient in the states and, unless the weights are frozen, in the weights.
    """
    found: dict[str, float] = {}
    settings, shape = programs.settings, programs.model.config
    devices = placement.size(shape.mesh)
    rows = _sampled(settings)[0]
    if gb_per_second is not None:
        kind = jnp.dtype(config.cache_dtype or config.dtype).itemsize
        each = 2 * shape.layers * shape.kv_heads * shape.head_dim * kind
        response = (settings.max_tokens or 0) / 2
        asked = 1 if settings.prompts == 1 else rows
        cache = each * (prompt_tokens * asked + response * rows) / devices
        found["decoding"] = rows * gb_per_second * GB / (programs.decoding_copy()[0] + cache)
    if tflops is not None:
        every = _size(programs.frozen) + _size(programs.weights)
        if not shape.tied:
            every -= shape.vocabulary * shape.width  # an embedding is looked up, not multiplied with
        passes = (4 if shape.lora is not None else 6) + (2 if config.remat else 0)
        found["update"] = tflops * 1e12 * devices / (passes * every)
    return found


def _size(tree: Any) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def _simulate(mesh: str) -> None:
    """On a CPU that has not started yet, as many simulated devices as the mesh takes."""
    wanted = math.prod(sizes_of(mesh).values())
    try:
        jax.config.update("jax_num_cpu_devices", wanted)
    except RuntimeError:  # it runs already: with the devices that it has, or the mesh is refused in a sentence
        return
