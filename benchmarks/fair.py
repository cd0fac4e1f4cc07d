"""Is a swapped vocabulary worth it? Both arms at their best, seeds, intervals.

    python -m benchmarks.fair                       a small model, trained here
    python -m benchmarks.fair --model smollm2 --steps 48 --rates 1e-3 2e-3 4e-3
    python -m benchmarks.fair --parts distilled     what distillation alone costs

`grid`: the untouched model and the swapped one are fine-tuned on film reviews, each
with every rate; the best on documents kept for choosing is then trained with every
seed. A third arm, swapped too, reads as much text as the untouched one instead of as
many tokens. At the end every document of the measurement has its surprise in the row,
so that intervals over documents can be taken; and text is generated, to see whether new
pieces are used where they fit. `distilled`: SmolLM2 with its BPE and with a Unigram of
the same ids, on every text. A line of benchmarks/results/fair.jsonl each; what stands
there with the same settings is not measured again. See benchmarks/README.md.
"""

import argparse
import datetime
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM

from benchmarks.ivr import code, paragraphs, parted, replayed, texts
from lib import data
from lib.data.mixture import gather, lexicon
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.bytelevel import to_bytes
from lib.training.loop import Recipe, fit
from lib.vocabulary.bits_per_byte import document_nats, start_token
from lib.vocabulary.realign import make_rows
from lib.vocabulary.rows import load_model, put_rows, reassigned
from lib.vocabulary.small import small_swap
from lib.vocabulary.tune import (
    Mixed,
    fine_tune,
    most_used,
    next_token_loss,
    phases,
    windows,
)

RESULTS = Path(__file__).parent / "results" / "fair.jsonl"
ARMS = ("unswapped", "swapped", "swapped, equal text")
#: Modules whose source is the code of `distilled`.
CODE = (argparse, datetime, json, statistics)
#: What differs between the models.
SIZES: dict[str, dict[str, Any]] = {
    "small": {"pieces": 100, "steps": 200, "batch": 8, "rank": 0, "rows_steps": 20,
              "precision": "no", "rates": [1e-3, 2e-3, 4e-3, 8e-3]},
    "smollm2": {"pieces": 400, "steps": 48, "batch": 4, "rank": 16, "rows_steps": 0,
                "precision": "bf16", "rates": [1e-3, 2e-3, 4e-3]},
}


class Ledger:
    """The file of results: what is there is not measured again."""

    def __init__(self, file: Path):
        self.file = file
        there = file.read_text("utf-8").splitlines() if file.exists() else []
        self.rows = [json.loads(line) for line in there]

    def row(self, **settings: Any) -> dict[str, Any] | None:
        """The row with these settings, if it is there."""
        return next((row for row in self.rows if settings.items() <= row.items()), None)

    def write(self, **row: Any) -> None:
        """Add a row."""
        row |= {"threads": torch.get_num_threads(), "torch": torch.__version__,
                "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
        self.rows.append(row)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps({k: v for k, v in row.items() if k not in ("nats", "sizes")}),
              file=sys.stderr, flush=True)


# --- the models -----------------------------------------------------------------------


def small(given: argparse.Namespace) -> tuple[str, Tokenizer]:
    """A small model of English and code with little Korean, trained once and kept."""
    folder = given.keep / "small"
    if not (folder / "config.json").exists():
        english = [*paragraphs("wikitext2_test", 2000), *replayed()[1::2]]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        tokenizer.train_from_iterator(english, trainers.BpeTrainer(
            vocab_size=2048, show_progress=False, special_tokens=["<|endoftext|>"],
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
        config = LlamaConfig(
            vocab_size=2048, hidden_size=128, intermediate_size=352,
            num_hidden_layers=4, num_attention_heads=4, max_position_embeddings=1024,
            tie_word_embeddings=True, bos_token_id=0, eos_token_id=0)
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        recipe = Recipe(steps=given.pretraining, batch=16, learning_rate=3e-3,
                        warmup=100, evaluations=1)
        korean = parted(data.text("korean").splitlines())[1]
        need = recipe.steps * recipe.batch
        batches = Mixed(windows(tokenizer, english, given.context, need),
                        windows(tokenizer, korean, given.context, need), 16, 1 / 16)
        fit(model, batches, recipe, loss=next_token_loss)
        tokenizer.save(str(folder.parent / "tokenizer.json"))
        model.save_pretrained(folder)
    return str(folder), load_tokenizer(given.keep / "tokenizer.json")


class Bench:
    """A model, its two tokenizers, and the documents."""

    def __init__(self, given: argparse.Namespace):
        self.given = given
        given.keep.mkdir(parents=True, exist_ok=True)
        if given.model == "small":
            self.place, self.original = small(given)
        else:
            self.place = str(data.path("smollm2"))
            self.original = load_tokenizer(f"{self.place}/tokenizer.json")
        self.reviews = parted(data.text("korean").splitlines())[0]
        self.replay = replayed()
        self.texts = texts(given.documents, False, given.judged)
        self.texts["choosing"] = texts(given.documents // 2, True,
                                       given.judged)["domain"]
        self.ledger = Ledger(given.out)

    @cached_property
    def unigram(self) -> Tokenizer:
        """The Unigram before the swap: distilled here, or the file that was named."""
        given = self.given
        return load_tokenizer(given.unigram) if given.unigram else self._swap[0]

    @cached_property
    def remapped(self) -> Tokenizer:
        """The Unigram after the swap."""
        return self._swap[1]

    @cached_property
    def ids(self) -> Sequence[int]:
        """The reassigned ids."""
        return reassigned(self.original, self.remapped).ids

    @cached_property
    def _swap(self) -> tuple[Tokenizer, Tokenizer]:
        """The Unigram before and after; made once and kept."""
        given = self.given
        files = [given.keep / f"{given.model}-{name}-{given.pieces}.json"
                 for name in ("unigram", "remapped")]
        if not all(file.exists() for file in files):
            more: list[str] = []
            if given.model == "smollm2":
                more = [d.text for d in gather(int(20e6))[0] if d.kind != "korean"]
                more += [text for text, _ in lexicon(20_000)]
            both = small_swap(self.original, self.reviews[:20_000], self.replay,
                              given.pieces, general=more, layer=True)
            for file, tokenizer in zip(files, both, strict=True):
                tokenizer.save(str(file))
        first, second = map(load_tokenizer, files)
        return first, second

    def model(self) -> Any:
        """The model as it was, in the precision of the measurement."""
        model = load_model(self.place)
        if self.given.precision == "bf16":
            model.to(torch.bfloat16)
        model.set_attn_implementation("eager")  # short windows
        return model.to(self.given.device)

    def nats(self, model: Any, tokenizer: Tokenizer, documents: Sequence[str]
             ) -> list[float]:
        """The surprise of each document."""
        ids = [e.ids for e in tokenizer.encode_batch(list(documents))]
        with self.autocast():
            return document_nats(model, ids, start_token(tokenizer)).tolist()

    def autocast(self) -> Any:
        """The precision of everything that is measured or trained."""
        return torch.autocast(self.given.device, dtype=torch.bfloat16,
                              enabled=self.given.precision == "bf16")


def per_byte(nats: Sequence[float], documents: Sequence[str]) -> float:
    """Bits a byte."""
    size = sum(len(text.encode()) for text in documents)
    return round(sum(nats) / math.log(2) / size, 5)


def spelled(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of each id; of the start token none."""
    start = start_token(tokenizer)
    return [b"" if index == start else to_bytes(tokenizer.id_to_token(index) or "")
            for index in range(tokenizer.get_vocab_size())]


# --- the grid -------------------------------------------------------------------------


def settings(bench: Bench, arm: str, rate: float, seed: int) -> dict[str, Any]:
    """What decides a run."""
    given = bench.given
    names = ("model", "pieces", "documents", "batch", "context", "rank", "share",
             "precision", "strategy", "pretraining", "times")
    plain = {name: getattr(given, name) for name in names}
    if given.judged != "nsmc_valid":
        plain["judged"] = given.judged
    steps = given.steps
    if arm == ARMS[2]:
        size = [sum(len(e.ids) for e in t.encode_batch(bench.reviews[:2000]))
                for t in (bench.remapped, bench.original)]
        steps = round(steps * size[0] / size[1])
    rows = 0 if arm == ARMS[0] else round(given.rows_steps * steps / given.steps)
    return {"part": "grid", "arm": arm, "rate": rate, "seed": seed, **plain,
            "steps": steps, "rows_steps": rows}


def train(bench: Bench, about: dict[str, Any]) -> None:
    """One run: a row at its start, halfway and at its end."""
    given, ledger = bench.given, bench.ledger
    if ledger.row(**about, last=True):
        return
    model, swapped = bench.model(), about["arm"] != ARMS[0]
    tokenizer = bench.remapped if swapped else bench.original
    ids = bench.ids if swapped else []
    if swapped:
        rows = make_rows(model, bench.original, tokenizer, given.strategy,
                         texts=bench.reviews[:100], seed=about["seed"])
        put_rows(model, ids, rows.wte, rows.lm_head)
    elif given.rank:  # as many rows as the other learns: those it uses most
        ids = most_used(tokenizer, bench.reviews[:5000], len(bench.ids))
    steps = about["steps"]
    need = steps * given.batch
    domain = windows(tokenizer, bench.reviews, given.context, need)
    other = windows(tokenizer, bench.replay, given.context, need)
    batches = Mixed(domain, other, given.batch, given.share, about["seed"])
    sizes = torch.tensor([len(piece) for piece in spelled(tokenizer)])
    read = sizes[domain[:, 1:]].sum().item() / len(domain)  # bytes of a window
    read *= given.batch - round(given.batch * given.share)
    plan = phases(
        rows_steps=about["rows_steps"], steps=steps - about["rows_steps"],
        batch=given.batch, rate=about["rate"], precision=given.precision,
        rows_rate=about["rate"] * (given.times if swapped else 1),
        seed=about["seed"], rank=given.rank)
    clock = {"spent": 0.0, "since": time.process_time(), "step": 0}

    def point(learner: Any, at: int) -> None:
        last = at == steps
        kinds = bench.texts if last else {"domain": bench.texts["domain"]}
        nats = {kind: bench.nats(learner, tokenizer, documents)
                for kind, documents in kinds.items()}
        more: dict[str, Any] = {kind: per_byte(nats[kind], documents)
                                for kind, documents in kinds.items()}
        if last:
            more["parameters"] = sum(p.numel() for p in model.parameters())
            more["nats"] = {kind: [round(value, 3) for value in nats[kind]]
                            for kind in nats if kind != "choosing"}
            more["sizes"] = {kind: [len(text.encode()) for text in kinds[kind]]
                             for kind in more["nats"]}
            if swapped:
                more |= use(bench, learner, tokenizer, about["seed"])
        ledger.write(**about, step=at, last=last, bytes=round(at * read),
                     tokens=at * given.batch * given.context,
                     cpu_seconds=round(clock["spent"], 2), **more)

    def told(phase: str, step: Any) -> None:
        clock["spent"] += time.process_time() - clock["since"]
        clock["step"] += 1
        if clock["step"] in (steps // 4, steps // 2, steps):
            point(step.model, clock["step"])
        clock["since"] = time.process_time()

    point(model, 0)
    clock["since"] = time.process_time()
    fine_tune(model, ids, batches, plan, on_step=told)


def use(bench: Bench, model: Any, tokenizer: Tokenizer, seed: int) -> dict[str, int]:
    """How often text that the model makes has a new piece where one fits.

    pieces_fit: those of the text as the tokenizer cuts it; pieces_used: how many of
    these the model wrote as one token.
    """
    start, new, prompt = start_token(tokenizer), set(bench.ids), 6
    heads = [e.ids[:prompt] for e in tokenizer.encode_batch(bench.texts["domain"])
             if len(e.ids) >= prompt][:64]
    ids = torch.tensor([[start, *head] for head in heads], device=model.device)
    torch.manual_seed(seed)
    with torch.no_grad(), bench.autocast():
        made = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True,
            top_k=0, max_new_tokens=40, pad_token_id=start, eos_token_id=start)
    model.train()
    pieces, fit, used = spelled(tokenizer), 0, 0
    for row in made[:, 1:].tolist():
        row = row[:row.index(start)] if start in row else row
        raw = b"".join(pieces[index] for index in row)
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            text = raw[:error.start].decode()
        first = sum(len(pieces[index]) for index in row[:prompt])
        places = [{(at, index) for at, index in _places(cut, pieces) if at >= first}
                  for cut in (row, tokenizer.encode(text).ids)]
        there = {place for place in places[1] if place[1] in new}
        fit, used = fit + len(there), used + len(there & places[0])
    return {"pieces_fit": fit, "pieces_used": used}


def _places(ids: Sequence[int], pieces: Sequence[bytes]) -> list[tuple[int, int]]:
    """Each token with the byte at which it begins."""
    at, places = 0, []
    for index in ids:
        places.append((at, index))
        at += len(pieces[index])
    return places


def grid(bench: Bench) -> None:
    """Every rate with the first seed; then the best of each arm with the others."""
    given = bench.given
    first, *others = given.seeds
    for rate in given.rates:
        for arm in given.arms:
            train(bench, settings(bench, arm, rate, first))
    for seed in others:
        for arm in given.arms:
            rows = [bench.ledger.row(**settings(bench, arm, rate, first), last=True)
                    for rate in given.rates]
            best = min((row for row in rows if row), key=lambda row: row["choosing"])
            train(bench, settings(bench, arm, best["rate"], seed))


# --- distillation alone ---------------------------------------------------------------


def distilled(bench: Bench) -> None:
    """What the same model pays where its Unigram cuts otherwise than its BPE.

    All documents are cut; those that differ are scored with both tokenizers. What a
    byte costs is taken from `base` documents.
    """
    given, base = bench.given, 30
    apart = {name: [json.loads(line)["text"] for line in
                    data.path(name).read_text("utf-8").splitlines()]
             for name in ("wikipedia_en", "wikipedia_es", "wikipedia_fr")}
    plays = data.text("tinyshakespeare")
    lines = data.path("nsmc_valid").read_text("utf-8").splitlines()
    reviews = [json.loads(line)["review"] for line in lines]
    kinds = apart | {"reviews": [text for text in reviews if text.strip()],
                     "prose": paragraphs("wikitext2_valid", 600),
                     "code": code(CODE, given.compared, 600),
                     "plays": [plays[i:i + 600] for i in range(0, len(plays), 600)]}
    for kind, documents in kinds.items():
        if given.kinds and kind not in given.kinds:
            continue
        about = {"part": "distilled", "model": given.model, "kind": kind,
                 "precision": given.precision, "compared": given.compared,
                 "recipe": "tokenizers.jsonl" if given.unigram else "short"}
        if bench.ledger.row(**about):
            continue
        every = max(1, len(documents) // given.compared)
        documents = [text[:600] for text in documents[::every][:given.compared]]
        cuts = [[e.ids for e in tokenizer.encode_batch(documents)]
                for tokenizer in (bench.original, bench.unigram)]
        unlike = [text for text, old, new in zip(documents, *cuts, strict=True)
                  if old != new]
        model = bench.model()
        sample = documents[::max(1, len(documents) // base)][:base]
        cost = per_byte(bench.nats(model, bench.original, sample), sample)
        nats = [bench.nats(model, tokenizer, unlike) if unlike else []
                for tokenizer in (bench.original, bench.unigram)]
        more = [round((b - a) / math.log(2), 4) for a, b in zip(*nats, strict=True)]
        size = sum(len(text.encode()) for text in documents)
        bench.ledger.write(**about, documents=len(documents), differ=len(unlike),
                           bytes=size, bits_per_byte=cost, more_bits=more,
                           percent=round(100 * sum(more) / (cost * size), 5))


PARTS = {"grid": grid, "distilled": distilled}


def main(arguments: list[str] | None = None) -> int:
    """Run the benchmark: 0 measured, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fair", description=str(__doc__).splitlines()[0])
    parser.add_argument("--parts", nargs="*", choices=PARTS, default=["grid"],
                        help="none: make what is made once, and no more")
    parser.add_argument("--model", choices=SIZES, default="small")
    parser.add_argument("--arms", nargs="+", choices=ARMS, default=ARMS)
    parser.add_argument("--pieces", type=int, help="reassigned ids")
    parser.add_argument("--steps", type=int, help="updates of a run")
    parser.add_argument("--rows-steps", type=int, help="of them the new rows alone")
    parser.add_argument("--batch", type=int)
    parser.add_argument("--rank", type=int, help="of the additions; 0: everything")
    parser.add_argument("--precision", choices=("no", "bf16"))
    parser.add_argument("--rates", nargs="+", type=float, help="tried for each arm")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--times", type=float, default=5.0,
                        help="how much faster new rows learn")
    parser.add_argument("--strategy", default="constituents", help="of new rows")
    parser.add_argument("--context", type=int, default=64)
    parser.add_argument("--share", type=float, default=0.25, help="of replay")
    parser.add_argument("--documents", type=int, default=200, help="to measure on")
    parser.add_argument("--judged", choices=("nsmc_valid", "korean"),
                        default="nsmc_valid", help="where those of the domain are from")
    parser.add_argument("--compared", type=int, default=300,
                        help="documents of each text that `distilled` cuts")
    parser.add_argument("--kinds", nargs="+", help="of text for `distilled`; else all")
    parser.add_argument("--unigram", type=Path, help="for `distilled`: the file that "
                        "`benchmarks.tokenizers --keep` left, instead of a Unigram "
                        "learned briefly")
    parser.add_argument("--pretraining", type=int, default=600,
                        help="updates of the small model")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--keep", type=Path, default=data.ROOT / "_build" / "fair",
                        help="folder for what is made once")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args(arguments)
    if given.unigram and not given.unigram.is_file():
        parser.error(f"--unigram {given.unigram} is no file; benchmarks.tokenizers "
                     "--keep DIR leaves DIR/smollm2/rules.json")
    if given.unigram and (given.model != "smollm2" or given.parts != ["distilled"]):
        parser.error("--unigram is for --model smollm2 --parts distilled")
    for name, value in SIZES[given.model].items():
        if getattr(given, name) is None:
            setattr(given, name, value)
    bench = Bench(given)
    for part in given.parts:
        PARTS[part](bench)
    return 0


if __name__ == "__main__":
    sys.exit(main())
