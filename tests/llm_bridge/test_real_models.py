"""Real checkpoints against transformers: SmolLM2-135M-Instruct (Llama) and Qwen2.5-Coder-0.5B-Instruct (Qwen2)."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from bandit_rft.errors import InputError
from llm_bridge import load_model
from llm_bridge.models import hub
from tests.llm_bridge.checkpoints import torch_greedy, torch_logits, torch_model

QUESTION = "Natalia sold clips to 48 friends in April, and half as many in May. How many clips did she sell altogether?"


@pytest.fixture(scope="module")
def smollm2() -> Path:
    try:
        return hub.resolve("smollm2-135m")
    except InputError as reason:
        pytest.skip(f"SmolLM2 cannot be fetched: {reason}")


@pytest.fixture(scope="module")
def qwen() -> Path:
    path = os.environ.get("BANDIT_RFT_QWEN_GGUF")
    if not path:
        pytest.skip("needs BANDIT_RFT_QWEN_GGUF, the path of a Qwen2.5 GGUF file")
    return hub.resolve(path)


def check(folder: Path) -> None:
    """Logits to 2e-3 of their scale, 64 greedy tokens the same, and what is sampled scored alike to 1e-4."""
    ours, theirs = load_model(str(folder)), torch_model(folder)
    ids = ours.encode(QUESTION)
    want = torch_logits(theirs, ids[None])
    assert np.abs(np.asarray(ours.logits(ids[None])) - want).max() < 2e-3 * np.abs(want).max()
    greedy = ours.generate(QUESTION, rollouts=1, max_tokens=64, key=0, temperature=0.0, ignore_eos=True)
    assert greedy.tokens[0].tolist() == torch_greedy(theirs, ids, 64)
    sampled = ours.generate(QUESTION, rollouts=2, max_tokens=64, key=0)
    np.testing.assert_allclose(ours.log_probs(QUESTION, sampled), sampled.log_probs, atol=1e-4)


@pytest.mark.slow
def test_smollm2_is_transformers_smollm2(smollm2: Path) -> None:
    check(smollm2)


@pytest.mark.slow
def test_qwen_is_transformers_qwen(qwen: Path) -> None:
    check(qwen)
