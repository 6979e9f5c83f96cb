"""What the demo asks a fine-tuning run for."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from llm_bridge import demo


@pytest.mark.parametrize(
    ("options", "rounds"),
    [({}, 300), ({"quick": True}, 150), ({"rounds": 10}, 10), ({"rounds": 10, "quick": True}, 10)],
)
def test_rounds_that_were_typed_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], rounds: int
) -> None:
    """Catches half of --rounds 10 run beside --quick."""
    configs: list[Any] = []
    monkeypatch.setattr(demo, "simulate", lambda *_, **__: SimpleNamespace(summary=lambda: ""))
    monkeypatch.setattr(demo, "choose_question", lambda *_: 0)
    monkeypatch.setattr(demo, "finetune", lambda config, *_, **__: configs.append(config))
    for figure in (demo.needle_regret, demo.figure):
        monkeypatch.setattr(figure, "draw", lambda *_: None)
    demo.demo(tmp_path, "tiny-llama", **options)
    assert [config.rounds for config in configs] == [rounds]
