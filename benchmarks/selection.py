"""Tokens saved by a reassigned vocabulary, ours and others', on text kept aside.

    python -m benchmarks.selection                        a table
    python -m benchmarks.selection --teachers qwen3 --domains korean --budgets 1
    python -m benchmarks.selection --keep DIR             distilled Unigrams stay there

Every way gets the same training text, the same number of ids and the same documents to
be measured on, in one run. See benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import datetime
import hashlib
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from benchmarks.competitors import adaptivocab, never_longer
from lib import data
from lib.data.mixture import documents
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.counting import count_texts
from lib.tokens.distill import count_words, distill
from lib.vocabulary.baselines import (
    continued_bpe,
    continued_merges,
    halves,
    leaves,
    without,
)
from lib.vocabulary.phrases import joined
from lib.vocabulary.reassign import remap_tokenizer
from lib.vocabulary.select import lengths, select_pieces

TEACHERS = ("gpt2", "smollm2", "qwen3", "llama3_1")
DOMAINS = ("korean", "shakespeare", "python", "wikipedia_en", "wikipedia_es",
           "wikipedia_fr")
EVERY = 10  # of so many documents one is kept aside
RESULTS = Path(__file__).parent / "results" / "selection.jsonl"


def teacher(name: str) -> Tokenizer:
    """A tokenizer by name, as it is published."""
    if name == "gpt2":
        return data.gpt2_tokenizer()
    if name == "smollm2":
        return load_tokenizer(data.path(name) / "tokenizer.json")
    return load_tokenizer(data.path(f"tokenizer_{name}"))


def read(domain: str) -> Iterator[tuple[str, bool]]:
    """The documents of a domain, and whether each is kept aside.

    Python files are kept aside by package, all others by their number.
    """
    if domain == "python":
        for name, text in documents("code"):
            package = hashlib.sha256(name.split("/")[0].encode()).digest()[0]
            yield text, package % EVERY == 0
        return
    if domain == "korean":
        texts: Iterable[str] = data.text("korean").splitlines()
    elif domain == "shakespeare":
        texts = data.text("tinyshakespeare").split("\n\n")
    else:
        lines = data.path(domain).read_text("utf-8").splitlines()
        texts = (json.loads(line)["text"] for line in lines)
    yield from ((text, n % EVERY == 0) for n, text in enumerate(texts))


def sides(domain: str, size: int) -> tuple[list[str], list[str]]:
    """Texts to learn from, ``size`` bytes at most, and a tenth of it to measure on."""
    told: tuple[list[str], list[str]] = [], []
    room = [size, size // EVERY]
    known: set[str] = set()
    for text, aside in read(domain):
        length = len(text.encode())
        if text.strip() and text not in known and length <= min(
                room[aside], size // 20):
            known.add(text)
            told[aside].append(text)
            room[aside] -= length
        if max(room) < 200:
            break
    return told


@dataclass
class Case:
    """One teacher and one domain: what every way of choosing starts from."""

    teacher: Tokenizer
    unigram: Tokenizer
    halves: list[list[int]]
    train: list[str]
    general: list[str]

    @cached_property
    def words(self) -> Counter[bytes]:
        """The domain's words, as the teacher cuts them."""
        return count_texts(self.teacher, self.train).counts

    @cached_property
    def all_words(self) -> Counter[bytes]:
        """Those of the other texts as well."""
        return self.words + count_words(self.teacher, self.general)

    @cached_property
    def unigram_words(self) -> tuple[Counter[bytes], Counter[bytes]]:
        """The domain's and the general words, as the Unigram cuts them."""
        return (count_words(self.unigram, self.train),
                count_words(self.unigram, self.general))

    def ours(self, size: int, phrases: bool) -> Callable[[list[str]], np.ndarray]:
        """The choice of `lib.vocabulary.select`."""
        share = (size + 0.5) / self.unigram.get_vocab_size()
        chosen = select_pieces(
            self.unigram, *self.unigram_words, share=share, least=2, longest=20,
            bar=False, texts=self.train if phrases else None)
        whole = joined(self.unigram, [rule.new for rule in chosen.rules])
        return partial(lengths, remap_tokenizer(whole, chosen.rules))

    def continued(self, size: int) -> Callable[[list[str]], np.ndarray]:
        """Leaves pruned, merges continued: as many ids as before."""
        gone = self.leaves[:size]
        base = without(self.teacher, gone)
        merges = continued_merges(base, self.words, len(gone))
        return partial(lengths, continued_bpe(base, merges, gone))

    @cached_property
    def leaves(self) -> list[int]:
        """What `continued` gives up at the largest budget."""
        return leaves(self.teacher, self.all_words, self.most, self.halves)

    @cached_property
    def most(self) -> int:
        """The ids of the largest budget."""
        return int(0.05 * self.teacher.get_vocab_size())

    @cached_property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges of `never_longer` at the largest budget."""
        return never_longer(self.teacher, self.train, self.most)

    def ways(self, size: int) -> dict[str, Callable[[], Callable]]:
        """Each way of choosing, by name: it gives what tells how long texts become."""
        return {
            "ours": lambda: self.ours(size, True),
            "ours, single words": lambda: self.ours(size, False),
            "continued BPE, leaves pruned": lambda: self.continued(size),
            "AdaptiVocab": lambda: adaptivocab(self.teacher, self.train, size).lengths,
            "never longer": lambda: partial(
                lengths, continued_bpe(self.teacher, self.merges[:size])),
        }


#: Ways that give nothing up: their vocabulary grows by as many ids.
GROWS = ("never longer",)


def rows(name: str, domains: Sequence[str], given: argparse.Namespace
         ) -> Iterator[dict[str, Any]]:
    """One row for each domain, budget and way, of one teacher."""
    texts = {domain: sides(domain, int(given.size * 1e6)) for domain in DOMAINS}
    old = teacher(name)
    student = unigram(name, old, [text for train, _ in texts.values()
                                  for text in train], given)
    parts = halves(old)
    for domain in domains:
        train, held = texts[domain]
        others = [domain_ for domain_ in DOMAINS if domain_ != domain]
        general = [text for other in others for text in texts[other][0]]
        apart = [text for other in others for text in texts[other][1]]
        case = Case(old, student, parts, train, general)
        before, elsewhere = lengths(old, held), lengths(old, apart).sum()
        common = {
            "teacher": name, "domain": domain, "data": described(domain),
            "train_bytes": sum(len(text.encode()) for text in train),
            "held_bytes": sum(len(text.encode()) for text in held),
            "size": given.size, "passes": given.passes,
            "documents": len(held), "tokens": int(before.sum())}
        for budget in given.budgets:
            size = int(budget / 100 * old.get_vocab_size())
            for way, choose in case.ways(size).items():
                if given.ways and way not in given.ways:
                    continue
                key = {"teacher": name, "domain": domain, "budget": budget, "way": way}
                if any(key.items() <= row.items() and row["size"] == given.size
                       for row in given.known):
                    continue
                clock = time.process_time()
                counted = choose()
                seconds = time.process_time() - clock
                after = counted(held)
                yield common | {
                    "budget": budget, "ids": size, "way": way, "grows": way in GROWS,
                    "saved": round(100 * (1 - after.sum() / before.sum()), 3),
                    "longer": int((after > before).sum()),
                    "elsewhere_saved": round(
                        100 * (1 - counted(apart).sum() / elsewhere), 3),
                    "cpu_seconds": round(seconds, 1),
                    "date": datetime.date.today().isoformat()}


def described(domain: str) -> str:
    """What the texts of a domain are."""
    row = {"shakespeare": "tinyshakespeare", "python": ""}.get(domain, domain)
    return data.describe(row) if row else "Python source of the installed packages"


def unigram(name: str, old: Tokenizer, texts: list[str], given: argparse.Namespace
            ) -> Tokenizer:
    """The teacher's Unigram, learned from the training texts of all domains."""
    kept = Path(given.keep or tempfile.mkdtemp()) / f"{name}.json"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        made = distill(old, texts, passes=given.passes, made_items=500, seed=0,
                       bar=False, threads=1)
        made.tokenizer.save(str(kept), pretty=False)
    return load_tokenizer(kept)


def main(arguments: list[str] | None = None) -> int:
    """Write a row for each teacher, domain, budget and way."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.selection",
                                     description=str(__doc__).splitlines()[0])
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=TEACHERS)
    parser.add_argument("--domains", nargs="+", choices=DOMAINS, default=DOMAINS)
    parser.add_argument("--budgets", nargs="+", type=float, default=[1, 2, 5],
                        help="per cent of the vocabulary")
    parser.add_argument("--ways", nargs="+", help="of choosing; all")
    parser.add_argument("--size", type=float, default=1, help="MB of text a domain")
    parser.add_argument("--passes", type=int, default=8, help="of the distillation")
    parser.add_argument("--keep", help="folder of the distilled tokenizers")
    parser.add_argument("--out", type=Path, default=RESULTS, help="file of the rows")
    given = parser.parse_args(arguments)
    if min(given.budgets) <= 0 or max(given.budgets) > 5 or given.size <= 0:
        parser.error("--budgets are above 0 and at most 5, and --size is positive")
    given.known = [json.loads(line) for line in given.out.read_text("utf-8")
                   .splitlines()] if given.out.exists() else []
    try:
        for name in given.teachers:
            for row in rows(name, given.domains, given):
                with open(given.out, "a", encoding="utf-8") as file:
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")
                print(f"{row['teacher']:9} {row['domain']:13} {row['budget']:3g} % "
                      f"{row['way']:29}{row['saved']:8.2f} % saved, {row['longer']} of "
                      f"{row['documents']} longer", flush=True)
    except data.DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
