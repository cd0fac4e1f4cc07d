"""Models judged on texts longer than they were trained on.

    python -m benchmarks.quality small128 --rates 2e-3 --keep FOLDER
    python -m benchmarks.lengths FOLDER                 at 1, 2, 4 and 8 times
    python -m benchmarks.lengths FOLDER --times 2 16 --windows 64

FOLDER holds the models that `benchmarks.quality --keep` left. Each is read the
validation part of its own text, cut into windows of each length; a table of positions
ends at the context, and such a model is judged there alone. Each model and length is
one line of benchmarks/results/lengths.jsonl; what stands there is not judged again.
"""

import argparse
import hashlib
import sys
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.characters import characters
from benchmarks.quality import ids_of
from benchmarks.rows import rows_in, write
from lib.commands import module_command
from lib.data import DataError
from lib.gravity.model import LanguageModel, LMConfig
from lib.training.checkpoint import INDEX, load, part
from lib.training.loop import window_starts

RESULTS = Path(__file__).parent / "results" / "lengths.jsonl"
SAME = ("text", "sha256", "size", "name", "seed", "learning_rate", "parameters",
        "steps")  # what a row takes over from that of the training


@torch.no_grad()
def loss_by_position(model: LanguageModel, ids: Tensor, length: int,
                     windows: int | None = None, tokens: int = 4096) -> Tensor:
    """Mean loss in nats at each position of windows side by side, (length,).

    windows: how many, evenly spread; None: all. tokens: how many at a time.
    """
    starts = window_starts(ids, length, windows)
    total = torch.zeros(length, dtype=torch.float64)
    for some in starts.split(max(1, tokens // length)):
        chunk = ids[some[:, None] + torch.arange(length + 1)]
        logits = model(chunk[:, :-1])
        total += F.cross_entropy(
            logits.mT, chunk[:, 1:], reduction="none").double().sum(0)
    return total / len(starts)


def judged(model: LanguageModel, ids: Tensor, length: int, trained: int,
           windows: int | None) -> dict[str, Any]:
    """valid: mean loss; beyond: of the positions that no training window had."""
    loss = loss_by_position(model, ids, length, windows)
    beyond = loss[trained:].mean().item() if length > trained else None
    return {"trained": trained, "length": length, "windows": windows,
            "valid": loss.mean().item(), "beyond": beyond}


def main(arguments: list[str] | None = None) -> int:
    """Judge what is missing: 0 done, 1 no models or another text, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.lengths", description=str(__doc__).splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", nargs="+", type=int, default=[1, 2, 4, 8])
    parser.add_argument("--windows", type=int, help="how many; else the whole text")
    asked = parser.parse_args(arguments)
    places = sorted(file.parent for file in asked.folder.glob(f"*/{INDEX}"))
    if not places:
        command = module_command("benchmarks.quality", "small128", "--keep",
                                 str(asked.folder))
        print(f"{asked.folder} holds no models; train some with {command}",
              file=sys.stderr)
        return 1
    for place in places:
        tensors, about = load(place)
        row = about["row"]
        try:
            written = characters(row["text"])[0]
        except DataError as error:
            print(error, file=sys.stderr)
            return 1
        if hashlib.sha256(written.encode()).hexdigest() != row["sha256"]:
            print(f"{place} was trained on another text than {row['text']} is here; "
                  "train it again", file=sys.stderr)
            return 1
        config = LMConfig(**about["model"])
        model = LanguageModel(config)
        model.load_state_dict(part(tensors, "model"))
        model.eval()
        for times in asked.times:
            if times > 1 and not config.any_length:
                continue
            key = {**{name: row[name] for name in SAME}, "trained": config.context,
                   "length": times * config.context, "windows": asked.windows}
            if any(key.items() <= other.items() for other in rows_in(RESULTS)):
                continue
            write(RESULTS, {**key, **judged(model, ids_of(written)[1], key["length"],
                                            config.context, asked.windows)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
