r"""Counting the words of a corpus of any size: a map, a reduce, and a bound on memory.

Words of parts are counted apart and the counts are added, so that it is all the same
whether the parts come one after another, from processes or from machines. Text has ever
new words; where no more than `most` of them may be held, the rarest make room: with $t$
the count of the first word that is one too many, every count is lowered by $t$, and
what is left with nothing goes (Misra and Gries, 1982; for sums of parts Agarwal et al.,
2012). $t$ is added up in `lost`:

- no count is more than `lost` too low, and none is too high;
- every word that occurs more than `lost` times is still there;
- `lost` is at most the number of all words over `most` + 1.
"""

from __future__ import annotations

import os
import pickle
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache, partial, reduce
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

from tokenizers import Tokenizer

from lib.data.tokenizer_files import load_tokenizer
from lib.options import one_of
from lib.tokens.readings import Reading, reading_of

__all__ = ["ENGINES", "TokenizerFile", "Words", "count_parts", "count_rows",
           "count_texts", "expect_dask", "reduced"]

BATCH = 1000  # documents whose words are added at once
ENGINES = ("local", "dask")
T = TypeVar("T")


@dataclass
class Words:
    """How often each word occurs, and what was lost by holding `most` at most.

    >>> few = Words(most=2)
    >>> few.add({b"a": 5, b"b": 3, b"c": 1})
    >>> dict(few.counts), few.lost
    ({b'a': 4, b'b': 2}, 1)
    """

    most: int | None = None
    counts: Counter[bytes] = field(default_factory=Counter)
    lost: int = 0

    def add(self, counts: Mapping[bytes, int], lost: int = 0) -> None:
        """Add the counts of a part, and what had been lost of it."""
        self.counts.update(counts)
        self.lost += lost
        if self.most is None or len(self.counts) <= self.most:
            return
        first = sorted(self.counts.values(), reverse=True)[self.most]
        self.counts = Counter({word: n - first for word, n in self.counts.items()
                               if n > first})
        self.lost += first


def count_texts(teacher: Tokenizer, texts: Iterable[str], most: int | None = None
                ) -> Words:
    """The words of texts, of which a batch is read at a time."""
    return _counted(reading_of(teacher), texts, most)


def _counted(reading: Reading, texts: Iterable[str], most: int | None) -> Words:
    words, texts = Words(most), iter(texts)
    while batch := list(islice(texts, BATCH)):
        words.add(reading.count(batch))
    return words


def count_rows(teacher: Tokenizer, dataset: Any, column: str = "text", *,
               processes: int = 1, most: int | None = None) -> Words:
    """The words of a dataset of `datasets`, one that is streamed or one on disk.

    processes: that share the work; a dataset that is streamed takes one.
    """
    from datasets import Dataset

    shared: dict[str, Any] = (
        {"num_proc": processes} if isinstance(dataset, Dataset) else {})
    counted = dataset.map(partial(_row, reading_of(teacher), column, most),
                          batched=True, batch_size=BATCH,
                          remove_columns=dataset.column_names, **shared)
    words = Words(most)
    for row in cast(Iterable[Any], counted):
        words.add(dict(zip(row["words"], row["counts"], strict=True)), row["lost"])
    return words


def _row(reading: Reading, column: str, most: int | None,
         batch: Mapping[str, Sequence[str]]) -> dict[str, list]:
    """The map: a batch of texts becomes one row with the counts of its words."""
    words = _counted(reading, batch[column], most)
    return {"words": [list(words.counts)], "counts": [list(words.counts.values())],
            "lost": [words.lost]}


def count_parts(tokenizer: Path | str, parts: Sequence[Any],
                read: Callable[[Any], Iterable[str]], most: int | None = None, *,
                engine: str = "dask", workers: int | None = None) -> Words:
    """The words of parts of a corpus, each read and counted where `reduced` puts it.

    tokenizer: its file, which every machine can read. read: the texts of a part; what
    it raises is raised here.
    """
    return reduced(partial(_part, TokenizerFile(tokenizer), read, most), _merged, parts,
                   engine=engine, workers=workers)


def reduced(work: Callable[[Any], T], merge: Callable[[T, T], T], parts: Sequence[Any],
            *, engine: str = "local", workers: int | None = None) -> T:
    """What `work` makes of each part, merged in the order of the parts.

    engine: `local` is this machine, where `datasets` shares the parts among processes;
    `dask` the machines of the `dask.distributed.Client` which is open or of the
    scheduler that ``DASK_SCHEDULER_ADDRESS`` names, or else processes of this one.
    workers: processes on this machine; None: one a core. merge: makes a new value.

    Raises
    ------
    ValueError
        If the engine is unknown or not installed, or there are no workers.
    """
    one_of("engine", engine, ENGINES)
    if workers is not None and workers < 1:
        raise ValueError(f"workers is {workers}; use 1 or more")
    if engine == "dask":
        expect_dask()
        from dask import bag  # pyright: ignore[reportMissingImports]
        with _cluster(workers):
            return bag.from_sequence(parts, npartitions=len(parts)).map(work).fold(
                merge).compute()
    processes = min(workers or os.cpu_count() or 1, len(parts))
    if processes == 1:
        return reduce(merge, map(work, parts))
    from datasets import Dataset

    with _one_thread_each():
        rows = Dataset.from_dict({"part": [*range(len(parts))]}).map(
            partial(_share, work, merge, parts), batched=True, batch_size=None,
            num_proc=processes, remove_columns=["part"])
    return reduce(merge, (pickle.loads(row["share"]) for row in cast(Any, rows)))


def _share(work: Callable[[Any], T], merge: Callable[[T, T], T], parts: Sequence[Any],
           batch: Mapping[str, Sequence[int]]) -> dict[str, list[bytes]]:
    """A process's share of the parts becomes one row: what they come to."""
    made = reduce(merge, (work(parts[n]) for n in batch["part"]))
    return {"share": [pickle.dumps(made)]}


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Processes that share the cores: `tokenizers` takes one in each."""
    name = "TOKENIZERS_PARALLELISM"
    before = os.environ.get(name)
    os.environ[name] = "false"
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def expect_dask() -> None:
    """Refuse to count on a cluster without Dask."""
    try:
        import dask.bag  # noqa: F401  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            "Dask is not installed, which counts on a cluster; install it with: "
            "pip install 'dask[distributed]', or count without a cluster (engine local)"
        ) from None


@contextmanager
def _cluster(workers: int | None) -> Iterator[None]:
    from dask import config  # pyright: ignore[reportMissingImports]

    if config.get("scheduler-address", None):
        from dask.distributed import Client  # pyright: ignore[reportMissingImports]
        with Client():
            yield
    else:
        with config.set(num_workers=workers):
            yield


class TokenizerFile:
    """The file of a tokenizer, which a process that works on many parts reads once."""

    def __init__(self, file: Path | str) -> None:
        self.place = str(file), os.stat(file).st_mtime_ns  # as it is now

    def tokenizer(self) -> Tokenizer:
        """The tokenizer."""
        return _tokenizer(*self.place)

    def reading(self) -> Reading:
        """How it reads text."""
        return _reading(*self.place)


@lru_cache(maxsize=1)
def _tokenizer(file: str, _time: int) -> Tokenizer:
    return load_tokenizer(file)


@lru_cache(maxsize=1)
def _reading(file: str, _time: int) -> Reading:
    return reading_of(load_tokenizer(file))


def _part(tokenizer: TokenizerFile, read: Callable[[Any], Iterable[str]],
          most: int | None, part: Any) -> Words:
    return _counted(tokenizer.reading(), read(part), most)


def _merged(one: Words, other: Words) -> Words:
    """The reduce: a new value, for the old ones may be wanted again."""
    words = Words(one.most, Counter(one.counts), one.lost)
    words.add(other.counts, other.lost)
    return words
