"""A language model with its tokenizer: logits, sampled responses and their score, by one name."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

import flax.nnx as nnx
import jax
import jax.numpy as jnp
import numpy as np

from bandit_rft import arguments
from bandit_rft.errors import InputError, reason
from bandit_rft.fingerprint import COUNTS
from bandit_rft.keys import Key, Purpose, as_key, row_keys
from bandit_rft.settings.ranges import COUNT, GREEDY, MOST_ROWS, ROWS, TEMPERATURE
from llm_bridge import hosts
from llm_bridge.models import chat_template, lora, placement, tokenizers
from llm_bridge.models.attention import chosen
from llm_bridge.models.compilation_cache import use_compilation_cache
from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoding_weights import LastPrepared
from llm_bridge.models.weights import abstract_decoder, load_params, untied_where_heads_differ
from llm_bridge.sampling import waiting
from llm_bridge.sampling.buckets import bucket, narrowest
from llm_bridge.sampling.generate import SMALLEST_PROMPT, Rollouts, Sampled, sample
from llm_bridge.sampling.scoring import token_log_probs

if TYPE_CHECKING:
    from llm_bridge.models.hub import Source

Array = jax.Array
# A prompt: one user message, or a conversation of {"role": …, "content": …} messages.
Prompt = str | Sequence[Mapping[str, str]]
DTYPES = ("float32", "bfloat16", "float16")


@dataclass(frozen=True, kw_only=True, eq=False)
class LanguageModel:
    """A decoder, its parameters and its tokenizer. It is equal to itself alone.

    Attributes:
        name: as given to `load_model`.
        config: the decoder's shape and constants.
        graphdef: the decoder's static part; `nnx.merge(graphdef, params)` is the `Decoder`.
        params: its parameters, a pytree. Methods take others of the same structure by `params=` (fine-tuned ones).
        tokenizer: a transformers tokenizer.
        source: where it was loaded from, the hub's commit included; None for a model made in memory.
        prompt_date: what a chat template that reads the clock is shown, so that a prompt is the same text whenever it
            is encoded; local time at which the model was made, to the second, unless given.
        thinking: whether the chat template lets the model think before it answers; None: as the template does by
            itself.
    """

    name: str
    config: DecoderConfig
    graphdef: Any
    params: Any
    tokenizer: Any
    source: Source | None = None
    # Arms hold their prompts as the date has made them.
    prompt_date: datetime.datetime = field(default_factory=chat_template.moment, metadata={COUNTS: False})
    thinking: bool | None = field(default=None, metadata={COUNTS: False})  # and as this has
    _prepared: LastPrepared = field(default_factory=LastPrepared, repr=False, compare=False, metadata={COUNTS: False})

    never_changes: ClassVar[bool] = True  # so that runs on it may share what is compiled

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        """Of the very arrays: one that was exchanged all the same makes it another model."""
        return hash((id(self), *map(id, jax.tree.leaves(self.params))))

    @property
    def described(self) -> str:
        """What a history's config says of the model: its name alone, for weights are not read to describe a run."""
        return self.name

    def logits(self, tokens: Any, *, params: Any = None) -> Array:
        """Logits [B, T, V] float32 for int tokens [B, T]; all of them at once, so meant for small B·T.

        Raises:
            InputError: tokens outside the vocabulary, not [B, T], or longer than the context.
        """
        try:
            tokens = np.asarray(tokens)
        except ValueError:
            raise InputError("logits takes tokens [B, T], and these are rows of several lengths: pad them.") from None
        if tokens.ndim != 2 or tokens.size == 0 or not np.issubdtype(tokens.dtype, np.integer):
            raise InputError(
                f"logits takes integer tokens [B, T], not {tokens.dtype} {list(tokens.shape)}: add a batch axis."
            )
        if tokens.min() < 0 or tokens.max() >= self.config.vocabulary:
            raise InputError(
                f"logits got a token outside 0 … {self.config.vocabulary - 1}: encode with this model's tokenizer."
            )
        self._check_context(tokens.shape[1], 0)
        params = self.whole(params)
        padded = np.pad(tokens.astype(np.int32), ((0, 0), (0, bucket(tokens.shape[1]) - tokens.shape[1])))
        return _logits(self.graphdef, params, jnp.asarray(padded))[:, : tokens.shape[1]]

    def encode(self, prompt: Prompt) -> np.ndarray:
        """Token ids int32 [P] of a prompt.

        With a chat template, a string is one user message and the generation prompt is added; without one, a string is
        encoded as the tokenizer encodes plain text, but that no end-of-text token is put behind it, and messages are
        joined by newlines.

        Raises:
            InputError: an empty prompt or malformed messages, a chat template that refuses them or is none, a token
                that the model does not have, or more of them than its context holds.
        """
        messages = chat_template.messages_of(prompt)
        template = getattr(self.tokenizer, "chat_template", None)
        if template:
            text = chat_template.render(
                template,
                messages,
                name=self.name,
                special_tokens=self.tokenizer.special_tokens_map,
                now=self.prompt_date,
                thinking=self.thinking,
            )
        else:
            text = "\n".join(message["content"] for message in messages)
        try:
            ids = tokenizers.encoded(self.tokenizer, text, templated=bool(template), ends=self.config.eos_ids)
        except Exception as error:  # half of a surrogate pair, say; tokenizers raise bare exceptions
            raise InputError(
                f"The tokenizer of {self.name} refuses the prompt ({reason(error)}): give it as plain Unicode text."
            ) from None
        if not ids:
            raise InputError("The prompt has no tokens: give at least one character that the tokenizer knows.")
        if not 0 <= min(ids) <= max(ids) < self.config.vocabulary:
            raise InputError(
                f"The prompt has the token {max(ids)} and {self.name} has {self.config.vocabulary}, from 0: put the "
                "tokenizer that belongs to these weights beside them."
            )
        self._check_context(len(ids), 0)
        return np.asarray(ids, np.int32)

    def generate(
        self,
        prompt: Prompt,
        *,
        rollouts: int,
        max_tokens: int,
        key: Key,
        temperature: float = 1.0,
        params: Any = None,
        ignore_eos: bool = False,
    ) -> Rollouts:
        """Sample `rollouts` responses to one prompt; the prompt is run once.

        Args:
            prompt: text or messages, as `encode` takes them.
            rollouts: G, responses to sample.
            max_tokens: response tokens at most, T.
            key: a whole number or a JAX key. Row g draws from fold_in(key, g), whatever the number of rows.
            temperature: of the sampled softmax; 0 is greedy.
            params: other parameters than the model's own.
            ignore_eos: keep sampling past end-of-text tokens (for benchmarks).

        Raises:
            InputError: an empty or too long prompt, or an argument out of range.
        """
        rollouts = ROWS.checked("rollouts", rollouts)
        return self.sample_rows(
            [self.encode(prompt)],
            row_keys(as_key(key), np.arange(rollouts)),
            max_tokens=max_tokens,
            temperature=temperature,
            params=params,
            ignore_eos=ignore_eos,
        )

    def generate_many(
        self,
        prompts: Sequence[Prompt],
        *,
        max_tokens: int,
        key: Key,
        temperature: float = 1.0,
        params: Any = None,
        ignore_eos: bool = False,
    ) -> Rollouts:
        """Sample one response to each prompt, all in one batch; arguments as in `generate`, row g for prompts[g].

        Raises:
            InputError: no prompts, an empty or too long one, or an argument out of range.
        """
        arguments.require("prompts", prompts, (list, tuple), "a list of prompts, and a lone one to generate")
        if not prompts:
            raise InputError("generate_many has no prompts: give at least one.")
        return self.sample_rows(
            [self.encode(prompt) for prompt in prompts],
            row_keys(as_key(key), np.arange(len(prompts))),
            max_tokens=max_tokens,
            temperature=temperature,
            params=params,
            ignore_eos=ignore_eos,
        )

    def log_probs(
        self, prompt: Prompt, rollouts: Rollouts, *, params: Any = None, temperature: float = 1.0
    ) -> np.ndarray:
        """The trainer's score of the responses to one prompt: float32 [G, T] in nats, 0 past each row's length.

        Teacher-forced by `scoring.token_log_probs`, the code that fine-tuning differentiates.
        """
        arguments.require("rollouts", rollouts, Rollouts, "what generate or sample_rows returned")
        temperature = TEMPERATURE.checked("temperature", temperature)
        ids = self.encode(prompt)
        rows, columns = rollouts.tokens.shape
        longest = max(1, int(rollouts.lengths.max()))
        padded_rows, length = bucket(rows), bucket(longest)
        prompt_ids = np.full((bucket(len(ids), smallest=SMALLEST_PROMPT),), self.config.pad_id, np.int32)
        prompt_ids[: len(ids)] = ids
        tokens = np.full((padded_rows, length), self.config.pad_id, np.int32)
        tokens[:rows, :longest] = rollouts.tokens[:, :longest]
        lengths = np.zeros((padded_rows,), np.int32)
        lengths[:rows] = rollouts.lengths
        scores = _score(
            self.graphdef,
            self.whole(params),
            jnp.asarray(prompt_ids),
            jnp.int32(len(ids)),
            jnp.asarray(tokens),
            jnp.asarray(lengths),
            jnp.float32(temperature),
        )
        out = np.zeros((rows, columns), np.float32)
        out[:, :longest] = placement.on_host(scores)[:rows, :longest]
        return out

    def sample_rows(
        self,
        prompts: Sequence[np.ndarray],
        row_keys: np.ndarray,
        *,
        max_tokens: int,
        temperature: float = 1.0,
        params: Any = None,
        ignore_eos: bool = False,
        prompt_width: int | None = None,
    ) -> Rollouts:
        """Sample one response per row, each from a key of its own: neither the other rows nor its place changes a row's
        random numbers.

        The tokens are then the same up to rounding: products of another shape may differ in a logit's last bit, and a
        draw that falls between the two takes another token.

        Args:
            prompts: token ids int [P] as `encode` gives them: one for all rows, or one per row.
            row_keys: raw keys uint32 [R, 2], as `bandit_rft.keys.row_keys` makes them, consumed.
            max_tokens, temperature, params, ignore_eos: as in `generate`.
            prompt_width: tokens to which prompts are padded, for one compiled program whatever their lengths; None: a
                bucket of the longest.

        Raises:
            InputError: no prompt, one that is too long or has a token that the model lacks, or an argument out of
                range.
        """
        params, max_tokens, temperature = self._checked(prompts, row_keys, max_tokens, temperature, params)
        if prompt_width is not None:
            least = max(len(prompt) for prompt in prompts)
            prompt_width = arguments.whole("prompt_width", prompt_width, least, MOST_ROWS)
        sampled = sample(
            self.graphdef,
            params,
            self._prepared.weights(self.graphdef, params),
            self.config,
            list(prompts),
            row_keys=row_keys,
            max_tokens=max_tokens,
            temperature=temperature,
            eos_ids=() if ignore_eos else self.config.eos_ids,
            prompt_width=prompt_width,
        )
        return self._rollouts(sampled, prompts)

    def sample_waiting(
        self,
        prompts: Sequence[np.ndarray],
        row_keys: np.ndarray,
        *,
        width: int,
        max_tokens: int,
        temperature: float = 1.0,
        params: Any = None,
        ignore_eos: bool = False,
        prompt_widths: Sequence[int] | None = None,
    ) -> Iterator[tuple[np.ndarray, Rollouts]]:
        """`sample_rows` of any number of rows, at most `width` of them together: one that waits begins where another
        has ended (`llm_bridge.sampling.waiting`). What the caller does with a part overlaps with the sampling of the
        next.

        Batches of `width` in turn, to the bit those of `sample_rows`, are what is sampled of no more than two batches
        of rows (`waiting.FEW`), on a mesh, by several processes, and where no token ends a response.

        Args:
            prompts, row_keys, max_tokens, temperature, params, ignore_eos: as in `sample_rows`.
            width: rows together, at least 1.
            prompt_widths: rising numbers of tokens; prompts that are read together are padded to the first that holds
                them. None: to buckets.

        Yields:
            (rows int [n], their responses), each row once, in the order in which they end.

        Raises:
            InputError: as `sample_rows`, at the first part.

        Example:
            >>> import numpy as np
            >>> from bandit_rft.keys import as_key, row_keys
            >>> from llm_bridge import load_model
            >>> model = load_model("tiny-llama")
            >>> keys = row_keys(as_key(0), np.arange(5))
            >>> parts = model.sample_waiting([model.encode("2+3=?")], keys, width=2, max_tokens=4)
            >>> sorted(int(row) for rows, _ in parts for row in rows)
            [0, 1, 2, 3, 4]
        """
        width = arguments.whole("width", width)
        whole, max_tokens, temperature = self._checked(prompts, row_keys, max_tokens, temperature, params)
        sampling = {"max_tokens": max_tokens, "temperature": temperature}
        rows, ends = len(row_keys), () if ignore_eos else self.config.eos_ids
        if rows <= waiting.FEW * width or not ends or self.config.mesh is not None or hosts.count() > 1:
            for at in range(0, rows, width):
                own = prompts if len(prompts) == 1 else prompts[at : at + width]
                keys = row_keys[at : at + width]
                fits = narrowest(prompt_widths, max(map(len, own))) if prompt_widths else None
                given = {"params": params, "ignore_eos": ignore_eos, "prompt_width": fits}
                yield np.arange(at, at + len(keys)), self.sample_rows(own, keys, **given, **sampling)
            return
        parts = waiting.sample_waiting(
            self.graphdef,
            whole,
            self._prepared.weights(self.graphdef, whole),
            self.config,
            prompts,
            row_keys=row_keys,
            width=width,
            eos_ids=ends,
            prompt_widths=prompt_widths,
            **sampling,
        )
        for places, sampled in parts:
            own = prompts if len(prompts) == 1 else [prompts[place] for place in places]
            yield places, self._rollouts(sampled, own)

    def _checked(
        self, prompts: Sequence[np.ndarray], row_keys: np.ndarray, max_tokens: int, temperature: float, params: Any
    ) -> tuple[Any, int, float]:
        """(the parameters to sample with, max_tokens, temperature). Raises InputError for no prompt, one that is too
        long or has a token that the model lacks, or an argument out of range.
        """
        max_tokens = COUNT.checked("max_tokens", max_tokens)
        temperature = GREEDY.checked("temperature", temperature)
        arguments.require("prompts", prompts, (list, tuple), "a list of token ids as encode gives them")
        if not prompts:
            raise InputError("prompts has none: give at least one.")
        for prompt in prompts:
            if getattr(prompt, "ndim", None) != 1 or prompt.dtype.kind not in "iu" or len(prompt) == 0:
                raise InputError(f"prompts has {arguments.shown(prompt)}: give token ids [P] as encode gives them.")
            least, most = int(np.min(prompt)), int(np.max(prompt))
            if not 0 <= least <= most < self.config.vocabulary:
                raise InputError(
                    f"prompts has the token {least if least < 0 else most}, outside 0 … {self.config.vocabulary - 1}, "
                    f"those of {self.name}: give token ids as encode gives them."
                )
        keys = (getattr(row_keys, "dtype", None), len(getattr(row_keys, "shape", ())), len(prompts))
        if keys[0] != np.uint32 or keys[1] != 2 or row_keys.shape[1] != 2 or keys[2] not in (1, len(row_keys)):
            raise InputError(
                f"row_keys is {arguments.shown(row_keys)} for {len(prompts)} prompts: give raw keys uint32 [R, 2], as "
                "bandit_rft.keys.row_keys makes them, and one prompt or R."
            )
        self._check_context(max(len(prompt) for prompt in prompts), max_tokens)
        return self.whole(params), max_tokens, temperature

    def _rollouts(self, sampled: Sampled, prompts: Sequence[np.ndarray]) -> Rollouts:
        """What was sampled, with its text; the prompts are one for all rows, or one per row."""
        prompt_lengths = np.asarray([len(prompt) for prompt in prompts], np.int32)
        return Rollouts(
            tokens=sampled.tokens,
            lengths=sampled.lengths,
            log_probs=sampled.log_probs,
            entropy=sampled.entropy,
            text=self.texts(sampled.tokens, sampled.lengths),
            truncated=sampled.truncated,
            prompt_lengths=np.broadcast_to(prompt_lengths, sampled.lengths.shape).copy(),
        )

    def placed(self, mesh: str | Mapping[str, int] | None) -> LanguageModel:
        """The same model on a mesh of devices, such as "data=2,fsdp=2,tensor=2" (`models.placement`), or on one (None).

        Raises:
            InputError: unknown axes or sizes, more devices than there are, or a model that they do not divide or whose
                attention is of one device.
        """
        devices = placement.make(mesh, self.config)
        decoder = nnx.merge(self.graphdef, self.params)
        chosen(self.config.attention, decoder.dtype, self.config.head_dim, meshed=devices is not None)
        params = jax.device_put(self.params, jax.devices()[0]) if devices is None else self.params
        return self._configured(mesh=devices, params=placement.weights(devices, params))

    def _configured(self, *, params: Any = None, **changed: Any) -> LanguageModel:
        """The same model with fields of its configuration changed, and with other parameters where given."""
        decoder, config = nnx.merge(self.graphdef, self.params), dataclasses.replace(self.config, **changed)
        graphdef, _ = abstract_decoder(config, dtype=decoder.dtype, param_dtype=decoder.param_dtype)
        params = self.params if params is None else params
        return dataclasses.replace(self, config=config, graphdef=graphdef, params=params, _prepared=LastPrepared())

    def with_lora(
        self,
        rank: int,
        *,
        alpha: float | None = None,
        weights: str | Sequence[str] | None = None,
        key: Key = 0,
    ) -> LanguageModel:
        """The same model with low-rank adapters beside its weights; `FineTune` then trains these alone.

        The weights are shared with this model, not copied, and as long as nothing is trained the two have the same
        logits to the bit.

        Args:
            rank: of the adapters, at least 1.
            alpha: what they add is multiplied by alpha / rank; None: twice the rank.
            weights: which have one: "q,v", or a sequence, among q, k, v, o, gate, up, down; None: all of them.
            key: of the random half of each adapter.

        Raises:
            InputError: rank, alpha or weights out of range, a rank above the shorter side of every weight, or a model
                that has adapters already.
        """
        if self.config.lora is not None:
            raise InputError(f"{self.name} has adapters already: start from the model as loaded.")
        config = dataclasses.replace(self.config, lora=lora.make(rank, alpha, weights))
        lora.check_fits(config)
        decoder = nnx.merge(self.graphdef, self.params)
        graphdef, params = abstract_decoder(config, dtype=decoder.dtype, param_dtype=decoder.param_dtype)
        arrays = lora.start(config, jax.random.fold_in(as_key(key), Purpose.ADAPTERS))
        adapters = lora.trained(params)
        for path, leaf in nnx.to_flat_state(adapters):
            leaf.set_value(arrays[str(path[-1])])
        params = lora.whole(placement.weights(config.mesh, adapters), self.params)
        return dataclasses.replace(self, config=config, graphdef=graphdef, params=params, _prepared=LastPrepared())

    def with_cache(self, dtype: str) -> LanguageModel:
        """The same model, of which sampling keeps keys and values in another dtype than it computes in.

        "bfloat16" halves the cache of a float32 model. What the sampler attends to is then rounded to 8 bits, and its
        log-probabilities differ from the trainer's by about what a bfloat16 model's do.

        Args:
            dtype: "float32", "bfloat16" or "float16", whose numbers end at 65,504.

        Raises:
            InputError: an unknown dtype, or one wider than the model computes in.

        Example:
            >>> from llm_bridge import load_model
            >>> load_model("tiny-llama").with_cache("bfloat16").config.cache_dtype
            'bfloat16'
        """
        computed = nnx.merge(self.graphdef, self.params).dtype
        if dtype not in DTYPES:
            raise InputError(f"cache_dtype '{dtype}' is not known: use one of {', '.join(DTYPES)}.")
        if jnp.dtype(dtype).itemsize > computed.itemsize:
            raise InputError(
                f"cache_dtype {dtype} is wider than {computed}, in which {self.name} computes: leave it out."
            )
        return self._configured(cache_dtype=dtype)

    def with_attention(self, attention: str) -> LanguageModel:
        """The same model with another attention over whole sequences: prompts, scores and gradients; decoding keeps its
        own.

        Args:
            attention: "own"; "dot-product", JAX's `dot_product_attention`, which on a GPU in 16 bits is cuDNN's flash
                attention; or "auto", the latter there and "own" elsewhere (`llm_bridge.models.attention`).

        Raises:
            InputError: another word, or dot-product on a mesh of devices.

        Example:
            >>> from llm_bridge import load_model
            >>> load_model("tiny-llama").with_attention("dot-product").config.attention
            'dot-product'
        """
        decoder = nnx.merge(self.graphdef, self.params)
        found = chosen(attention, decoder.dtype, self.config.head_dim, meshed=self.config.mesh is not None)
        return self._configured(attention=found)

    def hand_over(self) -> Any:
        """The model's parameters, which it then holds no longer: its methods want others by `params=` from here on.

        Raises:
            InputError: they are gone already.
        """
        if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(self.params)):
            raise InputError(f"The weights of {self.name} were handed over to a run: load the model again.")
        params = self.params
        # In place, although the class is frozen: arm sets and learners hold this very object.
        object.__setattr__(
            self, "params", jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), params)
        )
        self.release_decoding_weights()
        return params

    @property
    def trained(self) -> Any:
        """The parameters that training moves: the adapters where there are any, else all."""
        return lora.trained(self.params)

    @property
    def frozen(self) -> Any:
        """The parameters that training leaves as they are; None where it moves all."""
        return lora.frozen(self.params)

    def whole(self, params: Any = None) -> Any:
        """A policy's parameters from what training moves of them; None: the model's own.

        Raises:
            InputError: something else than parameters.
        """
        if params is None:
            return self.params
        arguments.require("params", params, nnx.State, "parameters of this model, such as those of a run's weights()")
        return lora.whole(params, self.frozen)

    def texts(self, tokens: np.ndarray, lengths: np.ndarray) -> list[str]:
        """Responses int [R, T] of these lengths [R] decoded, special tokens left out."""
        rows = (row[:length].tolist() for row, length in zip(tokens, lengths, strict=True))
        return [self.tokenizer.decode(row, skip_special_tokens=True) for row in rows]

    def release_decoding_weights(self) -> None:
        """Drop decoding's own copy of the weights (as large as the model) until the next response is sampled."""
        self._prepared.release()

    def _check_context(self, prompt: int, response: int) -> None:
        limit = self.config.max_positions
        if prompt > limit:
            raise InputError(f"The prompt has {prompt} tokens and {self.name} takes {limit}: shorten the prompt.")
        if prompt + response > limit:
            raise InputError(
                f"A prompt of {prompt} tokens and {response} response tokens exceed the {limit} that {self.name} "
                "takes: shorten the prompt or lower max_tokens."
            )


def require_model(model: Any) -> None:
    """Raises InputError where it is no `LanguageModel`, nor anything that encodes prompts as one does."""
    if isinstance(model, str | bytes | type) or not hasattr(model, "encode"):
        raise InputError(f"model is of type {type(model).__name__}: give a LanguageModel, as load_model returns it.")


def load_model(
    name: str,
    dtype: str = "float32",
    *,
    param_dtype: str = "float32",
    prompt_date: str | datetime.date | None = None,
    thinking: bool | None = None,
    mesh: str | Mapping[str, int] | None = None,
    attention: str = "own",
) -> LanguageModel:
    """Load a model by name: an embedded tiny model, `smollm2-135m`, a local folder or GGUF file, or a hub id.

    Args:
        name: what `llm_bridge.models.hub.resolve` understands.
        dtype: "float32", "bfloat16" or "float16", of activations and matrix products.
        param_dtype: of the stored parameters. float32 whatever `dtype` is: masters that keep steps which bfloat16 would
            round away. "bfloat16" halves the weights' memory, for a model that is not to be trained.
        prompt_date: what chat templates that read the clock are shown, such as "2026-11-28"; None: now.
        thinking: the variable enable_thinking of a chat template that has it, such as Qwen3's: False for answers that
            have no thinking part; None: not given, and the template does as it does by itself (Qwen3's thinks).
        mesh: how many devices the model is spread over, such as "data=2,fsdp=2,tensor=2" or a dict: data divides rows,
            fsdp rows and weights, tensor heads and vocabulary (`llm_bridge.models.placement`). None: one device.
        attention: over whole sequences: "own", "dot-product" or "auto", as `LanguageModel.with_attention` takes it.

    Warns:
        ModelWarning: a head that is not the embedding where config.json says so, or nothing that ends a response.

    Raises:
        InputError: an unknown name, dtype or checkpoint, or one that the decoder cannot run; a mesh of unknown axes,
            of more devices than there are, or that does not divide the model; an unknown attention, or dot-product on
            a mesh; thinking, where the chat template has no such switch.

    Example:
        >>> from llm_bridge import load_model
        >>> model = load_model("tiny-llama")
        >>> type(model).__name__
        'LanguageModel'
    """
    # Imported here: network and conversion code, and seconds of imports, that a loaded model does not need.
    from llm_bridge.models.hub import locate

    for kind in (dtype, param_dtype):
        if kind not in DTYPES:
            raise InputError(f"dtype '{kind}' is not known: use one of {', '.join(DTYPES)}.")
    moment = chat_template.moment(prompt_date)
    source = locate(name)
    folder = source.folder
    use_compilation_cache()
    stored = jnp.dtype(param_dtype)
    config = DecoderConfig.from_folder(folder)
    devices = placement.make(mesh, config)
    kind = chosen(attention, dtype, config.head_dim, meshed=devices is not None)
    config = dataclasses.replace(config, mesh=devices, attention=kind)
    config = untied_where_heads_differ(folder, config, stored)
    tokenizer = tokenizers.load_tokenizer(folder)
    chat_template.require_thinking(getattr(tokenizer, "chat_template", None), thinking, name)
    config = tokenizers.ended_by(tokenizer, config, name)
    graphdef, _ = abstract_decoder(config, dtype=jnp.dtype(dtype), param_dtype=stored)
    return LanguageModel(
        name=name,
        config=config,
        graphdef=graphdef,
        params=load_params(folder, config, stored),
        tokenizer=tokenizer,
        source=source,
        prompt_date=moment,
        thinking=thinking,
    )


@partial(jax.jit, static_argnums=0)
def _logits(graphdef: Any, params: Any, tokens: Array) -> Array:
    return nnx.merge(graphdef, params)(tokens)


@partial(jax.jit, static_argnums=0)
def _score(
    graphdef: Any, params: Any, prompt: Array, prompt_length: Array, tokens: Array, lengths: Array, temperature: Array
) -> Array:
    return token_log_probs(
        graphdef, params, prompt, tokens, lengths, prompt_lengths=prompt_length, temperature=temperature
    )
