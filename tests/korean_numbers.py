"""Sino-Korean numbers read again: what the spelling of the task is tested with."""

from lib.attention.translation import DIGITS, MAX_NUMBER, UNITS, spell_korean


def read_korean(text: str) -> int:
    """Read a Sino-Korean number: the inverse of `spell_korean`.

    Raises ValueError if the text holds something else, or is a number that is
    spelled in another way ("일만", "만이천").
    """
    total = group = digit = 0
    for letter in text.replace(" ", ""):
        if letter in DIGITS:
            digit = DIGITS.index(letter) + 1
        elif letter in UNITS:
            group += (digit or 1) * 10 ** UNITS.index(letter)
            digit = 0
        elif letter == "만":
            total, group, digit = total + (group + digit or 1) * 10_000, 0, 0
        else:
            raise ValueError(
                f"{letter!r} in {text!r} is not part of a Sino-Korean number; use "
                f"{DIGITS}, 십, 백, 천, 만 and the space."
            )
    total += group + digit
    if not 1 <= total <= MAX_NUMBER:
        raise ValueError(
            f"{text!r} is not a number from 1 to {MAX_NUMBER:,}; spell one of those."
        )
    usual = spell_korean(total)
    if usual != text:
        raise ValueError(
            f"{text!r} is not how a number is spelled; {total:,} is {usual!r}."
        )
    return total
