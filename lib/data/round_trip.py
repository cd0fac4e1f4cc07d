"""What goes into a tokenizer comes out of it, or is refused in one sentence."""

import os
import unicodedata

from tokenizers import Tokenizer

SHOWN = 12  # characters of a text in a message


def check_characters(text: str, name: str = "the text") -> None:
    r"""Refuse what no UTF-8 can say: a byte that is none, half a surrogate pair.

    >>> check_characters("한글 \N{MILKY WAY}")
    >>> check_characters("caf\udce9")
    Traceback (most recent call last):
    ...
    ValueError: the text is not in UTF-8: byte E9 at character 4 begins no character;
    set the terminal or the program that it comes from to UTF-8
    """
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code, place = ord(text[error.start]), error.start + 1
        if 0xDC80 <= code <= 0xDCFF:  # where Python keeps a byte that it cannot read
            byte = code - 0xDC00
            wrong = f"byte {byte:02X} at character {place:,} begins no character"
        else:
            wrong = f"character {place:,} is half of one (U+{code:04X})"
        raise ValueError(
            f"{name} is not in UTF-8: {wrong}; set the terminal or the program that it "
            "comes from to UTF-8"
        ) from None


def check_same(text: str, back: str, cause: str = "") -> None:
    """Refuse a text that a tokenizer gives back as another one.

    cause: what does it, if it is known.

    >>> check_same("Speak, speak", "speak, speak", "its Lowercase normalizer")
    Traceback (most recent call last):
    ...
    ValueError: the tokenizer changes the text: from character 1 on, 'Speak, speak'
    comes back as 'speak, speak' (its Lowercase normalizer); use a text that it keeps,
    or another tokenizer_path: a file that is not there yet is trained and keeps all
    """
    if text == back:
        return
    place = len(os.path.commonprefix((text, back)))  # noqa: RUF071 (texts, no paths)
    was, now = (part[place : place + SHOWN] for part in (text, back))
    alike = unicodedata.normalize("NFKC", was) == unicodedata.normalize("NFKC", now)
    show = ascii if alike or any(map(unicodedata.combining, was + now)) else repr
    if not cause and back == " " + text:
        cause = "it puts a blank in front of every text"
    raise ValueError(
        f"the tokenizer changes the text: from character {place + 1:,} on, {show(was)} "
        f"comes back as {show(now)}{f' ({cause})' if cause else ''}; use a text that "
        "it keeps, or another tokenizer_path: a file that is not there yet is trained "
        "and keeps all"
    )


def check_pieces(tokenizer: Tokenizer) -> None:
    """Refuse a tokenizer whose pieces, decoded one by one, are not the whole text.

    Those of WordPiece and SentencePiece drop or add blanks where a text begins: a text
    that is written token by token would lose them.
    """
    pieces = {piece: i for piece, i in tokenizer.get_vocab().items() if piece}
    ends = {piece[0]: i for piece, i in pieces.items()}  # one for each way to begin
    ends |= {"end" + piece[-1]: i for piece, i in pieces.items()}
    for i in sorted(set(ends.values())):
        one, two = (tokenizer.decode(n * [i], skip_special_tokens=False)
                    for n in (1, 2))
        if "\N{REPLACEMENT CHARACTER}" not in one + two and two != 2 * one:
            raise ValueError(
                f"the tokenizer cannot write a text piece by piece: {one!r} twice "
                f"becomes {two!r} (its {type(tokenizer.decoder).__name__} decoder); "
                "name a tokenizer with pieces of bytes, as GPT-2's are"
            )


def size_of(tokenizer: Tokenizer) -> int:
    """How many rows a model needs: the last id + 1, also where ids are left out."""
    ids = tokenizer.get_vocab().values()
    size = max(ids, default=-1) + 1
    if not size or size > 2 * len(ids) + 1000:
        raise ValueError(
            f"the tokenizer has {len(ids):,} pieces and ids up to {size - 1:,}; name "
            "one whose ids are the numbers from 0 on"
        )
    return size
