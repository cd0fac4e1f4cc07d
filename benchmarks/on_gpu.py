"""Every GPU point of the book on one GPU, in ten minutes, into one file.

    python -m benchmarks.on_gpu
    python -m benchmarks.on_gpu --parts attention flex --minutes 3
    python -m benchmarks.on_gpu --smoke              all of its code on a CPU, tiny

    attention    gaussian and newton in bf16 beside flash attention, at 1k to 16k tokens
    flex         newton by FlexAttention beside the same
    step         a training step at the sizes of chapters 10 and 13
    characters   10.7M parameters, nanoGPT's configuration, every arm and seed
    tuning       SmolLM2 with and without a swapped vocabulary, more and more steps

The parts share the minutes; what one leaves over, the next ones have. Every row is
written at once, so that a run which is cut off loses nothing, and other parts of the
file stay. A part that fails leaves the others. See benchmarks/README.md.
"""

import argparse
import datetime
import itertools
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm.auto import tqdm

from benchmarks import fair, gravity, quality
from lib import data
from lib.commands import module_command, say
from lib.files import write_json
from lib.gravity.model import LMConfig
from lib.page.gpu import GPU_RESULTS
from lib.training.loop import Recipe
from lib.workbench.ngt.screening import plan
from lib.workbench.ngt.training import model_config

Rows = Iterator[dict[str, Any]]
TOKENS = 16_384  # of all texts together, at every length
LENGTHS = (1024, 2048, 4096, 8192, 16_384)
#: The dot product as it was, as others make it strongest, and the turned coordinates
#: with and without a distance.
ARMS = ("dot", "dot, rotary, qk-norm", "rotated dot", "rotated gaussian")
RATE = 1e-3  # nanoGPT's
TUNING_STEPS = (48, 256, 1024, 2048)
SMOKE = (
    LMConfig(vocab=65, context=32, d_model=32, n_layers=1, n_heads=2, d_coord=16,
             dropout=0.2),
    Recipe(steps=8, batch=4, context=32, warmup=2, precision="bf16", evaluations=2,
           evaluation_windows=None),
)


@dataclass
class Run:
    """What a part may use: a device, the time until it has to end, folders."""

    device: str
    smoke: bool
    until: float  # of `time.monotonic`
    arms: list[str]
    seeds: list[int]
    keep: Path  # for what is made once: tokenizers

    @property
    def left(self) -> float:
        """Seconds that are left to the part."""
        return self.until - time.monotonic()


def attention(run: Run) -> Rows:
    """Forward and backward in bf16; the ratio is to flash attention just before."""
    yield from _beside_flash(run, ("sdpa", "gaussian", "newton"))


def flex(run: Run) -> Rows:
    """The same of FlexAttention, which on a CPU has a forward pass only."""
    yield from _beside_flash(run, ("newton_flex",))


def _beside_flash(run: Run, forms: tuple[str, ...]) -> Rows:
    lengths = (64, 128) if run.smoke else LENGTHS
    for form, n in itertools.product(forms, lengths):
        if run.left < 0:
            return
        batch = 1 if run.smoke else TOKENS // n
        learn = run.device == "cuda" or form != "newton_flex"
        peer, do = (gravity.work(name, n, batch, run.device, torch.bfloat16, learn)
                    for name in ("sdpa", form))
        with (sdpa_kernel(SDPBackend.FLASH_ATTENTION),
              tqdm(desc=f"{form} {n:,}", unit="pair") as bar):
            for warm in (peer, do, peer, do):
                warm()
            extra, once = _extra_mb(do), gravity.seconds(do)
            pairs = 2 if run.smoke else max(1, min(9, int(4 / once)))  # some seconds
            yield {"form": form, "n": n, "batch": batch, "backward": learn,
                   **gravity.paired(peer, do, pairs, "sdpa", bar), "pairs": pairs,
                   "extra_mb": extra}


def _extra_mb(do: Callable[[], object]) -> float | None:
    """MB of the GPU's memory at the peak of a call, beyond what was held before."""
    if not torch.cuda.is_available():
        return None
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    do()
    return round((torch.cuda.max_memory_allocated() - before) / 2**20, 1)


def step(run: Run) -> Rows:
    """A training step of gravity beside that of its twin, in mixed precision."""
    options = plan("smoke" if run.smoke else "full", "no_radius")["no_radius"]
    sizes = {
        "tinyshakespeare": (SMOKE[0] if run.smoke else gravity.MODEL, gravity.BATCH),
        "wikitext103": (model_config(options, options.bpe_vocab_size),
                        options.batch_size)}
    for size, (config, batch) in sizes.items():
        pairs = 1 if run.smoke else 5
        with tqdm(desc=size, unit="pair") as bar:
            for row in gravity.step_rows(pairs, 2 if run.smoke else batch, bar, config,
                                         run.device, torch.bfloat16):
                yield row | {"size": size, "steps_per_second": round(
                    1e3 / row["forward_backward_ms"], 3)}
                if run.left < 0:
                    return


def characters(run: Run) -> Rows:
    """Models of one size, equally many steps: as many as the time allows.

    A rehearsal of each arm tells how long a step takes. `planned` is how many steps
    nanoGPT makes; with `steps` fewer, losses are not to be held to its 1.4697.
    """
    size = "smoke" if run.smoke else "nanogpt"
    quality.SIZES["smoke"] = SMOKE
    planned, few = quality.SIZES[size][1].steps, 2 if run.smoke else 40
    train = partial(quality.run, size, rate=RATE, text="tinyshakespeare",
                    device=run.device)
    pace = 0.0  # seconds of a step of every arm
    for arm in run.arms:
        train(arm, seed=0, steps=2)  # a GPU's first steps load and choose its programs
        pace += train(arm, seed=0, steps=few)["seconds"] / few
    steps = int(0.9 * run.left / pace / len(run.seeds))
    if steps < few:
        raise TimeoutError(
            f"{run.left:.0f} seconds are left for {len(run.arms)} arms and "
            f"{len(run.seeds)} seeds, a step of all arms takes {pace:.2f}; give more "
            "--minutes, or fewer --arms or --seeds")
    for seed in run.seeds:
        for arm in run.arms:
            yield train(arm, seed=seed, steps=min(steps, planned)) | {
                "planned": planned}


def tuning(run: Run) -> Rows:
    """The swapped and the untouched model, at the better of two rates.

    Each round has more steps than the one before, and is begun if it should end in
    time; what it needs from the start is made once.
    """
    words = ["--device", run.device, "--arms", *fair.ARMS[:2], "--seeds", "0",
             "--keep", str(run.keep)]
    words += ["--rates", "1e-3"] if run.smoke else ["--rates", "1e-3", "2e-3"]
    if run.smoke:
        words += ["--model", "small", "--pretraining", "2", "--context", "16",
                  "--batch", "2", "--rows-steps", "1", "--documents", "6",
                  "--judged", "korean"]
    else:
        words += ["--model", "smollm2"]
    fair.main([*words, "--parts"])  # what is made once
    ledger = run.keep / "on_gpu.jsonl"
    ledger.unlink(missing_ok=True)
    spent, before = 0.0, 1
    for steps in (4, 8) if run.smoke else TUNING_STEPS:
        if run.left < 1.2 * spent * steps / before:
            return
        began = time.monotonic()
        fair.main([*words, "--steps", str(steps), "--out", str(ledger)])
        spent, before = time.monotonic() - began, steps
        ends = [row for row in fair.Ledger(ledger).rows
                if row["last"] and row["steps"] == steps]
        for arm in fair.ARMS[:2]:
            best = min((row for row in ends if row["arm"] == arm),
                       key=lambda row: row["choosing"])
            yield {key: value for key, value in best.items()
                   if key not in ("nats", "sizes")}


#: part → how, and its share of the time
PARTS: dict[str, tuple[Callable[[Run], Rows], int]] = {
    "attention": (attention, 2), "flex": (flex, 2), "step": (step, 1),
    "characters": (characters, 10), "tuning": (tuning, 5)}


def entry(run: Run) -> dict[str, Any]:
    """What a part of the file begins with."""
    cuda = run.device == "cuda"
    return {"device": torch.cuda.get_device_name() if cuda else run.device,
            "torch": torch.__version__, "smoke": run.smoke,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "seconds": 0.0, "failed": None, "rows": []}


def main(arguments: list[str] | None = None) -> int:
    """Run the parts: 0 measured, 1 a part failed, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.on_gpu", description=str(__doc__).splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--minutes", type=float, default=10.0, help="for all parts")
    parser.add_argument("--smoke", action="store_true",
                        help="run all the code on a CPU, at tiny sizes")
    parser.add_argument("--arms", nargs="+", choices=quality.ARMS, default=list(ARMS),
                        metavar="ARM", help="of `characters`: names of quality.py")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2],
                        help="of `characters`")
    parser.add_argument("--keep", type=Path, default=data.ROOT / "_build" / "fair",
                        help="folder for the tokenizers of `tuning`")
    parser.add_argument("--out", type=Path, help="the file, else that of the book")
    asked = parser.parse_args(arguments)
    if not asked.smoke and not torch.cuda.is_available():
        parser.error("this machine has no CUDA GPU that PyTorch finds; use one that "
                     "has, or --smoke to try all the code here")
    if asked.minutes <= 0:
        parser.error(f"--minutes is {asked.minutes}; use more than 0")
    smoke = data.ROOT / "_build" / "on_gpu_smoke.json"
    out = asked.out or (smoke if asked.smoke else GPU_RESULTS)
    file = json.loads(out.read_text("utf-8")) if out.exists() else {}
    end, failed = time.monotonic() + 60 * asked.minutes, []
    names = [name for name in PARTS if name in asked.parts]
    for place, name in enumerate(names):
        part, share = PARTS[name]
        now = time.monotonic()
        share /= sum(PARTS[other][1] for other in names[place:])
        run = Run("cpu" if asked.smoke else "cuda", asked.smoke,
                  now + share * (end - now), asked.arms, asked.seeds[:2 if asked.smoke
                  else None], asked.keep)
        file[name] = entry(run)
        try:
            for row in part(run):
                file[name]["rows"].append(row)
                file[name]["seconds"] = round(time.monotonic() - now, 1)
                write_json(out, file)
        except Exception as error:  # noqa: BLE001 the others go on, whatever it was
            if not isinstance(error, (data.DataError, TimeoutError)):
                traceback.print_exc()
            file[name]["failed"] = f"{type(error).__name__}: {error}"
            failed.append(name)
            say(f"the part {name} failed: {file[name]['failed']}")
        file[name]["seconds"] = round(time.monotonic() - now, 1)
        write_json(out, file)
    if failed:
        say(f"{', '.join(failed)} failed, the rest is in {out}; put right what the "
            f"sentence above names and run {module_command('benchmarks.on_gpu')} "
            f"--parts {' '.join(failed)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
