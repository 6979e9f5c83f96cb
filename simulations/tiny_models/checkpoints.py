"""Two more checkpoints of each embedded model's family, by its recipe from other seeds:

    python -m simulations.tiny_models.checkpoints

What they differ by tells a family from the seed that it was pretrained from. They are written under
runs/tiny-checkpoints, ten minutes each on two idle cores, and are in no package; one that is there is not made again.
Another machine or jaxlib rounds differently and gives other weights of the same kind: the SHA-256 that the command
prints tells them apart, and runs on other weights are other runs. Left out: a list of the digests behind judged claims,
as none has been judged; a run that is killed begins its checkpoint anew.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from pathlib import Path

from bandit_rft.runs.progress import ProgressLine
from simulations.tiny_models import pretrain
from simulations.tiny_models.folder import write_folder

COMMAND = "python -m simulations.tiny_models.checkpoints"
PLACE = Path("runs/tiny-checkpoints")
# Those of the package are 1, 2 and 3.
CHECKPOINTS = {
    f"tiny-{family}-{seed}": (family, seed)
    for family, seeds in {"llama": (4, 7), "qwen2": (5, 8), "olmo2": (6, 9)}.items()
    for seed in seeds
}
_WEIGHTS = "model.safetensors"
_CARD = "README.md"  # which `write_folder` writes last


def is_made(folder: Path) -> bool:
    """Whether a checkpoint is there, whole."""
    return all((folder / name).is_file() for name in (_WEIGHTS, _CARD))


def digest(folder: Path) -> str:
    """SHA-256 of a checkpoint's weights."""
    return hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()


def make(name: str, out: Path = PLACE, *, steps: int = pretrain.STEPS, rows: int = pretrain.BATCH) -> Path:
    """Train a checkpoint and write it.

    Args:
        name: of `CHECKPOINTS`.
        out: the folder that its own is made in.
        steps, rows: as `pretrain.pretrain` takes them.

    Returns:
        Its folder.
    """
    family, seed = CHECKPOINTS[name]
    start = time.monotonic()
    with ProgressLine(f"pretraining {name}", unit="steps", quantity="loss") as line:

        def tell(done: int, loss: float) -> None:
            line(done, steps, loss, time.monotonic() - start)

        config, params = pretrain.pretrain(family, steps=steps, rows=rows, seed=seed, tell=tell)
    write_folder(out / name, config, params, steps=steps, rows=rows, seed=seed)
    return out / name


def main(given: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.parse_args(given)
    for name in CHECKPOINTS:
        folder = PLACE / name if is_made(PLACE / name) else make(name)
        print(f"{folder}: {digest(folder)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
