"""How much of a text two tokenizers turn into the same ids, and how fast."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

__all__ = ["Compared", "compare", "differing", "share_wrong"]


def differing(teacher: Tokenizer, student: Tokenizer, words: Iterable[bytes]
              ) -> set[bytes]:
    """The words, each encoded as a text of its own, whose ids differ."""
    words = list(words)
    texts = [word.decode() for word in words]
    both = zip(words, teacher.encode_batch_fast(texts),
               student.encode_batch_fast(texts), strict=True)
    return {word for word, a, b in both if a.ids != b.ids}


def share_wrong(counts: Mapping[bytes, int], wrong: set[bytes]) -> float:
    """The share of occurrences that are among the wrong words, in %."""
    total = sum(counts.values())
    return 100 * sum(n for word, n in counts.items() if word in wrong) / max(total, 1)


@dataclass(frozen=True)
class Compared:
    """One chunk of documents: how many came out alike, and CPU seconds of each."""

    size: int  # UTF-8 bytes
    same: list[bool]
    decoded: bool  # whether the student's ids give the texts that the teacher's give
    teacher_seconds: float
    student_seconds: float


def _chunks(texts: Sequence[str], size: int) -> Iterator[list[str]]:
    chunk: list[str] = []
    held = 0
    for text in texts:
        chunk.append(text)
        held += len(text.encode())
        if held >= size:
            yield chunk
            chunk, held = [], 0
    if chunk:
        yield chunk


def _encode(tokenizer: Tokenizer, texts: list[str]) -> tuple[list[list[int]], float]:
    clock = time.process_time()
    encoded = tokenizer.encode_batch_fast(texts)
    clock = time.process_time() - clock
    return [one.ids for one in encoded], clock


def compare(teacher: Tokenizer, student: Tokenizer, texts: Sequence[str],
            size: int = 2_000_000) -> Iterator[Compared]:
    """Encode whole documents with both, chunk by chunk, by turns who goes first.

    CPU seconds are those of the process: with one thread they are the time that the
    work takes, also on a machine that is busy.
    """
    for n, chunk in enumerate(_chunks(texts, size)):
        order = (teacher, student) if n % 2 == 0 else (student, teacher)
        results = [_encode(tokenizer, chunk) for tokenizer in order]
        (gold, first), (ours, second) = results if n % 2 == 0 else results[::-1]
        decoded = student.decode_batch(ours) == teacher.decode_batch(gold)
        yield Compared(sum(len(text.encode()) for text in chunk),
                       [a == b for a, b in zip(gold, ours, strict=True)], decoded,
                       first, second)
