"""Gravity against the dot product: the same recipe, every arm, several seeds.

    python -m benchmarks.quality small                 all of the small size
    python -m benchmarks.quality medium --seeds 0 1 2
    python -m benchmarks.quality small --arms dot newton --rates 2e-3
    python -m benchmarks.quality small --text wikipedia --arms "dot, rotary"

Each run is one line of benchmarks/results/quality.jsonl, written when it is finished;
what stands there is not run again. Loss: nats a character, over the whole validation
part of the text (`benchmarks.characters`). See benchmarks/README.md.
"""

import argparse
import datetime
import hashlib
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from benchmarks.characters import TEXTS, characters
from benchmarks.rows import rows_in, write
from lib.data import DataError
from lib.gravity.model import LanguageModel, LMConfig, build, matched_width, parameters
from lib.training.checkpoint import save, whole
from lib.training.loop import Recipe, evaluate, train

RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
#: The sizes. d_coord gives the gravity models the twin's parameters within 2 %; those
#: that look from a place of their own have another projection, and fewer axes. At
#: small128 as many tokens are seen as at small, in windows twice as long. nanogpt is
#: that project's configuration for characters: dropout, many passes, wants a GPU.
SIZES = {
    "small": (
        LMConfig(vocab=65, context=64, d_model=128, n_layers=4, n_heads=4, d_coord=176),
        Recipe(steps=1500, batch=12, context=64, evaluations=1, evaluation_windows=8),
    ),
    "small128": (
        LMConfig(vocab=65, context=128, d_model=128, n_layers=4, n_heads=4,
                 d_coord=176),
        Recipe(steps=1500, batch=6, context=128, evaluations=1, evaluation_windows=8),
    ),
    "medium": (
        LMConfig(vocab=65, context=128, d_model=256, n_layers=6, n_heads=8,
                 d_coord=352),
        Recipe(steps=800, batch=16, context=128, evaluations=1, evaluation_windows=8),
    ),
    "nanogpt": (
        LMConfig(vocab=65, context=256, d_model=384, n_layers=6, n_heads=6, d_coord=531,
                 dropout=0.2),
        Recipe(steps=5000, batch=64, context=256, warmup=100, betas=(0.9, 0.99),
               precision="bf16", evaluations=10, evaluation_windows=None),
    ),
}
_WINNER = {"coordinates": "position", "looking": True}
_ROTATED = {"coordinates": "token", "looking": True, "positions": "rotary"}
_TABLES = {"coordinates": "token+position", "looking": True,
           "positions": "learned+rotary"}
_STREAM = {"attention": "dot", "stream": "coordinates"}
#: arm → what it sets. Names of `LMConfig`.
ARMS: dict[str, dict[str, Any]] = {
    "dot": {"attention": "dot"},
    "newton": {"attention": "newton", "strength": 1.0, "eps": 1.0},
    "newton, eps 0.1": {"attention": "newton"},
    "gaussian": {"attention": "gaussian"},
    "potential": {"attention": "potential"},
    "repelling": {"attention": "potential", "sign": -1},
    "newton, position": {
        "attention": "newton", "strength": 1.0, "eps": 1.0, "coordinates": "position"
    },
    "newton, eps 0.1, position": {"attention": "newton", "coordinates": "position"},
    "gaussian, position": {"attention": "gaussian", "coordinates": "position"},
    "potential, position": {"attention": "potential", "coordinates": "position"},
    "repelling, position": {
        "attention": "potential", "sign": -1, "coordinates": "position"
    },
    "gaussian, looking": {"attention": "gaussian", "looking": True},
    "gaussian, position, looking": {
        "attention": "gaussian", "coordinates": "position", "looking": True
    },
    "newton, looking": {
        "attention": "newton", "strength": 1.0, "eps": 1.0, "looking": True
    },
    "newton, position, looking": {
        "attention": "newton", "strength": 1.0, "eps": 1.0, "coordinates": "position",
        "looking": True,
    },
    # the twins: what is known to help the dot product
    "dot, rotary": {"attention": "dot", "positions": "rotary"},
    "dot, alibi": {"attention": "dot", "positions": "alibi"},
    "dot, no positions": {"attention": "dot", "positions": "none"},
    "dot, qk-norm": {"attention": "dot", "qk_norm": True},
    "dot, rotary, qk-norm": {
        "attention": "dot", "positions": "rotary", "qk_norm": True
    },
    "dot, key bias": {"attention": "dot", "key_bias": "content"},
    "dot, mass": {"attention": "dot", "key_bias": "mass"},
    "dot, rotary, key bias": {
        "attention": "dot", "positions": "rotary", "key_bias": "content"
    },
    "dot, rotary, tied": {"attention": "dot", "positions": "rotary", "tied": True},
    # the winner with one thing changed: its stream stays, the kernel goes …
    "stream dot": {**_STREAM, **_WINNER},
    "stream dot, mass": {**_STREAM, **_WINNER, "key_bias": "mass"},
    "stream dot, qk-norm": {**_STREAM, **_WINNER, "qk_norm": True},
    "stream dot, tied": {**_STREAM, **_WINNER, "looking": False},
    "stream dot, no moves": {**_STREAM, **_WINNER, "moves": False},
    # … or the kernel stays, and its masses or moves go
    "gaussian, position, looking, no mass": {
        "attention": "gaussian", **_WINNER, "mass": False
    },
    "gaussian, position, looking, no moves": {
        "attention": "gaussian", **_WINNER, "moves": False
    },
    # coordinates of tokens, turned by position: only relative positions count
    "rotated gaussian": {"attention": "gaussian", **_ROTATED},
    "rotated gaussian, no mass": {
        "attention": "gaussian", **_ROTATED, "mass": False
    },
    "rotated gaussian, no moves": {
        "attention": "gaussian", **_ROTATED, "moves": False
    },
    "rotated newton": {
        "attention": "newton", "strength": 1.0, "eps": 1.0, **_ROTATED
    },
    "rotated dot": {**_STREAM, **_ROTATED},
    "rotated dot, mass": {**_STREAM, **_ROTATED, "key_bias": "mass"},
    "rotated dot, qk-norm": {**_STREAM, **_ROTATED, "qk_norm": True},
    # the same with tables of positions beside the turn
    "rotated gaussian, tables": {"attention": "gaussian", **_TABLES},
    "rotated gaussian, tables, no mass": {
        "attention": "gaussian", **_TABLES, "mass": False
    },
    "rotated dot, tables": {**_STREAM, **_TABLES},
    # rotary logits of content and a narrow stream of places, added
    "dot, rotary, stream": {
        "attention": "dot", "stream": "content+coordinates", "positions": "rotary",
        "coordinates": "token", "looking": True, "place": 4,
    },
}


def model_of(size: str, arm: str, vocab: int) -> LMConfig:
    """The model of an arm at one of the sizes.

    Kernels with one projection keep the `d_coord` that they were first measured with.
    """
    plain = replace(SIZES[size][0], vocab=vocab)
    config = matched(plain, arm)
    if config.attention == "dot" or config.looking:
        return config
    return replace(config, d_coord=plain.d_coord)


def matched(plain: LMConfig, arm: str) -> LMConfig:
    """The model of an arm, with the parameters of the plain twin within 2 %.

    A tied projection leaves d_model² numbers a layer over: the feed-forward takes them.
    """
    config = replace(plain, **ARMS[arm])
    if config.tied:
        config = replace(config, d_ff=4 * config.d_model + config.d_model // 2)
    if config.has_coordinates:
        config = replace(config, d_coord=matched_width(config))
    return config


def run(
    size: str, arm: str, seed: int, rate: float, text: str, device: str,
    keep: Path | None = None, steps: int | None = None,
) -> dict[str, Any]:
    """Train one model and give its row.

    keep: a folder for its checkpoint; steps: how many, None: those of the size.
    """
    written, described = characters(text)
    learned, judged, vocab = ids_of(written)
    config = model_of(size, arm, vocab)
    recipe = SIZES[size][1]
    recipe = replace(recipe, seed=seed, learning_rate=rate,
                     steps=steps or recipe.steps)
    model = build(config, seed).to(device)
    began, began_cpu = time.perf_counter(), time.process_time()
    history = train(model, learned, judged, recipe,
                    name=f"{size} {arm} {rate:g} s{seed}")
    spent, spent_cpu = time.perf_counter() - began, time.process_time() - began_cpu
    row = {
        "text": text, "data": described,
        "sha256": hashlib.sha256(written.encode()).hexdigest(),
        "size": size, "name": arm, "seed": seed, "learning_rate": rate,
        **{name: getattr(config, name) for name in (
            "attention", "positions", "stream", "looking", "moves", "sign", "qk_norm",
            "key_bias", "tied")},
        "coordinates": config.coordinates if config.has_coordinates else None,
        "mass": model.masses is not None, "d_coord": config.d_coord,
        "parameters": parameters(model), "steps": recipe.steps,
        "tokens": recipe.steps * recipe.batch * recipe.context,
        "valid": evaluate(model, judged, config.context),
        "seconds": round(spent, 1), "cpu_seconds": round(spent_cpu, 1),
        "threads": torch.get_num_threads(),
        "device": device, "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }
    if recipe.evaluation_windows is None:  # each was over the whole validation part
        row["lowest"] = min(loss for loss in history.valid if loss is not None)
    if keep is not None:
        keep_model(keep, model, row)
    return row


def keep_model(folder: Path, model: LanguageModel, row: dict[str, Any]) -> None:
    """Leave a trained model and its row under a name made of what it is."""
    name = "-".join(str(row[key]).replace(", ", "_").replace(" ", "_") for key in (
        "text", "size", "name", "seed", "learning_rate"))
    save(folder / name, whole(model=model.state_dict()),
         {"step": row["steps"], "model": asdict(model.config), "row": row})


def ids_of(text: str) -> tuple[Tensor, Tensor, int]:
    """What is learned, what is judged on (the last tenth), and how many letters."""
    letters = sorted(set(text))
    place = {letter: i for i, letter in enumerate(letters)}
    ids = torch.tensor([place[c] for c in text])
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(letters)


def finished() -> list[dict]:
    """The rows that stand in the file; the first ones do not name TinyShakespeare."""
    return [{"text": TEXTS[0], **row} for row in rows_in(RESULTS)]


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing: 0 done, 1 no text, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("--arms", "--attentions", nargs="+", choices=list(ARMS),
                        default=list(ARMS), metavar="ARM", help="; ".join(ARMS))
    parser.add_argument("--text", choices=TEXTS, default="tinyshakespeare")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    parser.add_argument("--keep", type=Path, metavar="FOLDER",
                        help="keep the trained models there, outside the repository")
    asked = parser.parse_args(arguments)
    if asked.threads:
        torch.set_num_threads(asked.threads)
    try:
        characters(asked.text)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    for seed in asked.seeds:
        for rate in asked.rates:
            for arm in asked.arms:
                key = {"text": asked.text, "size": asked.size, "name": arm,
                       "seed": seed, "learning_rate": rate}
                if any(key.items() <= row.items() for row in finished()):
                    continue
                write(RESULTS, run(asked.size, arm, seed, rate, asked.text,
                                   asked.device, asked.keep))
    return 0


if __name__ == "__main__":
    sys.exit(main())
