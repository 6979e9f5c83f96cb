"""More rows than are decoded together: one that waits begins where another has ended, so that none waits for the
longest of a batch (continuous batching, Yu et al. 2022, Orca).

    for rows, part in sample_waiting(…, prompts, row_keys=keys, width=32, …):      # as they end, in any order
        check(part)                                                                # meanwhile the device goes on

A row's tokens are those of `generate.sample`: from its own key and prompt, whoever is beside it, up to rounding (a sum
over slots in another order). A stop for every eighth of the places that is free: beginning a row costs about as much as
a token, and the places that wait for it are a sixteenth on average. It is worth it for more than `FEW` batches: R rows
of mean length m and longest l take about R·m/B + l passes in B places, where batches take up to R·l/B.

What it gains depends on how unequal lengths are within a batch. 64 questions of the embedded models' test data, 4
responses each, 16 together, 5 to 29 tokens: 372 passes, 424 in batches, 346 at the least; but a pass of so small a
model costs little beside what begins and ends rows, and the processor time of batches was 0.91 of that here
(`benchmarks/waiting.py`).

Left out: meshes of devices (each has its own rows there), fewer places once nothing waits, prompts read in pieces.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from llm_bridge.models.config import DecoderConfig
from llm_bridge.models.decoding_weights import DecodingWeights
from llm_bridge.sampling import refill
from llm_bridge.sampling.buckets import bucket, narrowest
from llm_bridge.sampling.generate import FIRST_CAPACITY, GROWTH, SMALLEST_PROMPT, Sampled, pad_prompts

Array = jax.Array
STOPS = 8  # a stop whenever this share of the places is free
# Batches of rows up to which they are decoded in turn: a second batch ends hardly later than the last rows do here, and
# an evaluation of few responses would compile more than it computes.
FEW = 2


class _Queue:
    """The rows that wait, in order, and the prompts that the next of them need.

    Attributes:
        next: the row that begins next.
        block: the prompts that were read last; rows begin from it.
    """

    def __init__(
        self,
        graphdef: Any,
        params: Any,
        prompts: Sequence[np.ndarray],
        *,
        rows: int,
        width: int,
        pad_id: int,
        widths: Sequence[int] | None,
    ) -> None:
        self.graphdef, self.params, self.prompts, self.rows = graphdef, params, prompts, rows
        self.pad_id, self.widths = pad_id, widths
        names: dict[bytes, int] = {}
        texts = [np.asarray(prompt, np.int32).tobytes() for prompt in prompts]
        of_prompt = [names.setdefault(text, len(names)) for text in texts]
        self.names = np.broadcast_to(np.asarray(of_prompt, np.int32), (rows,))
        self.lone = len(names) == 1
        # As many prompts at a time as the first rows need: fewer reads than rows where several answer one prompt.
        self.held = bucket(len(set(self.names[:width].tolist())))
        self.next = 0
        self.places: dict[int, int] = {}
        self.block: Any = None

    def read(self, width: int) -> int:
        """Read the next prompts, padded to this width or wider; the width."""
        wanted: dict[int, np.ndarray] = {}
        for row in range(self.next, self.rows):
            name = int(self.names[row])
            if name not in wanted and len(wanted) == self.held:
                break
            wanted[name] = self.prompts[row if len(self.prompts) > 1 else 0]
        longest = max(map(len, wanted.values()))
        fits = narrowest(self.widths, longest) if self.widths else bucket(longest, smallest=SMALLEST_PROMPT)
        width = max(width, fits)
        tokens, lengths = pad_prompts(list(wanted.values()), self.held, self.pad_id, width)
        self.places = {name: place for place, name in enumerate(wanted)}
        self.block = None  # before the next is made: two are not needed at one time
        self.block = refill.read(self.graphdef, self.params, jnp.asarray(tokens), jnp.asarray(lengths))
        return width

    @property
    def ready(self) -> bool:
        """Whether the next row's prompt was read."""
        return int(self.names[self.next]) in self.places

    def take(self, free: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(rows, places in the block) that begin in so many free places: all next ones whose prompt was read."""
        last = self.next
        while last < self.rows and last - self.next < len(free) and int(self.names[last]) in self.places:
            last += 1
        rows = np.arange(self.next, last)
        self.next = last
        return rows, np.asarray([self.places[int(self.names[row])] for row in rows], np.int32)


def sample_waiting(
    graphdef: Any,
    params: Any,
    weights: DecodingWeights,
    config: DecoderConfig,
    prompts: Sequence[np.ndarray],
    *,
    row_keys: np.ndarray,
    width: int,
    max_tokens: int,
    temperature: float,
    eos_ids: tuple[int, ...],
    prompt_widths: Sequence[int] | None = None,
) -> Iterator[tuple[np.ndarray, Sampled]]:
    """Sample R responses, `width` at a time; arguments as `generate.sample` takes them.

    Args:
        prompt_widths: rising; prompts are padded to the first that holds them. None: to buckets.

    Yields:
        (rows int [n], what was sampled for them), each row once, as soon as they have ended; `steps` counts the passes
        until then. What the caller does with a part overlaps with the device's work on the next.
    """
    rows, greedy = len(row_keys), temperature == 0.0
    heat, limit = jnp.float32(1.0 if greedy else temperature), jnp.int32(max_tokens)
    ends = jnp.asarray(eos_ids or (-1,), jnp.int32)
    final = bucket(max_tokens)
    capacity = min(final, FIRST_CAPACITY)
    queue = _Queue(graphdef, params, prompts, rows=rows, width=width, pad_id=config.pad_id, widths=prompt_widths)
    prompt_tokens = queue.read(0)
    prefix, places = refill.empty(queue.block, config=config, rows=width, capacity=capacity)
    if queue.lone:
        prefix = None
    held = np.full((width,), -1)  # which row is in each place

    def begun(prefix: Any, places: Any, prompt_tokens: int) -> tuple[Any, Any, int]:
        """With rows in the free places, as long as any waits."""
        while queue.next < rows and (held < 0).any():
            if not queue.ready:
                wider = queue.read(prompt_tokens)
                if wider > prompt_tokens:
                    prefix, prompt_tokens = refill.with_longer_prompts(prefix, width=wider), wider
            free = np.flatnonzero(held < 0)
            taken, asked = queue.take(free)
            free = free[: len(taken)]
            held[free] = taken
            owners, keys = np.full((width,), -1, np.int32), np.zeros((width, 2), np.uint32)
            owners[free], keys[free] = asked, row_keys[taken]
            typed = jax.random.wrap_key_data(jnp.asarray(keys), impl="threefry2x32")
            prefix, places = refill.begin(
                queue.block, prefix, places, jnp.asarray(owners), typed, heat, ends, limit, greedy=greedy
            )
        return prefix, places, prompt_tokens

    def advanced(seen: Any, places: Any, enough: int) -> tuple[Any, Any]:
        places, records = refill.advance(
            weights, seen, places, jnp.int32(enough), heat, ends, limit, config=config, greedy=greedy
        )
        return places, jax.device_get(records)

    done = 0
    prefix, places, prompt_tokens = begun(prefix, places, prompt_tokens)
    ended: tuple[np.ndarray, Sampled] | None = None
    # A thread of its own, for a CPU may compute in the thread that asks; XLA holds no lock of Python's meanwhile.
    with ThreadPoolExecutor(1, thread_name_prefix="sampling") as device:
        while done < rows:
            free = int((held < 0).sum())
            # With nothing that waits, half of what goes on ends before the caller hears of it.
            enough = max(free + 1, width // STOPS if queue.next < rows else free + (width - free + 1) // 2)
            seen = queue.block.prefix if prefix is None else prefix
            work = device.submit(advanced, seen, places, enough)
            if ended is not None:  # the device is at work
                yield ended
            places, records = work.result()
            over = np.flatnonzero(records.free & (held >= 0))
            ended = None
            if len(over):
                ended = held[over], _sampled(records, over, max_tokens, config.pad_id)
                done += len(over)
                held[over] = -1
                prefix, places, prompt_tokens = begun(prefix, places, prompt_tokens)
            going = held >= 0
            if capacity < max_tokens and (records.lengths * ~records.free)[going].max(initial=0) >= capacity:
                capacity = min(final, capacity * GROWTH)
                places = refill.widened(places, capacity=capacity)
        if ended is not None:
            yield ended


def _sampled(records: Any, places: np.ndarray, max_tokens: int, pad_id: int) -> Sampled:
    """The rows of these places, of `refill.Records` of NumPy arrays."""
    lengths = records.lengths[places]
    inside = np.arange(max_tokens) < lengths[:, None]

    def fit(array: np.ndarray, fill: float) -> np.ndarray:
        own = array[places, :max_tokens]
        own = np.pad(own, ((0, 0), (0, max_tokens - own.shape[1])))
        return np.where(inside, own, np.asarray(fill, own.dtype))

    return Sampled(
        tokens=fit(records.tokens, pad_id),
        lengths=lengths,
        log_probs=fit(records.log_probs, 0.0),
        entropy=fit(records.entropy, 0.0),
        truncated=~records.ended[places],
        steps=int(records.steps),
    )
