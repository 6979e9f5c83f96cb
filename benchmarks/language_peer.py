"""The peer's half of `decode.py`, `finetune_round.py` and `gpu.py`: runs inside that peer's own environment.

    python language_peer.py JOB          JOB is one JSON object; `peers.Peer` writes it

It loads the model, prints a line with its versions, and then makes one timed run for each line of JSON that it reads:
{"seconds": …, "processor_seconds": … of all threads, "sample": …, "update": …}, the last two of a round alone. What the
libraries print goes to standard error. It ends where its input ends.

    transformers   `generate` with its cache: a task {"batch", "tokens"}
    llama.cpp      `llama-cpp-python`'s bindings of `llama_decode`: the prompt once, copied to each sequence's cache,
                   then a batch of one token a sequence; its own sampler chain (temperature, then a draw)
    torch          a round in plain torch: `generate`, a forward whose head runs on the responses alone, `backward`,
                   `clip_grad_norm_`, `torch.optim.AdamW` (fused)
    trl            a step of TRL's `GRPOTrainer`, whose generation is transformers' `generate`; gradient checkpointing,
                   which is on in TRL and costs time to save memory, is off

All sample at temperature 1 over the whole vocabulary, exactly so many tokens a row: the end of text is disabled (TRL:
not allowed before the last token). Rewards alternate between 1 and 0 within a group, so that no group is without a
signal. On a GPU the weights are bfloat16, the optimiser's states too, which favours the peer: ours are float32.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

LEARNING_RATE, WEIGHT_DECAY, CLIP = 1e-6, 0.01, 1.0
Run = Callable[..., dict[str, float]]


class Clock:
    """Seconds and processor seconds since it was made; on a GPU, once that has caught up."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._gpu = job["device"] == "cuda"
        self._start = self._now()

    def _now(self) -> tuple[float, float]:
        if self._gpu:
            import torch

            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def taken(self) -> dict[str, float]:
        now = self._now()
        return {"seconds": now[0] - self._start[0], "processor_seconds": now[1] - self._start[1]}


def torch_model(job: dict[str, Any]) -> Any:
    import torch
    import transformers

    torch.set_num_threads(job["threads"])
    torch.manual_seed(0)
    dtype = getattr(torch, job["dtype"])
    return transformers.AutoModelForCausalLM.from_pretrained(job["folder"], dtype=dtype).to(job["device"])


def generated(model: Any, prompt: Any, batch: int, tokens: int) -> Any:
    import torch

    with torch.inference_mode():
        out = model.eval().generate(
            prompt,
            attention_mask=torch.ones_like(prompt),
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            num_return_sequences=batch,
            max_new_tokens=tokens,
            eos_token_id=None,
            pad_token_id=0,
        )
    assert out.shape == (batch, prompt.shape[1] + tokens)
    return out.clone()


def transformers_decode(job: dict[str, Any]) -> Run:
    import torch

    model = torch_model(job)
    prompt = torch.tensor([job["prompt"]], device=job["device"])

    def run(batch: int, tokens: int) -> dict[str, float]:
        clock = Clock(job)
        generated(model, prompt, batch, tokens)
        return clock.taken()

    return run


def torch_round(job: dict[str, Any]) -> Run:
    import torch

    model = torch_model(job)
    prompt = torch.tensor([job["prompt"]], device=job["device"])
    rows, tokens, length = job["rollouts"], job["tokens"], len(job["prompt"])
    rewards = torch.tensor([float(row % 2) for row in range(rows)], device=job["device"])
    signal = (rewards - rewards.mean()) / (rewards.std() + 1e-6) if rows > 1 else torch.ones_like(rewards)
    parts = job["micro_batch"] or rows
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)

    def update(sequences: Any) -> None:
        model.train()
        for begin in range(0, rows, parts):
            some = sequences[begin : begin + parts]
            logits = model(some, logits_to_keep=tokens + 1).logits[:, :-1]
            chosen = torch.log_softmax(logits.float(), -1).gather(2, some[:, length:, None])[:, :, 0]
            (-(signal[begin : begin + parts] * chosen.sum(1)).sum() / rows).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def run() -> dict[str, float]:
        whole, clock = Clock(job), Clock(job)
        sequences = generated(model, prompt, rows, tokens)
        sample, clock = clock.taken(), Clock(job)
        update(sequences)
        return whole.taken() | {"sample": sample["seconds"], "update": clock.taken()["seconds"]}

    return run


def llama_cpp_decode(job: dict[str, Any]) -> Run:
    import ctypes

    import llama_cpp as library

    library.llama_backend_init()
    quiet = library.llama_log_callback(lambda level, text, data: None)
    library.llama_log_set(quiet, ctypes.c_void_p(0))
    settings = library.llama_model_default_params()
    settings.n_gpu_layers = 0
    model = library.llama_model_load_from_file(job["gguf"].encode(), settings)
    if not model:
        raise SystemExit(f"llama.cpp cannot load {job['gguf']}.")
    prompt = job["prompt"]

    def context_of(batch: int, tokens: int) -> Any:
        wanted = library.llama_context_default_params()
        each = -(-(len(prompt) + tokens) // 256) * 256
        wanted.n_ctx, wanted.n_seq_max = batch * each, batch
        wanted.n_batch = wanted.n_ubatch = max(512, len(prompt), batch)
        wanted.n_threads = wanted.n_threads_batch = job["threads"]
        context = library.llama_init_from_model(model, wanted)
        if not context:
            raise SystemExit(f"llama.cpp has no room for {batch} sequences of {each} tokens.")
        return context

    contexts: dict[tuple[int, int], Any] = {}

    def decode(context: Any, batch: Any) -> None:
        code = library.llama_decode(context, batch)
        if code:
            raise SystemExit(f"llama_decode returned {code}.")

    def fill(place: Any, tokens: list[int], positions: list[int], sequences: list[int], wanted: list[bool]) -> None:
        place.n_tokens = len(tokens)
        for i, token in enumerate(tokens):
            place.token[i], place.pos[i], place.logits[i] = token, positions[i], wanted[i]
            place.n_seq_id[i] = 1
            place.seq_id[i][0] = sequences[i]

    def run(batch: int, tokens: int) -> dict[str, float]:
        if (batch, tokens) not in contexts:
            for old in contexts.values():
                library.llama_free(old)
            contexts.clear()
            contexts[batch, tokens] = context_of(batch, tokens)
        context = contexts[batch, tokens]
        samplers = []
        for row in range(batch):
            chain = library.llama_sampler_chain_init(library.llama_sampler_chain_default_params())
            library.llama_sampler_chain_add(chain, library.llama_sampler_init_temp(1.0))
            library.llama_sampler_chain_add(chain, library.llama_sampler_init_dist(row))
            samplers.append(chain)
        place = library.llama_batch_init(max(len(prompt), batch), 0, 1)
        clock = Clock(job)
        memory = library.llama_get_memory(context)
        library.llama_memory_clear(memory, True)
        last = len(prompt) - 1
        fill(place, prompt, list(range(len(prompt))), [0] * len(prompt), [i == last for i in range(len(prompt))])
        decode(context, place)
        drawn = [library.llama_sampler_sample(chain, context, -1) for chain in samplers]
        for row in range(1, batch):
            library.llama_memory_seq_cp(memory, 0, row, -1, -1)
        for step in range(tokens - 1):
            fill(place, drawn, [len(prompt) + step] * batch, list(range(batch)), [True] * batch)
            decode(context, place)
            drawn = [library.llama_sampler_sample(chain, context, row) for row, chain in enumerate(samplers)]
        taken = clock.taken()
        library.llama_batch_free(place)
        for chain in samplers:
            library.llama_sampler_free(chain)
        return taken

    return run


def trl_rounds(job: dict[str, Any], tasks: Any, answer: Callable[[dict[str, Any]], None]) -> None:
    """TRL's trainer keeps the loop: it waits for a line before each step and answers after it."""
    import tempfile

    import datasets
    import transformers
    import trl

    model = torch_model(job)
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    text, rows, tokens = job["text"], job["rollouts"], job["tokens"]
    if tokenizer(text=[text])["input_ids"][0] != job["prompt"]:
        raise SystemExit("TRL's tokenizer makes other tokens of the prompt: it cannot be given the same one.")
    parts: dict[str, float] = {}

    class Trainer(trl.GRPOTrainer):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            clock = Clock(job)
            made = super()._generate_and_score_completions(inputs)
            parts["sample"] = clock.taken()["seconds"]
            assert made["completion_mask"].sum().item() == rows * tokens, "a response ended early"
            return made

    class TakesTurns(transformers.TrainerCallback):
        clock: Clock

        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if not next(tasks, None):
                os._exit(0)  # the trainer has no way to end before a step; nothing of it is kept
            self.clock = Clock(job)

        def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            taken = self.clock.taken()
            answer({**taken, **parts, "update": taken["seconds"] - parts["sample"]})

    cpu = job["device"] == "cpu"
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=model,
            reward_funcs=lambda completions, **others: [float(row % 2) for row in range(len(completions))],
            args=trl.GRPOConfig(
                output_dir=folder,
                per_device_train_batch_size=job["micro_batch"] or rows,
                gradient_accumulation_steps=rows // (job["micro_batch"] or rows),
                num_generations=rows,
                max_completion_length=tokens,
                generation_kwargs={"min_new_tokens": tokens},
                learning_rate=LEARNING_RATE,
                weight_decay=WEIGHT_DECAY,
                max_grad_norm=CLIP,
                lr_scheduler_type="constant",
                optim="adamw_torch_fused",
                beta=0.0,
                max_steps=10**6,
                save_strategy="no",
                logging_strategy="no",
                report_to=[],
                gradient_checkpointing=False,
                use_cpu=cpu,
                bf16=not cpu,
                disable_tqdm=True,
            ),
            train_dataset=datasets.Dataset.from_dict({"prompt": [text] * 4096}),
            processing_class=tokenizer,
            callbacks=[TakesTurns()],
        )
        answer(ready("trl", "torch", "transformers"))
        trainer.train()


BEGAN = time.perf_counter()
PEERS: dict[str, tuple[Callable[[dict[str, Any]], Run], tuple[str, ...]]] = {
    "transformers": (transformers_decode, ("transformers", "torch")),
    "llama.cpp": (llama_cpp_decode, ("llama-cpp-python",)),
    "torch": (torch_round, ("torch", "transformers")),
}


def ready(*packages: str) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in packages}
    return {"versions": versions, "seconds": time.perf_counter() - BEGAN}


def main() -> None:
    job = json.loads(sys.argv[1])
    # What a library prints must not stand among the answers, whether Python or C prints it.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(values: dict[str, Any]) -> None:
        answers.write(json.dumps(values) + "\n")
        answers.flush()

    tasks = (json.loads(line) for line in sys.stdin)
    if job["peer"] == "trl":
        trl_rounds(job, (True for _ in tasks), answer)
        return
    make, packages = PEERS[job["peer"]]
    run = make(job)
    answer(ready(*packages))
    for task in tasks:
        answer(run(**task))


if __name__ == "__main__":
    main()
