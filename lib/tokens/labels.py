"""Pieces of a tokenizer as a reader can read them: one label a token."""

from collections.abc import Sequence

from lib.tokens.bytelevel import to_bytes


def token_labels(pieces: Sequence[str]) -> list[str]:
    """Write byte-level pieces so that a reader can read them.

    A character cut over several tokens shows in each, with its part: the first of
    three tokens of 나 is `나·1/3`. A space at the front shows as `␣`.

    Parameters
    ----------
    pieces
        Tokens of a byte-level BPE tokenizer, as `convert_ids_to_tokens` gives them.

    Returns
    -------
    list of str
        One label a token.

    >>> token_labels(["ë", "Ĥ", "ĺ", "Ġcat"])
    ['나·1/3', '나·2/3', '나·3/3', '␣cat']
    """
    spans, owner = [], []  # bytes of each token; which token each byte is of
    for index, piece in enumerate(pieces):
        try:
            data = to_bytes(piece)
        except KeyError:  # a special token such as <|im_start|>
            data = piece.encode()
        spans.append(data)
        owner += [index] * len(data)
    shown: list[str] = [""] * len(pieces)
    place = 0
    for letter in b"".join(spans).decode("utf-8", errors="surrogateescape"):
        if "\udc80" <= letter <= "\udcff":  # a byte of no character, as it is
            shown[owner[place]] += f"<{ord(letter) - 0xDC00:02X}>"
            place += 1
            continue
        size = len(letter.encode())
        tokens = sorted(set(owner[place : place + size]))
        for part, token in enumerate(tokens, start=1):
            mark = f"·{part}/{len(tokens)}" if len(tokens) > 1 else ""
            shown[token] += _visible(letter) + mark
        place += size
    return shown


def _visible(letter: str) -> str:
    return {" ": "␣", "\n": "⏎", "\t": "⇥"}.get(letter, letter)
