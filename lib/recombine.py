"""Words that might have been in the text: parts of known words in new company.

Labels cost nothing, so a student can be taught words that nobody has written. Those
that resemble what other files will hold are made of the words at hand.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

__all__ = ["recombined"]


def recombined(words: Sequence[str], count: int, seed: int) -> list[str]:
    """Make ``count`` words out of ``words``, each a single pre-token of one kind.

    A head of one word with a tail of another, two words glued together in one of four
    cases, or a word with another one's ending.

    >>> recombined([" light", " house"], 3, seed=1)
    [' lighht', ' HouseHouse', ' houseight']
    """
    rng = random.Random(seed)
    letters = [word for word in words if len(word) > 2 and word.strip().isalpha()]
    signs = [word for word in words if len(word) > 2 and not any(
        char.isalnum() or char.isspace() for char in word[1:])]
    made: list[str] = []
    while len(made) < count and letters:
        pool = signs if signs and rng.random() < 0.08 else letters
        one, two = rng.choice(pool), rng.choice(pool).strip()
        shape = rng.random()
        if shape < 0.5:
            one = one[:rng.randint(2, len(one))]
            two = two[rng.randrange(len(two)):]
        elif shape < 0.8 and pool is letters:
            blank = " " if one[0] == " " else ""
            one = one.strip()
            style = rng.randrange(4)
            if style == 0:
                one, two = one.capitalize(), two.capitalize()
            elif style == 1:
                one, two = one.lower(), two.capitalize()
            elif style == 2:
                one, two = one.lower(), two.lower()
            else:
                one, two = one.upper(), two.upper()
            one = blank + one
        else:
            two = two[-rng.randint(1, 4):]
        if len(one) + len(two) <= 40:
            made.append(one + two)
    return made
