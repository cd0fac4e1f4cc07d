"""Gravity against the dot product: the same recipe, every kernel, several seeds.

    python -m benchmarks.quality small                 all of the small size
    python -m benchmarks.quality medium --seeds 0 1 2
    python -m benchmarks.quality small --attentions dot newton --rates 2e-3

Each run is one line of benchmarks/results/quality.jsonl, written when it is finished;
what stands there is not run again. Loss: nats a character, over the whole validation
split of TinyShakespeare. See benchmarks/README.md.
"""

import argparse
import datetime
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import torch

from lib.data import DataError
from lib.data import text as text_of
from lib.gravity.model import LMConfig, build, parameters
from lib.training.loop import Recipe, evaluate, train
from lib.workbench.ngt.training import matched_coordinates

RESULTS = Path(__file__).parent / "results" / "quality.jsonl"
#: The two sizes. d_coord gives the gravity models the twin's parameters within 2 %;
#: those that look from a place of their own have another projection, and fewer axes.
SIZES = {
    "small": (
        LMConfig(vocab=65, context=64, d_model=128, n_layers=4, n_heads=4, d_coord=176),
        Recipe(steps=1500, batch=12, context=64, evaluations=1, evaluation_windows=8),
    ),
    "medium": (
        LMConfig(vocab=65, context=128, d_model=256, n_layers=6, n_heads=8,
                 d_coord=352),
        Recipe(steps=800, batch=16, context=128, evaluations=1, evaluation_windows=8),
    ),
}
#: attention → what it sets. Names of `LMConfig`.
ATTENTIONS = {
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
}


def run(size: str, name: str, seed: int, rate: float, text: str, device: str) -> dict:
    """Train one model and give its row."""
    config, recipe = SIZES[size]
    letters = sorted(set(text))
    place = {letter: i for i, letter in enumerate(letters)}
    ids = torch.tensor([place[c] for c in text])
    cut = int(0.9 * len(ids))
    config = replace(config, vocab=len(letters), **ATTENTIONS[name])
    if config.looking:
        config = replace(config, d_coord=matched_coordinates(config))
    recipe = replace(recipe, seed=seed, learning_rate=rate)
    model = build(config, seed).to(device)
    began = time.perf_counter()
    train(model, ids[:cut], ids[cut:], recipe, name=f"{size} {name} {rate:g} s{seed}")
    spent = time.perf_counter() - began
    return {
        "size": size, "name": name, "attention": config.attention,
        "coordinates": None if name == "dot" else config.coordinates,
        "looking": config.looking, "sign": config.sign, "seed": seed,
        "learning_rate": rate,
        "parameters": parameters(model), "steps": recipe.steps,
        "tokens": recipe.steps * recipe.batch * recipe.context,
        "valid": evaluate(model, ids[cut:], config.context),
        "seconds": round(spent, 1), "threads": torch.get_num_threads(),
        "device": device, "torch": torch.__version__,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
    }


def finished() -> list[dict]:
    """The rows that stand in the file."""
    if not RESULTS.exists():
        return []
    lines = RESULTS.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line]


def main(arguments: list[str] | None = None) -> int:
    """Run what is missing: 0 done, 1 no text, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.quality", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("size", choices=list(SIZES))
    parser.add_argument("--attentions", nargs="+", choices=list(ATTENTIONS),
                        default=list(ATTENTIONS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rates", nargs="+", type=float, default=[1e-3, 2e-3, 4e-3])
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    given = parser.parse_args(arguments)
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        text = text_of("tinyshakespeare")
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    for seed in given.seeds:
        for rate in given.rates:
            for name in given.attentions:
                key = {"size": given.size, "name": name, "seed": seed,
                       "learning_rate": rate}
                if any(key.items() <= row.items() for row in finished()):
                    continue
                row = run(given.size, name, seed, rate, text, given.device)
                RESULTS.parent.mkdir(exist_ok=True)
                with open(RESULTS, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row) + "\n")
                print(json.dumps(row), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
