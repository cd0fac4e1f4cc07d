"""What gravity attention costs beside scaled dot-product attention (SDPA).

    python -m benchmarks.gravity                       a table
    python -m benchmarks.gravity --json                one JSON object a row
    python -m benchmarks.gravity --n 1024 --pairs 3 --forms gaussian newton
    python -m benchmarks.gravity --step                a whole training step as well
    python -m benchmarks.gravity --beside              while another process is busy

Every form runs forward and backward on inputs of one shape, causal. In each pair SDPA
runs just before the form it is compared with, and the ratio is taken inside the pair.
Memory is measured in a process of its own. A row says how many cores other processes
kept busy meanwhile (`others`): on a machine that others share no row is quiet. See
benchmarks/README.md.
"""

import argparse
import datetime
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm.auto import tqdm

from lib.gravity.attention import Pull, causal, squared_distances
from lib.gravity.fast import fast_attend
from lib.gravity.model import LMConfig, build, parameters

HEADS, WIDE = 8, 64  # of a head's value
FORMS = ("sdpa", "gaussian", "newton", "newton_62", "gaussian_near", "newton_near",
         "newton_compact", "tables", "original")
NEAR = 0.05  # the share of earlier tokens within the radius of the near forms
ORIGINAL_UP_TO = 1024  # its difference tensor takes gigabytes beyond
#: The size of the public original's TinyShakespeare run.
MODEL = LMConfig(vocab=65, context=256, d_model=256, n_layers=6, n_heads=8, d_ff=1024,
                 attention="dot", d_coord=344)
BATCH = 64


def original(z: Tensor, mass: Tensor, value: Tensor, gamma: Tensor) -> Tensor:
    """The public original: a (batch, head, seq, seq, coord) tensor of differences.

    m_i m_j (−γ/(d² + 1e-6)), as in leetae9yu/newton-gravity-transformer before it
    expanded the square.
    """
    apart = z[..., :, None, :] - z[..., None, :, :]
    d2 = apart.square().sum(-1)
    pair = mass[:, None, :, None] * mass[:, None, None, :]
    score = -gamma * pair / (d2 + 1e-6)
    later = torch.ones_like(d2[0, 0], dtype=torch.bool).triu(1)
    return score.masked_fill(later, -1e9).softmax(-1) @ value


def work(form: str, n: int, batch: int = 1, device: str = "cpu",
         kind: torch.dtype = torch.float32, learn: bool = True
         ) -> Callable[[], object]:
    """What one form does forward and backward on `batch` texts of `n` tokens.

    kind: of everything but masses, strengths and exponents, which have 32 bits.
    learn: whether there is a backward pass.
    """
    generator = torch.Generator().manual_seed(n)

    def some(wide):
        x = torch.randn(batch, HEADS, n, wide, generator=generator)
        return x.to(device, kind).requires_grad_()

    value, ask = some(WIDE), some(WIDE).detach()
    if form == "sdpa":
        query, key = some(WIDE), some(WIDE)
        learned = [query, key, value]

        def run():
            return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    else:
        coord = {"newton_62": 62, "original": 16}.get(form, WIDE // 2 - 2)
        z = some(coord)
        mass, strength = ((torch.rand(*shape, generator=generator) + 0.5).to(device)
                          .requires_grad_() for shape in ((batch, n), (HEADS, 1, 1)))
        beta = torch.ones(HEADS, 1, 1, device=device).requires_grad_()
        learned = [z, mass, value, strength]
        pull = Pull(form.split("_")[0] if form.startswith(("newton", "gaussian"))
                    else "newton", strength, beta)
        if form in ("newton_compact", "newton_near", "gaussian_near"):
            pull = replace(pull, cutoff="compact", radius=radius_of(z.detach()))
        how = {"tables": "reference", "newton_flex": "flex",
               "newton_compact": "chunked"}.get(form, "auto")

        def run():
            if form == "original":
                return original(z, mass, value, strength)
            return fast_attend(z, mass, value, pull, how)

    def both():
        torch.autograd.grad(run(), learned, ask)

    return both if learn else torch.no_grad()(run)


@torch.no_grad()
def radius_of(z: Tensor, share: float = NEAR, tokens: int = 1024) -> Tensor:
    """The radius of each head that keeps a share of the pairs of the first tokens."""
    r2 = squared_distances(z[..., :tokens, :])
    past = causal(r2.shape[-1], r2.device).tril(-1)
    apart = r2[..., past].transpose(0, 1).flatten(1)  # of each head
    return apart.kthvalue(max(1, int(share * apart.shape[1])), 1).values.sqrt()[
        :, None, None]


def seconds(do: Callable[[], object]) -> float:
    """How long one call takes, a GPU's work with it."""
    wait = torch.cuda.synchronize if torch.cuda.is_initialized() else lambda: None
    wait()
    begin = time.perf_counter()
    do()
    wait()
    return time.perf_counter() - begin


def paired(peer: Callable[[], object], do: Callable[[], object], pairs: int,
           than: str, bar) -> dict:
    """Median time of `do`, and of its ratio to the run of `peer` just before."""
    times, ratios = [], []
    for _ in range(pairs):
        other, own = seconds(peer), seconds(do)
        times.append(own)
        ratios.append(own / other)
        bar.update()
    return {
        "forward_backward_ms": round(1e3 * statistics.median(times), 2),
        f"ratio_to_{than}": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3), "ratio_high": round(max(ratios), 3),
    }


@contextmanager
def busy(wanted: bool) -> Iterator[None]:
    """Beside one process that counts and never waits, if it is wanted."""
    if not wanted:
        yield
        return
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        try:
            yield
        finally:
            other.kill()


def cores_of_others() -> Callable[[], float | None]:
    """How many cores other processes have kept busy since this was called (Linux)."""
    if sys.platform != "linux":
        return lambda: None

    def counted() -> tuple[float, float, float]:
        with open("/proc/stat", encoding="ascii") as lines:
            user, nice, system, _, _, irq, soft, *_ = map(int, next(lines).split()[1:])
        ticks = (user + nice + system + irq + soft) / os.sysconf("SC_CLK_TCK")
        return ticks, time.process_time(), time.perf_counter()

    first = counted()

    def since() -> float:
        all_, own, wall = (b - a for a, b in zip(first, counted(), strict=True))
        return round(max(0.0, (all_ - own) / wall), 2)

    return since


def peak(form: str, n: int) -> float:
    """Megabytes above what the inputs take, at the peak of forward and backward.

    Measured by the system in a process of its own, which gives memory back at once.
    """
    thrifty = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0",
               "MALLOC_TOP_PAD_": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gravity", "--peak-of", form, str(n)],
        check=True, capture_output=True, text=True, env=os.environ | thrifty,
    )
    return float(done.stdout)


def own_peak(form: str, n: int) -> float:
    """The same, of this process: the peak that Linux counted since it was reset."""
    work(form, 64)()
    do = work(form, n)

    def held(what: str) -> float:
        with open("/proc/self/status", encoding="ascii") as lines:
            return next(int(line.split()[1]) / 1024 for line in lines if what in line)

    with open("/proc/self/clear_refs", "w", encoding="ascii") as reset:
        reset.write("5")
    before = held("VmRSS")
    do()
    return held("VmHWM") - before


def attention_rows(
    forms: list[str], lengths: list[int], pairs: int, bar
) -> Iterator[dict]:
    """Time and memory of each form at each length."""
    for n in lengths:
        peer = work("sdpa", n)
        peer()
        plain = peak("sdpa", n) if sys.platform == "linux" else None
        for form in forms:
            if form == "original" and n > ORIGINAL_UP_TO:
                continue
            bar.set_description(f"{form} {n}")
            do = work(form, n)
            do()
            others = cores_of_others()
            timed = paired(peer, do, pairs, "sdpa", bar) | {"others": others()}
            extra = peak(form, n) if sys.platform == "linux" else None
            yield {
                "form": form, "n": n, **timed,
                "extra_mb": extra and round(extra, 1),
                "extra_to_sdpa": extra and round(extra / plain, 2),
                "pairs": pairs,
            }


def step_rows(pairs: int, batch: int, bar, config: LMConfig = MODEL,
              device: str = "cpu", kind: torch.dtype = torch.float32) -> Iterator[dict]:
    """A training step (forward, backward, AdamW) of NGT beside that of its twin."""
    def stepper(attention):
        model = build(replace(config, attention=attention), seed=0).to(device)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4)
        ids = torch.randint(config.vocab, (batch, config.context + 1), device=device)

        def step():
            optimizer.zero_grad(set_to_none=True)
            with torch.autocast(device, kind, enabled=kind != torch.float32):
                loss = model.loss(ids[:, :-1], ids[:, 1:])
            loss.backward()
            optimizer.step()

        step()
        return step, parameters(model)

    vanilla, _ = stepper("dot")
    for attention in ("dot", "gaussian", "newton"):
        bar.set_description(f"step {attention}")
        step, count = stepper(attention)
        yield {
            "form": f"step_{attention}", "n": config.context, "batch": batch,
            "parameters": count, **paired(vanilla, step, pairs, "vanilla", bar),
            "pairs": pairs,
        }


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark: 0 measured, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gravity", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--n", type=int, nargs="+", default=[1024, 2048, 4096])
    parser.add_argument("--pairs", type=int, default=7, help="pairs of each form")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--step", action="store_true", help="a training step as well")
    parser.add_argument("--batch", type=int, default=BATCH, help="of the step")
    parser.add_argument("--beside", action="store_true",
                        help="beside one busy process, started and ended here")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    parser.add_argument("--peak-of", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if min(*given.n, given.pairs, given.batch, given.threads or 1) < 1:
        parser.error("--n, --pairs, --batch and --threads are whole numbers from 1 on")
    if given.threads:
        torch.set_num_threads(given.threads)
    if given.peak_of:
        print(own_peak(given.peak_of[0], int(given.peak_of[1])))
        return 0
    about = {"beside": int(given.beside), "device": "cpu",
             "threads": torch.get_num_threads(), "torch": torch.__version__,
             "heads": HEADS, "d_value": WIDE,
             "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    total = given.pairs * (len(given.forms) * len(given.n) + 3 * given.step)
    with tqdm(total=total, unit="pair") as bar, busy(given.beside):
        table = list(attention_rows(given.forms, given.n, given.pairs, bar))
        if given.step:
            table += step_rows(given.pairs, given.batch, bar)
    if given.json:
        for row in table:
            print(json.dumps(row | about))
        return 0
    print("  ".join(f"{name}: {value}" for name, value in about.items()))
    print(f"{'form':16}{'n':>6}{'ms':>10}  {'ratio (low–high)':22}{'extra MB':>10}")
    for row in table:
        ratio = row.get("ratio_to_sdpa", row.get("ratio_to_vanilla"))
        between = f"{ratio:.2f} ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
        extra = row.get("extra_mb")
        told = "" if extra is None else f"{extra:.1f}"
        print(f"{row['form']:16}{row['n']:6}{row['forward_backward_ms']:10.1f}"
              f"  {between:22}{told:>10}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
