"""The stages `analyze` and `distill`: what is counted of the cleaned corpora.

Both count parts of the corpora, here, in processes or on a cluster, and add the counts:
`lib.tokens.counting`. What comes out is the same for every engine and any number of
workers; where a cap of words is reached, its bound on what is lost is.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from lib.commands import say, stage_command
from lib.data.download import DataError
from lib.tokens.counting import TokenizerFile, Words, count_parts, reduced
from lib.workbench.ivr import original
from lib.workbench.ivr.artifacts import TREE, Room, StageError, stage_errors
from lib.workbench.ivr.corpora import Part, bar_of, cleaned_files, parts, texts_of

#: Characters of one batch of documents to encode.
BATCH = 1 << 19


class Tokens(NamedTuple):
    """How often each id occurs, in how many documents, and their ids in files."""

    counts: np.ndarray
    documents: int
    sequences: list[Path]

    def and_of(self, other: Tokens) -> Tokens:
        """With those of what comes after."""
        return Tokens(self.counts + other.counts, self.documents + other.documents,
                      self.sequences + other.sequences)


def _batches(texts: Iterable[str], most: int = BATCH) -> Iterator[list[str]]:
    """Documents in lists of at least so many characters."""
    batch, size = [], 0
    for text in texts:
        batch.append(text)
        size += len(text)
        if size >= most:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _encoded(tokenizer: TokenizerFile, folder: Path, bar: tqdm | None,
             part: tuple[int, Part]) -> Tokens:
    """Write the ids of the documents of a part; count them."""
    number, where = part
    teacher, documents = tokenizer.tokenizer(), 0
    size = teacher.get_vocab_size(with_added_tokens=True)
    counts = np.zeros(size, dtype=np.int64)
    file = folder / f"{number}.txt"
    with open(file, "w", encoding="ascii", newline="\n") as out:
        for batch in _batches(texts_of(where)):
            every = [encoded.ids for encoded in teacher.encode_batch_fast(
                batch, add_special_tokens=False)]
            ids = np.fromiter(chain.from_iterable(every), np.int64)
            counts += np.bincount(ids, minlength=size)
            out.writelines(" ".join(map(str, ids)) + "\n" for ids in every)
            documents += len(batch)
            if bar is not None:
                bar.update(sum(len(text.encode()) + 1 for text in batch))
    return Tokens(counts, documents, [file])


def analyze(options: Any, room: Room) -> dict[str, Any]:
    """Encode the corpora: `bpe_token_id_sequences.txt` and `token_frequency.parquet`.

    A line of the first is a document: its ids with a blank between. The second has a
    row for every token of the vocabulary, by id: token_id, token, frequency. One worker
    encodes batches of documents on all cores, several take a core each. A document of
    which the tokenizer knows no byte is an empty line. Raises StageError if no document
    has a token.
    """
    import pyarrow as pa
    from pyarrow import parquet

    tokenizer = original.original_tokenizer(room.root)
    size = tokenizer.get_vocab_size(with_added_tokens=True)
    length = sum(file.stat().st_size for file in cleaned_files(room.root))
    alone = options.engine == "local" and options.workers == 1
    bar = bar_of(length, "analyze") if alone else nullcontext()
    with stage_errors(ValueError), bar as progress:
        file, pieces = TokenizerFile(original.tokenizer_file(room.root)), room.scratch
        counts, documents, sequences = reduced(
            partial(_encoded, file, pieces, progress), Tokens.and_of,
            [*enumerate(parts(room.root))], engine=options.engine,
            workers=options.workers)
    with open(room.make(f"{TREE.REPORTS}/bpe_token_id_sequences.txt"), "wb") as out:
        for file in sequences:
            with open(file, "rb") as ids:
                shutil.copyfileobj(ids, out)
            file.unlink()
    shutil.rmtree(pieces)
    table = pa.table({"token_id": pa.array(range(size), pa.int32()),
                      "token": [tokenizer.id_to_token(index) for index in range(size)],
                      "frequency": counts})
    parquet.write_table(table, room.make(f"{TREE.REPORTS}/token_frequency.parquet"))
    total = int(counts.sum())
    if not total:
        raise StageError(
            f"the tokenizer makes no token of any of the {documents:,} documents: it "
            f"has no piece for their bytes; give {stage_command('init')} other corpora "
            "or another model")
    return {"documents": documents, "tokens": total,
            "used": int((counts > 0).sum()), "vocabulary": size,
            "bytes_per_token": (length - documents) / total}


def words(options: Any, root: Path) -> Words:
    """How often each word occurs in the corpora; `most_words` of them at most."""
    counted = count_parts(original.tokenizer_file(root), parts(root), texts_of,
                          options.most_words, engine=options.engine,
                          workers=options.workers)
    if counted.lost:
        say(f"The corpora have more than most_words = {options.most_words:,} different "
            f"words: each is counted {counted.lost:,} times too few at most, and of "
            "those that occur no more often some are left out; a higher most_words "
            "loses less and takes more memory.")
    return counted


def distill(options: Any, room: Room) -> dict[str, Any]:
    """Distill the tokenizer into a Unigram on the corpora, by `lib.tokens.distill`.

    What a cap of words lost is `words_lost` in the report, if it lost any.
    """
    from lib.data.mixture import lexicon
    from lib.tokens import distill as distillation

    root = room.root
    try:
        with stage_errors(ValueError):
            counted = words(options, root)
            made = distillation.distill(
                original.original_tokenizer(root), counted.counts,
                passes=options.passes, made_items=options.made_items,
                seed=options.seed, layer=options.layer,
                lists=lexicon(options.lexicon) if options.lexicon else (),
                room=options.room)
    except DataError as error:
        raise StageError(
            f"{error} Without word lists it goes with lexicon 0.") from None
    results = made.report | ({"words_lost": counted.lost} if counted.lost else {})
    folder = room.make(TREE.DISTILLED)
    original.write_tokenizer(made.tokenizer, folder, root)
    report = json.dumps(results, indent=1, ensure_ascii=False, default=float)
    (folder / "report.json").write_text(report + "\n", "utf-8")
    return results
