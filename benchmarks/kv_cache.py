"""How much a KV cache saves: SmolLM2 writes one text with it and without it.

    python -m benchmarks.kv_cache                    a table
    python -m benchmarks.kv_cache --json             one JSON object a row
    python -m benchmarks.kv_cache --tokens 64 --pairs 1

Two forms are timed: the book's own `lib.attention.decoder.DecoderLM`, and
`transformers`. Each writes the same text twice at the same time, greedily: with the
cache, and computing everything again for every token. The two take turns, token by
token, so that a computer that slows down slows both. See benchmarks/README.md.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial

import torch
import transformers
from tqdm.auto import tqdm

from benchmarks.pretrained import from_llama
from lib.attention.generate import stream
from lib.data import DataError, describe, language_model
from lib.data.pretrained import quiet

FORMS = ("book", "transformers")
WAYS = (True, False)  # with the cache, without it


def book(model, ids: torch.Tensor, n: int, cached: bool) -> Iterator[int]:
    """Write `n` tokens with the book's model."""
    return stream(model, ids, n, cached=cached)


def of_transformers(model, ids: torch.Tensor, n: int, cached: bool) -> Iterator[int]:
    """Write `n` tokens with a model of transformers and its own cache."""
    past, fresh = None, ids
    for _ in range(n):
        found = model(fresh, past_key_values=past, use_cache=cached, logits_to_keep=1)
        token = found.logits[:, -1:].argmax(-1)[:, 0]
        yield token.item()
        past = found.past_key_values
        fresh = token[:, None] if cached else torch.cat((fresh, token[:, None]), 1)


def measure(write: Callable[..., Iterator[int]], marks: list[int], bar) -> dict:
    """Write one text both ways in turns; give seconds by (cached, tokens).

    Who goes first changes with every token.
    """
    texts = {cached: write(max(marks), cached) for cached in WAYS}
    clock, found = dict.fromkeys(WAYS, 0.0), {}
    for n in range(1, max(marks) + 1):
        tokens = set()
        for cached in WAYS[:: 1 if n % 2 else -1]:
            begin = time.perf_counter()
            tokens.add(next(texts[cached]))
            clock[cached] += time.perf_counter() - begin
        if len(tokens) > 1:
            raise SystemExit(
                f"token {n} with the cache is not that without it, so their times mean "
                "nothing; run tests/chapters/test_chapter_07.py to find out why."
            )
        if n in marks:
            found |= {(cached, n): clock[cached] for cached in WAYS}
        bar.update()
    return found


def rows(form: str, measured: list[dict], marks: list[int]) -> Iterator[dict]:
    """Sum up pairs: medians of seconds, and of the ratio within each pair."""
    for n in marks:
        for cached in WAYS:
            times = [pair[cached, n] for pair in measured]
            ratios = [pair[False, n] / pair[cached, n] for pair in measured]
            yield {
                "form": form, "cache": cached, "tokens": n, "pairs": len(measured),
                "seconds": round(statistics.median(times), 4),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_low": round(min(ratios), 3),
                "ratio_high": round(max(ratios), 3),
            }


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark: 0 measured, 1 no model, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.kv_cache", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument("--tokens", type=int, default=256, help="tokens to write")
    parser.add_argument("--pairs", type=int, default=3, help="pairs of each form")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=list(FORMS))
    parser.add_argument("--prompt", default="Once upon a time, a tiger")
    parser.add_argument("--threads", type=int, help="threads of PyTorch; else its own")
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    given = parser.parse_args(arguments)
    if given.tokens < 1 or given.pairs < 1 or (given.threads or 1) < 1:
        parser.error("--tokens, --pairs and --threads are whole numbers from 1 on")
    if given.threads:
        torch.set_num_threads(given.threads)
    try:
        theirs, tokenizer = language_model("sdpa")
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    ids = tokenizer(given.prompt, return_tensors="pt").input_ids
    most = theirs.config.max_position_embeddings
    if ids.shape[1] + given.tokens > most:
        parser.error(f"the model takes {most} tokens in all; lower --tokens")
    ours = from_llama(theirs)
    # transformers computes logits of the last token only; let our model do the same
    ours.norm.register_forward_pre_hook(lambda _, inputs: (inputs[0][:, -1:],))
    models = {"book": (book, ours), "transformers": (of_transformers, theirs)}
    marks = sorted({n for n in (16, 32, 64, 128) if n < given.tokens} | {given.tokens})
    about = {
        "model": describe("smollm2"), "device": "cpu", "torch": torch.__version__,
        "threads": torch.get_num_threads(), "transformers": transformers.__version__,
        "prompt_tokens": ids.shape[1],
    }
    table = []
    steps = given.tokens * given.pairs * len(given.forms)
    with torch.no_grad(), quiet(), tqdm(total=steps, unit="token") as bar:
        for form in given.forms:
            bar.set_description(form)
            write, model = models[form]
            list(write(model, ids, 2, True))  # warm up
            writer = partial(write, model, ids)
            pairs = [measure(writer, marks, bar) for _ in range(given.pairs)]
            table += rows(form, pairs, marks)
    for row in table:
        if given.json:
            print(json.dumps(row | about, ensure_ascii=False))
    if not given.json:
        print("  ".join(f"{name}: {value}" for name, value in about.items()))
        print(f"{'form':14}{'cache':>6}{'tokens':>8}{'seconds':>10}  ratio (low–high)")
        for row in table:
            print(
                f"{row['form']:14}{'yes' if row['cache'] else 'no':>6}"
                f"{row['tokens']:8}{row['seconds']:10.2f}  {row['ratio']:.2f}"
                f" ({row['ratio_low']:.2f}–{row['ratio_high']:.2f})"
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
