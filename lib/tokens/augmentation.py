"""Words that might have been in the text: parts of known words in new company.

Labels cost nothing, so a student can be taught words that nobody has written. Those
that resemble what other files will hold are made of the words at hand. Of the words in
another file that scores get wrong, a third are two known words glued together, and a
quarter a known word with another ending, in another case, or with a blank in front.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

__all__ = ["LONGEST_PART", "endings", "recombined", "runs"]

LONGEST_PART = 512  # characters; longer words have no part in new ones
_LONGEST = 40  # characters of a new word, the blank aside
_PATIENCE = 20  # draws for each new word, at most, over all


def endings(words: Sequence[str], count: int = 40) -> list[str]:
    """The endings that most often make one word of another.

    >>> endings(["light", "lights", "house", "houses", "housing"], 1)
    ['s']
    """
    known = {word.strip().lower() for word in words if word.strip().isalpha()}
    found = Counter(word[-n:] for word in known for n in range(1, 6)
                    if len(word) > n + 2 and word[:-n] in known)
    return sorted(found, key=lambda ending: (-found[ending], ending))[:count]


def _cased(word: str, style: int) -> str:
    return (word.lower(), word.capitalize(), word.upper(), word)[style]


class _Drawer:
    """Draws words, those that occur often more often: by the root of their counts."""

    def __init__(self, rng: random.Random, counts: Mapping[str, int]):
        self.rng = rng
        self.words = sorted(word for word in counts
                            if len(word) > 2 and len(word.strip()) > 1
                            and word.strip().isalpha())
        self.sums = list(accumulate(counts[word] ** 0.5 for word in self.words))

    def __call__(self) -> str:
        return self.rng.choices(self.words, cum_weights=self.sums)[0].strip()


def _glued(rng: random.Random, draw: _Drawer) -> str:
    """Two words, now and then three, glued together in one of five cases."""
    parts = [draw() for _ in range(2 + (rng.random() < 0.2))]
    style = rng.randrange(5)
    if style == 4:  # lowerUpper
        return parts[0].lower() + "".join(part.capitalize() for part in parts[1:])
    return "".join(_cased(part, style) for part in parts)


def recombined(counts: Mapping[str, int], count: int, seed: int) -> list[str]:
    """Make ``count`` words out of those that occur, each a pre-token of one kind.

    Two words glued together; a word with another ending; a word in another case; a head
    of one word with a tail of another, of signs and digits too. Half of them get a
    blank in front. Of words of letters, those that occur often take part more often.
    Fewer are made where hardly any two of the words make a short one.

    >>> recombined({" light": 9, " house": 4}, 3, seed=4)
    ['houseHouse', ' lighuse', 'hoght']
    """
    rng = random.Random(seed)
    counts = {word: n for word, n in counts.items() if len(word) <= LONGEST_PART}
    draw = _Drawer(rng, counts)
    words = sorted(counts)
    signs = [word for word in words if len(word) > 2 and not any(
        char.isalnum() or char.isspace() for char in word[1:])]
    digits = [word for word in words if word.strip().isdecimal()]
    others = [pool for pool in (signs, digits) if pool]
    tails = endings(draw.words) or ["s"]
    made: list[str] = []
    draws = 0
    while len(made) < count and draw.words and draws < _PATIENCE * (len(made) + 50):
        draws += 1
        blank = rng.choice(["", " "])
        if others and rng.random() < 0.2:
            pool = others[rng.random() < 0.35 and len(others) > 1]
            one, two = rng.choice(pool).strip(), rng.choice(pool).strip()
            new = one[:rng.randint(1, len(one))] + two[rng.randrange(len(two)):]
        else:
            shape, one = rng.random(), draw()
            if shape < 0.4:
                new = _glued(rng, draw)
            elif shape < 0.6:
                stem = one[:len(one) - rng.choice([0, 0, 1, 2])]
                new = stem + rng.choice(tails)
            elif shape < 0.8:
                new = _cased(one, rng.randrange(3))
            else:
                two = draw()
                new = one[:rng.randint(2, len(one))] + two[rng.randrange(len(two)):]
        if len(new) <= _LONGEST:
            made.append(blank + new)
    return made


def runs(words: Iterable[str], longest: int, least: int = 8) -> list[str]:
    """Every length of the runs that some word has `least` characters of.

    Of letters and digits none is made: nobody draws a line with them. longest: in
    characters, a blank in front aside.

    >>> runs(["==========", " ab"], 3)
    ['=', ' =', '==', ' ==', '===', ' ===']
    """
    drawn = sorted({word[-1] for word in words
                    if len(word) >= least and len(set(word[-least:])) == 1
                    and not word[-1].isalnum()})
    return [blank + char * n for char in drawn for n in range(1, longest + 1)
            for blank in (("",) if char.isspace() else ("", " "))]
