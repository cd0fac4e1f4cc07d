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

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, cast

from tokenizers import Tokenizer

from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.readings import Reading, reading_of

__all__ = ["Words", "count_parts", "count_rows", "count_texts"]

BATCH = 1000  # documents whose words are added at once


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
                read: Callable[[Any], Iterable[str]], most: int | None = None
                ) -> Words:
    """The words of parts of a corpus, each read and counted where Dask has room for it.

    That is on the machines of the `dask.distributed.Client` which is open, or else in
    processes of this one. tokenizer: its file, which every machine can read. read: the
    texts of a part; what it raises is raised here.

    Raises
    ------
    ValueError
        If Dask is not installed.
    """
    try:
        from dask import bag  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError(
            "Dask is not installed, which counts on a cluster; install it with: "
            "pip install 'dask[distributed]', or count without a cluster"
        ) from None
    counted = bag.from_sequence(parts, npartitions=len(parts)).map(
        partial(_part, str(tokenizer), read, most))
    return counted.fold(_merged).compute()


def _part(tokenizer: str, read: Callable[[Any], Iterable[str]], most: int | None,
          part: Any) -> Words:
    return _counted(_reading(tokenizer), read(part), most)


@cache
def _reading(tokenizer: str) -> Reading:
    """Of a file; a process that counts many parts reads it once."""
    return reading_of(load_tokenizer(tokenizer))


def _merged(one: Words, other: Words) -> Words:
    """The reduce: a new value, for the old ones may be wanted again."""
    words = Words(one.most, Counter(one.counts), one.lost)
    words.add(other.counts, other.lost)
    return words
