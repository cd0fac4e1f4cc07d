"""Reading a byte-level BPE: its alphabet, its pieces, its merges, its words."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import regex
from tokenizers import Tokenizer

__all__ = ["count_words", "dropped_bytes", "keeps_whole", "merge_ranks",
           "merge_table", "merging", "normalizer_of", "piece_bytes", "stages_in",
           "to_bytes", "to_chars"]


def _byte_alphabet() -> list[str]:
    """The character that byte-level tokenizers write for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    table = {byte: chr(byte) for byte in shown}
    table |= {byte: chr(256 + n) for n, byte in enumerate(hidden)}
    return [table[byte] for byte in range(256)]


_CHARS = _byte_alphabet()
_TO_CHARS = dict(enumerate(_CHARS))
_ALPHABET = frozenset(_CHARS)
_TO_LATIN = {ord(char): chr(byte) for byte, char in enumerate(_CHARS)}


def to_chars(word: bytes) -> str:
    """Bytes in the alphabet of byte-level tokenizers, one character a byte.

    >>> to_chars(" the".encode())
    'Ġthe'
    """
    return word.decode("latin-1").translate(_TO_CHARS)


def to_bytes(chars: str) -> bytes:
    """The bytes that a byte-level piece stands for.

    >>> to_bytes("ìĿ´").decode()
    '이'

    Raises
    ------
    KeyError
        If a character is not in the alphabet.
    """
    if not _ALPHABET.issuperset(chars):
        raise KeyError(next(ord(char) for char in chars if char not in _ALPHABET))
    return chars.translate(_TO_LATIN).encode("latin-1")


def piece_bytes(teacher: Tokenizer) -> list[bytes]:
    """The bytes of every piece by id; empty for special tokens.

    Raises
    ------
    ValueError
        If the tokenizer is not a byte-level BPE.
    """
    model = json.loads(teacher.to_str())["model"]
    special = {token.content for token in teacher.get_added_tokens_decoder().values()}
    if model["type"] != "BPE":
        raise _no_bytes(f"a {model['type']} tokenizer came")
    ids = {chars: index for chars, index in model["vocab"].items()
           if chars not in special}
    size = max([teacher.get_vocab_size(with_added_tokens=True) - 1, *ids.values()]) + 1
    pieces = [b""] * size
    for chars, index in ids.items():
        try:
            pieces[index] = to_bytes(chars)
        except KeyError:
            raise _no_bytes(
                f"a BPE came whose pieces are no bytes, such as {chars!r}") from None
    return pieces


def _no_bytes(came: str) -> ValueError:
    return ValueError(
        f"{came}; distillation starts from a byte-level BPE, such as "
        "lib.data.gpt2_tokenizer()."
    )


def dropped_bytes(pieces: Iterable[bytes]) -> bytes:
    """The bytes that no piece spells alone: a BPE without `unk_token` drops them."""
    single = {piece for piece in pieces if len(piece) == 1}
    return bytes(byte for byte in range(256) if bytes([byte]) not in single)


def merge_table(teacher: Tokenizer) -> dict[tuple[bytes, bytes], int]:
    """The merges of a BPE tokenizer: which pair is merged at which rank, from 1."""
    table = {}
    for rank, pair in enumerate(json.loads(teacher.to_str())["model"]["merges"], 1):
        left, right = pair if isinstance(pair, list) else pair.split(" ")
        table[to_bytes(left), to_bytes(right)] = rank
    return table


def keeps_whole(teacher: Tokenizer) -> bool:
    """Whether a word that is a piece stays whole, whatever merges make of it."""
    return bool(json.loads(teacher.to_str())["model"].get("ignore_merges"))


def merging(teacher: Tokenizer) -> Tokenizer:
    """The model alone, which cuts what it is given by merges and nothing else."""
    if not keeps_whole(teacher):
        return Tokenizer(teacher.model)
    spec = json.loads(teacher.to_str())
    spec |= {"normalizer": None, "pre_tokenizer": None, "post_processor": None,
             "added_tokens": [], "decoder": None}
    spec["model"]["ignore_merges"] = False
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def merge_ranks(teacher: Tokenizer) -> np.ndarray:
    """The rank of the merge that makes each piece, by id; 0 for single bytes."""
    ranks = np.zeros(teacher.get_vocab_size(with_added_tokens=True))
    for (left, right), rank in merge_table(teacher).items():
        ranks[teacher.token_to_id(to_chars(left + right))] = rank
    return ranks


def normalizer_of(tokenizer: Tokenizer) -> Callable[[str], str]:
    """What the tokenizer does to a text first; the text itself where it does nothing.

    >>> from tokenizers import models, normalizers
    >>> tokenizer = Tokenizer(models.BPE())
    >>> tokenizer.normalizer = normalizers.Lowercase()
    >>> normalizer_of(tokenizer)("Words")
    'words'
    """
    if tokenizer.normalizer is None:
        return lambda text: text
    return tokenizer.normalizer.normalize_str


def stages_in(tokenizer: Tokenizer) -> list[dict[str, Any]]:
    """The stages of a tokenizer's pre-tokenizer; none where it has no pre-tokenizer."""
    if tokenizer.pre_tokenizer is None:
        return []
    spec = json.loads(tokenizer.pre_tokenizer.__getstate__())
    return spec["pretokenizers"] if spec["type"] == "Sequence" else [spec]


#: What `pre_tokenizers.ByteLevel` cuts by, for the `regex` package.
_WORDS = regex.compile(r"'(?:s|t|re|ve|m|ll|d)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+"
                       r"|\s+(?!\S)|\s+")
_DIGITS = regex.compile(r"(\p{N})")


def count_words(teacher: Tokenizer, texts: Iterable[str]) -> Counter[bytes]:
    """How often each pre-token occurs in the texts, as bytes.

    A pre-token is what the tokenizer's own pre-tokenizer cuts, behind its normalizer:
    no piece ever crosses its borders, so it is all that a model has to cut. GPT-2's
    pattern, alone or behind `Digits`, is followed by the `regex` package, which is five
    times as fast.

    Raises
    ------
    ValueError
        If the tokenizer has no pre-tokenizer.
    """
    stages = stages_in(teacher)
    if not stages:
        raise ValueError(
            "the tokenizer has no pre-tokenizer, which cuts text into words; pass one "
            "that has"
        )
    texts = map(normalizer_of(teacher), texts)
    *before, last = stages
    known = (last["type"] == "ByteLevel" and last["use_regex"]
             and not last["add_prefix_space"]
             and before in ([], [{"type": "Digits", "individual_digits": True}]))
    counts: Counter[str] = Counter()
    if not known:
        cut = teacher.pre_tokenizer.pre_tokenize_str
        for text in texts:
            counts.update([chars for chars, _ in cut(text)])
        return Counter({to_bytes(chars): n for chars, n in counts.items()})
    for text in texts:
        for part in _DIGITS.split(text) if before else [text]:
            counts.update(_WORDS.findall(part))
    return Counter({word.encode(): n for word, n in counts.items()})
