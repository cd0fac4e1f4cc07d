"""Reading a SentencePiece BPE: characters for an alphabet, ▁ for a blank, bytes behind.

Such a BPE merges characters. One that has no piece falls back to its bytes, `<0xE2>`
and the like, which nothing is merged with. Often there is no pre-tokenizer, and the
whole of a text is one word. But the vocabulary says where none of its words ends:

A token of what a BPE makes is a piece that the BPE makes of its own characters
(`lib.tokens.neighbours`). A token across a place in the text is a piece p = u + v with
the text before the place ending in u and the text behind it beginning with v. *Where
no such piece does, every text is cut, and a BPE factorises at its own boundaries: the
cuts of the whole are those of the parts.* Also within the parts of a part. So a
text may be cut into the *units* of `units_pattern` before the model sees it: runs of
letters, of digits, of other signs, each behind its blanks, joined wherever a piece of
the vocabulary lies across. No property of the training is taken on trust; ``>▁</`` of
Gemma 3, which has a blank in its middle, joins what it has to.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any
from unicodedata import category

import numpy as np
from tokenizers import Tokenizer, models

from lib.tokens.bytelevel import normalizer_of
from lib.tokens.neighbours import Neighbours
from lib.tokens.scores import QUANTUM

__all__ = ["BLANK", "BYTES", "SentencePiece", "falls_back", "units_pattern"]

BLANK = "▁"
#: The pieces that stand for bytes.
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))

_KINDS = {"L": "letters", "M": "letters", "N": "digits"}
_SPARSE = 2000  # places within pieces that a pattern can name with what follows


def falls_back(tokenizer: Tokenizer) -> bool:
    """Whether a BPE spells characters that it has no piece for by `BYTES`."""
    model = tokenizer.model
    return isinstance(model, models.BPE) and bool(model.byte_fallback) and all(
        tokenizer.token_to_id(name) is not None for name in BYTES)


def _literal(text: str) -> str:
    return "".join(char if char.isalnum() or not char.isascii() else f"\\{char}"
                   for char in text)


def _class(chars: Iterable[str]) -> str:
    """The characters as a class of a regular expression, in ranges."""
    codes = sorted(map(ord, chars))
    starts = [code for n, code in enumerate(codes) if not n or codes[n - 1] != code - 1]
    ends = [code for n, code in enumerate(codes)
            if n + 1 == len(codes) or codes[n + 1] != code + 1]
    pairs = ((_literal(chr(a)), _literal(chr(b)))
             for a, b in zip(starts, ends, strict=True))
    return "[" + "".join(a if a == b else f"{a}-{b}" for a, b in pairs) + "]"


def _across(pieces: Iterable[str], kinds: Mapping[str, str]
            ) -> Iterator[tuple[str, str]]:
    """What pieces have left and right of a border between kinds of characters.

    Not behind a blank: blanks belong to what follows.
    """
    for piece in pieces:
        for n in range(1, len(piece)):
            if kinds[piece[n - 1]] not in (kinds[piece[n]], "blank"):
                yield piece[:n], piece[n:]


def units_pattern(pieces: Iterable[str]) -> str:
    """An expression whose matches, one after another, tile a text in its units.

    pieces: all that the BPE makes of their own characters. A character without a
    piece is a unit of its own, since its bytes are merged with nothing.

    >>> import re
    >>> units = re.compile(units_pattern(["▁", "▁▁", "a", "b", "1", ".", "▁a", "b."]))
    >>> units.findall("ab▁▁a1.b.▁é")
    ['ab', '▁▁a', '1', '.', 'b.', '▁', 'é']
    """
    pieces = list(pieces)
    kinds = {char: _KINDS.get(category(char)[0], "signs")
             for char in set().union(*pieces)} | {BLANK: "blank"}
    of = defaultdict(list)
    for char, kind in kinds.items():
        of[kind].append(char)
    runs = "|".join(f"{_class(chars)}+" for kind, chars in sorted(of.items())
                    if kind != "blank")
    run = f"{BLANK}*(?:{runs})"
    across = [*_across(pieces, kinds)]
    joints: defaultdict[str, set[str]] = defaultdict(set)
    for left, right in across:
        joints[left[-1]].add(right if len(across) <= _SPARSE else right[0])
    behind: defaultdict[tuple[str, ...], list[str]] = defaultdict(list)
    for char, rights in joints.items():
        behind[tuple(sorted(rights))].append(char)
    joint = "|".join(f"(?<={_class(chars)})(?:{'|'.join(map(_literal, rights))})"
                     for rights, chars in sorted(behind.items()))
    ends = f"(?<={_class(joints)})"  # most runs end in none of these: a quick look
    more = f"(?:{ends}(?={joint})(?:{run}|{BLANK}+))*" if joints else ""
    return f"{run}{more}|{BLANK}+|[\\s\\S]"


def _any_of(added: Iterable[Mapping[str, Any]]) -> str:
    """An expression for the added tokens, longer ones first; thousands of them are
    tried by their first character only."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for token in sorted(added, key=lambda token: -len(token["content"])):
        before = (r"\s*" if token["lstrip"] else "") + re.escape(token["content"][0])
        after = r"\s*" if token["rstrip"] else ""
        groups[before].append(re.escape(token["content"][1:]) + after)
    return "|".join(f"{before}(?:{'|'.join(rests)})"
                    for before, rests in groups.items()) or "(?!)"


class SentencePiece:
    """What a SentencePiece BPE reads, spells and merges, and its units.

    Parameters
    ----------
    teacher
        Its words are `bytes` of UTF-8, as its normalizer leaves them.
    """

    def __init__(self, teacher: Tokenizer):
        self.teacher = teacher
        spec: dict[str, Any] = json.loads(teacher.to_str())
        self.whole = bool(spec["model"].get("ignore_merges"))
        self.names: dict[str, int] = spec["model"]["vocab"]
        merges = (pair if isinstance(pair, list) else pair.split(" ")
                  for pair in spec["model"]["merges"])
        self.merges = {(left.encode(), right.encode()): rank
                       for rank, (left, right) in enumerate(merges, 1)}
        size = max(teacher.get_vocab_size(with_added_tokens=True),
                   1 + max(self.names.values()))
        self._every = [b""] * size  # also those that BPE never makes
        for name, index in self.names.items():
            self._every[index] = name.encode()
        names = list(self.names)
        made = Tokenizer(teacher.model).encode_batch_fast(names)
        self.texts = [name for name, encoding in zip(names, made, strict=True)
                      if encoding.ids == [self.names[name]]]
        self.pieces = [b""] * size
        for name in self.texts:
            self.pieces[self.names[name]] = name.encode()
        self.never = b""
        self.core = Tokenizer(teacher.model)
        stages = spec["pre_tokenizer"] or {"type": "Sequence", "pretokenizers": []}
        self.stages: list[dict[str, Any]] = stages.get("pretokenizers", [stages])
        self._spec = {key: value for key, value in spec.items() if key != "model"}

    # --- words ---------------------------------------------------------------

    @cached_property
    def pattern(self) -> str:
        """What a text is cut by; all of a word where pieces stay whole in spite of
        merges, so that none of them is broken."""
        return r"[\s\S]+" if self.whole else units_pattern(self.texts)

    @staticmethod
    def chars(word: bytes) -> str:
        """What the model is given for a word."""
        return word.decode()

    @staticmethod
    def text(word: bytes) -> str:
        """A word with blanks for ▁."""
        return word.decode().replace(BLANK, " ")

    @staticmethod
    def word(text: str) -> bytes:
        """The word of such a text."""
        return text.replace(" ", BLANK).encode()

    def _units(self, text: str) -> Iterator[str]:
        """The units of a text in which blanks are ▁ already.

        Without characters that have no piece: these are nobody's to learn. The matches
        are those of the student's `Split`, at many times its pace.
        """
        every = [text] if self.whole else self._matches.findall(text)
        return (unit for unit in every if len(unit) > 1 or unit in self.names)

    @cached_property
    def _matches(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    def spelled(self, words: Iterable[str]) -> Iterator[bytes]:
        """The units of those words that the normalizer leaves as they are.

        But for their blanks: one that it puts in front is not put before these, which
        may stand behind a sign as well.
        """
        normal = normalizer_of(self.teacher)
        for word in words:
            text = word.replace(" ", BLANK)
            if normal(word).lstrip(BLANK) == text.lstrip(BLANK):
                yield from (unit.encode() for unit in self._units(text))

    def count(self, texts: Iterable[str]) -> Counter[bytes]:
        """How often each unit occurs in the texts, as the model sees them.

        What is between two added tokens is a text of its own to normalizer and
        pre-tokenizer.
        """
        within = re.compile(_any_of(self._spec["added_tokens"]))
        normal, cut = normalizer_of(self.teacher), self.teacher.pre_tokenizer
        counts: Counter[str] = Counter()
        for text in texts:
            for section in filter(None, within.split(text)):
                section = normal(section)
                words = cut.pre_tokenize_str(section) if cut else [(section, None)]
                for word, _ in words:
                    counts.update(self._units(word))
        return Counter({word.encode(): n for word, n in counts.items()})

    # --- tokens --------------------------------------------------------------

    def neighbours(self) -> Neighbours:
        """Which tokens can stand side by side."""
        letters = [n for n, piece in enumerate(self._every) if piece
                   and len(piece.decode()) == 1]
        return Neighbours(self._every, self.merges, self.whole, letters)

    def ranks(self) -> np.ndarray:
        """The rank of the first merge that makes each piece, by id; 0 for others."""
        ranks = np.zeros(len(self.pieces))
        for (left, right), rank in reversed(self.merges.items()):
            ranks[self.names[(left + right).decode()]] = rank
        return ranks

    # --- the student ---------------------------------------------------------

    def _model(self, scores: np.ndarray) -> models.Unigram:
        """Scores in `QUANTUM`, or so far below that no path takes the piece.

        A piece that BPE never makes, of which the names of bytes are some, costs more
        than any way to spell what it spells.
        """
        longest = max(map(len, self.names))
        low = float(scores.min()) * longest - 1000.0
        added = self.teacher.get_added_tokens_decoder()
        names = {index: token.content for index, token in added.items()}
        names |= {index: name for name, index in self.names.items()}
        vocab = [(names[index], float(scores[index] if piece else low) / QUANTUM)
                 for index, piece in enumerate(self.pieces)]
        unknown = self.teacher.model.unk_token
        return models.Unigram(vocab, self.names[unknown or BYTES[0]], True)

    def student(self, scores: np.ndarray) -> Tokenizer:
        """A Unigram for words alone, without normalizer and pre-tokenizer."""
        return Tokenizer(self._model(scores))

    def of_words(self, student: Tokenizer) -> Tokenizer:
        """What `tokenizer` was made of: the tokenizer for words of one for texts."""
        spec = json.loads(student.to_str())
        stages = (spec["pre_tokenizer"] or {"pretokenizers": []})["pretokenizers"]
        rules = stages[len(self.stages) + (not self.whole):]
        spec = {"version": "1.0", "model": spec["model"], "added_tokens": [],
                "pre_tokenizer": {"type": "Sequence", "pretokenizers": rules}
                if rules else None}
        return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))

    def tokenizer(self, student: Tokenizer) -> Tokenizer:
        """The teacher with the model and the rules of a student for words."""
        spec = json.loads(student.to_str())
        rules = spec["pre_tokenizer"] or {"pretokenizers": []}
        units = {"type": "Split", "pattern": {"Regex": self.pattern},
                 "behavior": "Isolated", "invert": False}
        stages = [*self.stages, *([] if self.whole else [units]),
                  *rules["pretokenizers"]]
        spec = self._spec | {"model": spec["model"], "pre_tokenizer": {
            "type": "Sequence", "pretokenizers": stages} if stages else None}
        return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
