"""What a distilled tokenizer keeps of its teacher, and what it costs.

    python -m benchmarks.tokenizers                      a table
    python -m benchmarks.tokenizers --json               one JSON object a row
    python -m benchmarks.tokenizers --size 4 --passes 12 --teachers gpt2
    python -m benchmarks.tokenizers --keep DIR           reads what is there already

The corpus is gathered on the machine (`lib.data.mixture`). The distillation runs in a
process of its own, which tells its peak memory. Then the files are read by plain
`tokenizers`, and all documents, whole, are encoded by BPE and by the Unigram with
rules; BPE and its rival take turns in chunks of 2 MB, and the ratio is taken inside the
chunk. See benchmarks/README.md.
"""

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer, pre_tokenizers
from tqdm.auto import tqdm

from benchmarks.texts_apart import texts_apart
from lib import data
from lib.data.mixture import FOUND, MADE, Document, gather, lexicon, made
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.distill import Distillation, distill, unigram_tokenizer
from lib.tokens.fidelity import Compared, compare, differing, share_wrong
from lib.tokens.readings import Reading, reading_of

TEACHERS = ("gpt2", "smollm2", "qwen3", "llama3_1", "claude", "cl100k", "o200k",
            "gemma3", "llama2")
DEFAULT = TEACHERS[:2]
FORMS = ("bpe", "scores", "rules")
#: What a distillation depends on, and stands in its rows.
SETTINGS = ("size", "passes", "made", "new", "lexicon", "room", "seed", "threads")


def teacher(name: str) -> Tokenizer:
    """A tokenizer by name; SmolLM2's with digits split first, as it was trained."""
    if name == "gpt2":
        return data.gpt2_tokenizer()
    if name != "smollm2":
        return load_tokenizer(data.path(f"tokenizer_{name}"))
    file = Path(data.path("smollm2")) / "tokenizer.json"
    tokenizer = load_tokenizer(file)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return tokenizer


def peak_mb() -> float | None:
    """The most memory that this process held, as Linux counts it; else nothing."""
    if not sys.platform.startswith("linux"):
        return None
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def learn(name: str, given: argparse.Namespace, folder: str
          ) -> dict[str, float | None]:
    """Gather, distill and write the three forms; in a process of its own."""
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    os.environ["RAYON_NUM_THREADS"] = str(given.threads)
    clock, work = time.perf_counter(), time.process_time()
    train, _ = gather(int(given.size * 1e6))
    gathered = time.process_time() - work
    bpe = teacher(name)
    done: Distillation = distill(
        bpe, (d.text for d in train), passes=given.passes, made_items=given.made,
        seed=given.seed, bar=False, new_words=given.new, threads=given.threads,
        lists=lexicon(given.lexicon) if given.lexicon else (), room=given.room)
    report = done.report | {
        "gather_cpu_seconds": gathered,
        "distill_seconds": time.perf_counter() - clock,
        "distill_cpu_seconds": time.process_time() - work,
        "peak_mb": peak_mb(),
    }
    forms = (bpe, unigram_tokenizer(bpe, done.scores), done.tokenizer)
    for form, tokenizer in zip(FORMS, forms, strict=True):
        tokenizer.save(f"{folder}/{form}.json", pretty=False)
    return report


def learned(name: str, given: argparse.Namespace, folder: Path
            ) -> dict[str, float | None]:
    """What `learn` reports; read from the folder if it is there for this work."""
    settings = {key: getattr(given, key) for key in SETTINGS}
    kept = folder / "report.json"
    if kept.exists():
        report = json.loads(kept.read_text("utf-8"))
        if report.pop("settings") == settings:
            return report
    folder.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        report = pool.submit(learn, name, given, str(folder)).result()
    kept.write_text(json.dumps(report | {"settings": settings}), "utf-8")
    return report


def held_words(reading: Reading, train: list[Document], held: list[Document],
               items: int) -> dict[str, Counter[bytes]]:
    """The words of the held-out files by kind, and of text made from another seed."""
    words: dict[str, Counter[bytes]] = {kind: Counter() for kind in FOUND}
    words |= {name: reading.count(texts) for name, texts in texts_apart().items()}
    for kind in FOUND:
        words[kind] = reading.count(d.text for d in held if d.kind == kind)
    plain = sorted({word for d in train[::20] for word in d.text.split()
                    if word.isalpha() and len(word) > 2})
    for kind in MADE:
        words[kind] = reading.count([made(kind, items, 2, plain).text])
    return words


def speed(chunks: list[Compared]) -> dict[str, float]:
    """Megabytes a CPU second, and the ratio to BPE: median, least and largest."""
    ratios = [c.teacher_seconds / c.student_seconds for c in chunks]
    seconds = sum(c.student_seconds for c in chunks)
    return {"mb_per_s": sum(c.size for c in chunks) / 1e6 / seconds,
            "ratio_to_bpe": statistics.median(ratios), "ratio_low": min(ratios),
            "ratio_high": max(ratios), "chunks": len(chunks)}


def rows(name: str, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """The three forms of one teacher."""
    with tempfile.TemporaryDirectory() as passing:
        folder = Path(given.keep or passing) / name
        report = learned(name, given, folder)
        if given.only:
            return
        train, held = gather(int(given.size * 1e6))
        reading = reading_of(teacher(name))
        words = held_words(reading, train, held, 2_000)
        tokenizers, load, size = {}, {}, {}
        for form in FORMS:
            path = folder / f"{form}.json"
            size[form] = path.stat().st_size
            clock = time.process_time()
            tokenizers[form] = load_tokenizer(path)
            load[form] = time.process_time() - clock
    bpe = tokenizers["bpe"]
    common = {
        "tokenizer": name, "date": datetime.date.today().isoformat(),
        **{key: getattr(given, key) for key in SETTINGS},
        "train_mb": sum(len(d.text.encode()) for d in train) / 1e6,
        "held_mb": sum(len(d.text.encode()) for d in held) / 1e6, **report}
    pieces = [piece.decode() for piece in reading.pieces
              if piece.decode("utf-8", "ignore").encode() == piece and piece]
    for form in FORMS:
        student = tokenizers[form]
        row = common | {"form": form, "load_cpu_seconds": load[form],
                        "file_bytes": size[form],
                        "bpe_file_bytes": size["bpe"],
                        "same_vocabulary": student.get_vocab() == bpe.get_vocab()}
        sides = reading.core, (reading.of_words(student) if form != "bpe"
                               else reading.core)  # a word for a text
        every = (side.encode_batch_fast(pieces) for side in sides)
        row["pieces_whole"] = sum(
            gold.ids == ours.ids for gold, ours in zip(*every, strict=True))
        row["pieces_asked"] = len(pieces)
        parts = [("held", held[::4] if form == "bpe" else held)]
        parts += [("train", train)] if form == "rules" else []
        for side, documents in parts:
            texts = [document.text for document in documents]
            bar = tqdm(compare(bpe, student, texts), desc=f"{name} {form} {side}",
                       leave=False, disable=given.json)
            chunks = list(bar)
            same = [same for chunk in chunks for same in chunk.same]
            row |= {f"{side}_documents": len(same),
                    f"{side}_documents_same": sum(same),
                    f"{side}_decoded_same": all(chunk.decoded for chunk in chunks)}
            if side == "held":
                code = [ok for d, ok in zip(documents, same, strict=True)
                        if d.kind == "code"]
                row["held_code_same_percent"] = 100 * sum(code) / max(len(code), 1)
            row |= speed(chunks)
        for place, texts in texts_apart().items():
            same = [same for chunk in compare(bpe, student, texts)
                    for same in chunk.same]
            row |= {f"{place}_documents": len(same),
                    f"{place}_documents_same": sum(same)}
        wrong = {kind: differing(*sides, counts) for kind, counts in words.items()}
        for kind, counts in words.items():
            row[f"wrong_{kind}"] = share_wrong(counts, wrong[kind])
        found = sum((words[kind] for kind in FOUND), Counter())
        row["wrong_found"] = share_wrong(found, set().union(*wrong.values()))
        row["wrong_found_types"] = len(found.keys() & set().union(*wrong.values()))
        yield row


def main(arguments: list[str] | None = None) -> int:
    """Print a row for each form of each teacher."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.tokenizers",
        description=str(__doc__).splitlines()[0])
    parser.add_argument("--size", type=float, default=400, help="MB to gather")
    parser.add_argument("--passes", type=int, default=60, help="passes of learning")
    parser.add_argument("--new", type=int, default=3_000_000,
                        help="words made of parts of known ones")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1,
                        help="while distilling")
    parser.add_argument("--keep", help="folder of the tokenizers: distilled now, or "
                        "read if they are there with these settings")
    parser.add_argument("--only", action="store_true",
                        help="distill and keep, measure later")
    parser.add_argument("--lexicon", type=int, default=0,
                        help="most frequent words of each of eleven languages to learn")
    parser.add_argument("--room", type=float, default=1.0,
                        help="size of the file, as a multiple of BPE's")
    parser.add_argument("--made", type=int, default=60_000, help="made items a kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS, default=DEFAULT)
    parser.add_argument("--json", action="store_true", help="one JSON object a row")
    given = parser.parse_args(arguments)
    if given.size <= 0 or min(given.passes, given.made, given.new, given.threads) < 1:
        parser.error("--size, --passes, --made, --new and --threads are positive")
    if given.only and not given.keep:
        parser.error("--only distills into a folder: name it with --keep")
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        for name in given.teachers:
            for row in rows(name, given):
                if given.json:
                    print(json.dumps(row), flush=True)
                else:
                    print(f"{row['tokenizer']:8} {row['form']:7}"
                          f"{row['mb_per_s']:6.2f} MB/s"
                          f"{row['ratio_to_bpe']:6.2f} of BPE"
                          f"{row['wrong_found']:9.4f} % wrong in held-out files"
                          f"{row['file_bytes'] / 1e6:6.2f} MB", flush=True)
                    for kind in texts_apart():
                        kept = row[f"{kind}_documents_same"] / row[f"{kind}_documents"]
                        print(f"  {kind}: {row[f'wrong_{kind}']:.4f} % wrong, "
                              f"{kept:.1%} of documents the same", flush=True)
    except data.DataError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
