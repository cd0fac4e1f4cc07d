"""How a BPE reads text: its words as bytes, and what its pieces spell of them.

`ByteLevel` and `lib.tokens.sentencepiece.SentencePiece` answer the same questions, so
that learning, mending and counting need not ask which of the two they have.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator

import numpy as np
from tokenizers import Tokenizer

from lib.tokens.bytelevel import (
    count_words,
    dropped_bytes,
    keeps_whole,
    merge_ranks,
    merge_table,
    normalizer_of,
    piece_bytes,
    to_chars,
)
from lib.tokens.neighbours import Neighbours
from lib.tokens.scores import QUANTUM
from lib.tokens.sentencepiece import SentencePiece, falls_back

__all__ = ["ByteLevel", "Reading", "reading_of"]


class ByteLevel:
    """A byte-level BPE: its words are the bytes of text, cut by its pre-tokenizer.

    ``pieces`` are the bytes of every piece by id, empty where no text has it; ``never``
    the bytes that have none; ``whole`` says whether pieces stay whole in spite of
    merges; ``core`` takes a word for a text.

    Raises
    ------
    ValueError
        If the tokenizer is no such BPE.
    """

    chars = staticmethod(to_chars)

    def __init__(self, teacher: Tokenizer):
        self.teacher = self.core = teacher
        self.pieces = piece_bytes(teacher)
        self.never = dropped_bytes(self.pieces)
        self.whole = keeps_whole(teacher)

    @staticmethod
    def text(word: bytes) -> str:
        """A word as it stands in a text."""
        return word.decode("utf-8", "ignore")

    @staticmethod
    def word(text: str) -> bytes:
        """The word of such a text."""
        return text.encode()

    def count(self, texts: Iterable[str]) -> Counter[bytes]:
        """How often each word occurs in the texts."""
        return count_words(self.teacher, texts)

    def spelled(self, words: Iterable[str]) -> Iterator[bytes]:
        """Those of the words that stand in texts, behind the normalizer."""
        same = normalizer_of(self.teacher)
        return (word.encode() for word in words if same(word) == word)

    def student(self, scores: np.ndarray) -> Tokenizer:
        """The teacher with one score a piece in place of merges.

        There is no unknown token: a `Split` takes bytes out that have no piece.
        """
        spec = json.loads(self.teacher.to_str())
        low = float(scores.min()) - 1000.0
        names = {index: token.content for index, token
                 in self.teacher.get_added_tokens_decoder().items()}
        vocab = [[to_chars(piece), float(scores[index]) / QUANTUM] if piece
                 else [names[index], low / QUANTUM]
                 for index, piece in enumerate(self.pieces)]
        spec["model"] = {"type": "Unigram", "unk_id": None, "vocab": vocab,
                         "byte_fallback": False}
        if self.never:
            never = "".join(f"\\x{{{ord(c):x}}}" for c in to_chars(self.never))
            removed = {"type": "Split", "pattern": {"Regex": f"[{never}]"},
                       "behavior": "Removed", "invert": False}
            given = spec["pre_tokenizer"]
            stages = given["pretokenizers"] if given["type"] == "Sequence" else [given]
            spec["pre_tokenizer"] = {"type": "Sequence",
                                     "pretokenizers": [*stages, removed]}
        return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))

    @staticmethod
    def tokenizer(student: Tokenizer) -> Tokenizer:
        """The tokenizer for texts of one for words, and the other way round."""
        return student

    of_words = tokenizer

    def neighbours(self) -> Neighbours:
        """Which tokens can stand side by side."""
        return Neighbours(self.pieces, merge_table(self.teacher), self.whole)

    def ranks(self) -> np.ndarray:
        """The rank of the merge that makes each piece, by id; 0 for the alphabet."""
        return merge_ranks(self.teacher)


Reading = ByteLevel | SentencePiece


def reading_of(teacher: Tokenizer) -> Reading:
    """How the teacher reads text.

    Raises
    ------
    ValueError
        If it is neither of the two kinds.
    """
    return SentencePiece(teacher) if falls_back(teacher) else ByteLevel(teacher)
