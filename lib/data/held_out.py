"""Text that nothing learns from: kept aside, and found again wherever else it stands.

What is kept aside may occur a second time, in a corpus that quotes itself or in the
other text that is replayed. So contents are compared, by letters and digits alone: of
whole documents, of whole lines that are no mere names, and of stretches too long to
agree by chance.

>>> held = HeldOut(["HAMLET:\\nTo be, or not to be: that is the question."])
>>> list(held.without(["HORATIO:\\nto be or not to be, THAT is the question"]))
['HORATIO:']
>>> held.lines
1
"""

from collections.abc import Iterable, Iterator
from itertools import chain, islice

__all__ = ["EVERY", "HeldOut", "split"]

EVERY = 20  # of so many documents the first is kept aside
LINE = 18  # letters and digits of a line that is more than a speaker's name
STRETCH = 24  # letters and digits that do not agree by chance
_STEP = 8  # from one stretch that is remembered to the next


def _content(line: str) -> str:
    """The letters and digits of a line; the line itself where it has none."""
    return "".join(filter(str.isalnum, line.casefold())) or line.strip()


def _stretches(content: str, step: int) -> Iterator[int]:
    for at in range(0, len(content) - STRETCH + 1, step):
        yield hash(content[at:at + STRETCH])


class HeldOut:
    """Documents kept aside. lines: how many have been left out elsewhere."""

    def __init__(self, documents: Iterable[str]) -> None:
        self.lines = 0
        self._whole: set[int] = set()
        self._stretches: set[int] = set()
        for text in documents:
            content = _content(text)
            lines = map(_content, text.splitlines())
            self._whole |= {hash(content), *(hash(x) for x in lines if len(x) >= LINE)}
            self._stretches.update(_stretches(content, _STEP))

    def holds(self, line: str) -> bool:
        """Whether a line stands in what is held out, as a whole or a stretch of it."""
        content = _content(line)
        return len(content) >= LINE and (
            hash(content) in self._whole
            or not self._stretches.isdisjoint(_stretches(content, 1)))

    def without(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts without the lines that are held out; none that is left blank."""
        for text in texts:
            lines = text.splitlines(keepends=True)
            same = hash(_content(text)) in self._whole
            kept = [] if same else [line for line in lines if not self.holds(line)]
            if len(kept) < len(lines):
                self.lines += len(lines) - len(kept)
                text = "".join(kept).rstrip("\n")
            if text.strip():
                yield text


def split(texts: Iterable[str], most: int) -> tuple[Iterator[str], list[str]]:
    """All other documents, and those kept aside, `most` of them at most.

    >>> rest, held = split([f"{n}" for n in range(45)], 2)
    >>> held, len(list(rest))
    (['0', '20'], 43)
    """
    documents = (text for text in texts if text.strip())
    first = list(islice(documents, EVERY * most))
    rest = (text for n, text in enumerate(first) if n % EVERY)
    return chain(rest, documents), first[::EVERY]
