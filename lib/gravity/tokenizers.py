"""The tokenizers of Part II: characters, byte-level BPE, GPT-2's ranks in tiktoken.

All three speak the same five words (`Tokens`), and none replaces what it does not
know: a text is encoded so that `decode(encode(text)) == text`, or it is refused.

    char      one id a character of the text it was made from; any other is refused
    bpe       pairs of bytes merged as often as the vocabulary allows (Sennrich et al.
              2016, on bytes as in GPT-2); knows every text
    tiktoken  GPT-2's 50,257 pieces, from the files that `lib.data` gives
"""

import importlib.util
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from lib import data
from lib.data.pretrained import gpt2_tokenizer
from lib.data.round_trip import check_characters, check_pieces, check_same, size_of
from lib.data.tokenizer_files import load_tokenizer, parse_tokenizer
from lib.files import write_text
from lib.options import one_of, unknown
from lib.tokens.bytelevel import to_bytes
from lib.tokens.labels import token_labels

KINDS = ("char", "bpe", "tiktoken")
END_OF_TEXT = "<|endoftext|>"
UNUSED = "<unused>"  # the label of an id that has no piece
LONG_BLANKS = re.compile(r"\s{100000}")  # where tiktoken's search ends in a panic


@runtime_checkable
class Tokens(Protocol):
    """What a language model and its chat need of a tokenizer.

    `encode` refuses characters that have no id; `decode` writes � for bytes that are no
    character; `labels` names every id on one line: ␣ a space, ⏎ a line end, <EB> a
    byte; of `to_json`, `from_json` makes the same tokenizer.
    """

    name: str  # for tables and prose
    vocab: int  # ids are 0 … vocab − 1

    def encode(self, text: str) -> list[int]: ...
    def decode(self, ids: Sequence[int]) -> str: ...
    def labels(self) -> list[str]: ...
    def to_json(self) -> dict[str, Any]: ...


class CharTokens:
    """One id a character.

    >>> tokens = CharTokens.of("banana")
    >>> tokens.encode("nab"), tokens.decode([1, 0, 2]), tokens.vocab
    ([2, 0, 1], 'ban', 3)
    >>> tokens.encode("bandit")
    Traceback (most recent call last):
    ...
    ValueError: tokenizer 'char' never saw 'd' (U+0064), 'i' (U+0069), 't' (U+0074);
    use a text made of its 3 characters, or tokenizer bpe or tiktoken, which know every
    text
    """

    def __init__(self, characters: str):
        if not characters or len(set(characters)) != len(characters):
            raise ValueError(
                f"a char tokenizer wants each of its characters once, and got "
                f"{characters[:40]!r}; make one with CharTokens.of(text)"
            )
        self.characters, self.vocab = characters, len(characters)
        self.name = f"{self.vocab} characters"
        self._ids = {character: i for i, character in enumerate(characters)}

    @classmethod
    def of(cls, text: str) -> "CharTokens":
        """The characters of a text, in the order of their code points."""
        if not text:
            raise ValueError(
                "an empty text has no characters to make a tokenizer of; give a text"
            )
        return cls("".join(sorted(set(text))))

    def encode(self, text: str) -> list[int]:
        check_characters(text)
        try:
            return [self._ids[character] for character in text]
        except KeyError:
            raise _unseen(
                "char", [c for c in dict.fromkeys(text) if c not in self._ids],
                f"use a text made of its {self.vocab} characters, or tokenizer bpe or "
                "tiktoken, which know every text",
            ) from None

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.characters[i] for i in _checked(ids, self.vocab))

    def labels(self) -> list[str]:
        return [_label(character) for character in self.characters]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "char", "characters": self.characters}


class BpeTokens:
    """Byte-level BPE, a `tokenizers.Tokenizer` behind the words of `Tokens`.

    Other people's tokenizers may stand here, too: what one of them changes in a text
    is refused, and so is one whose ids or pieces are of no use to a language model. Its
    control signs, such as `<eos>`, are characters in a text.

    >>> tokens = BpeTokens.train("low lower lowest " * 9, vocab=270)
    >>> ids = tokens.encode("low 낮다")
    >>> tokens.vocab, tokens.decode(ids), [tokens.labels()[i] for i in ids[:3]]
    (263, 'low 낮다', ['low', '␣', '<EB>'])
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        tokenizer.encode_special_tokens = True  # in a text they are text
        spec = json.loads(tokenizer.to_str())
        if tokenizer.decoder is None:
            of_bytes = '"ByteLevel"' in json.dumps(spec["pre_tokenizer"])
            tokenizer.decoder = decoders.ByteLevel() if of_bytes else decoders.Fuse()
        check_pieces(tokenizer)
        self.vocab = size_of(tokenizer)
        self.name = f"{spec['model']['type']} of {self.vocab:,} pieces"
        self._unknown = _unknown_id(tokenizer, spec["model"])
        self._cause = _normalizer(spec["normalizer"])

    @classmethod
    def train(cls, text: str, vocab: int = 4000) -> "BpeTokens":
        """Learn merges from a text until there are `vocab` pieces, or no pair is left.

        The first 256 are the bytes, so that no text is unknown.
        """
        if vocab < 256:
            raise ValueError(
                f"bpe_vocab_size is {vocab}; use 256 or more, since the bytes alone "
                "are 256 pieces"
            )
        if not text:
            raise ValueError("an empty text teaches no merges; give a text")
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab, show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )
        tokenizer.train_from_iterator(text.splitlines(keepends=True), trainer)
        return cls(tokenizer)

    @classmethod
    def load(cls, file: Path | str) -> "BpeTokens":
        """Read a tokenizer file, of `tokenizers` or of the original."""
        try:
            return cls(load_tokenizer(file))
        except ValueError as error:
            which = "" if str(file) in str(error) else f" {file}"
            raise ValueError(
                f"tokenizer_path{which} cannot be used: {error}, or a file that is not "
                "there yet, to train one"
            ) from None

    def save(self, file: Path | str) -> None:
        """Write the tokenizer as a file of `tokenizers`, whole or not at all."""
        file = Path(file)
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_text(file, self._tokenizer.to_str())
        except OSError as error:
            raise ValueError(
                f"tokenizer_path {file} cannot be written ({error.strerror or error}); "
                "name another"
            ) from None

    def encode(self, text: str) -> list[int]:
        check_characters(text)
        ids = self._ids(text)
        if self._unknown is not None and self._unknown in ids:
            strange = [c for c in dict.fromkeys(text) if self._unknown in self._ids(c)]
            if strange:
                raise _unseen("bpe", strange, "train one anew, which knows every byte")
        check_same(text, self.decode(ids), self._cause)
        return ids

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        ids = list(_checked(ids, self.vocab))
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def labels(self) -> list[str]:
        pieces = (self._tokenizer.id_to_token(i) for i in range(self.vocab))
        of_bytes = isinstance(self._tokenizer.decoder, decoders.ByteLevel)
        label = _piece_label if of_bytes else _label
        return [label(piece or UNUSED) for piece in pieces]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "bpe", "tokenizer": self._tokenizer.to_str()}


class TiktokenTokens:
    """GPT-2's own pieces, encoded by `tiktoken`, or by `tokenizers` where it is not.

    by: `tiktoken` or `tokenizers`; None takes tiktoken if it is installed. Both give
    the same ids; `name` says which one works.

    >>> tokens = TiktokenTokens()
    >>> tokens.encode("Hello, world!"), tokens.decode([15496]), tokens.name
    ([15496, 11, 995, 0], 'Hello', "GPT-2's 50,257 pieces (tiktoken)")
    """

    def __init__(self, by: str | None = None):
        if by is None:
            there = importlib.util.find_spec("tiktoken") is not None
            by = "tiktoken" if there else "tokenizers"
        one_of("coder", by, ("tiktoken", "tokenizers"))
        self.vocab, self.by = 50257, by
        self.name = f"GPT-2's 50,257 pieces ({by})"
        if by == "tiktoken":
            coder = _gpt2_encoding()
            self._encode, self._decode = coder.encode_ordinary, coder.decode
        else:
            coder = _gpt2_tokenizer()
            self._encode = _by_tokenizers
            self._decode = lambda ids: coder.decode(ids, skip_special_tokens=False)

    def encode(self, text: str) -> list[int]:
        check_characters(text)
        if LONG_BLANKS.search(text):
            return _by_tokenizers(text)
        return self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self._decode(list(_checked(ids, self.vocab)))

    def labels(self) -> list[str]:
        pieces = sorted(_gpt2_pieces().items(), key=lambda entry: entry[1])
        return [_piece_label(piece) for piece, _ in pieces]

    def to_json(self) -> dict[str, Any]:
        return {"kind": "tiktoken", "name": "gpt2"}


def tokens_of(
    kind: str, text: str = "", vocab: int = 4000, path: Path | str | None = None
) -> Tokens:
    """The tokenizer of a kind for a text.

    text: what char and bpe are made of; vocab: the most pieces of bpe; path: where bpe
    is kept. If that file is there it is loaded, else trained and written to it.

    >>> tokens_of("bpee")
    Traceback (most recent call last):
    ...
    ValueError: tokenizer 'bpee' is not known; use one of char, bpe, tiktoken
    """
    one_of("tokenizer", kind, KINDS)
    if kind == "char":
        return CharTokens.of(text)
    if kind == "tiktoken":
        return TiktokenTokens()
    if path is not None and Path(path).exists():
        return BpeTokens.load(path)
    tokens = BpeTokens.train(text, vocab)
    if path is not None:
        tokens.save(path)
    return tokens


def from_json(told: dict[str, Any]) -> Tokens:
    """The tokenizer that `to_json` told of."""
    try:
        kind = told["kind"]
        if kind == "char":
            return CharTokens(told["characters"])
        if kind == "bpe":
            return BpeTokens(parse_tokenizer(told["tokenizer"]))
        if kind == "tiktoken":
            return TiktokenTokens()
    except (KeyError, TypeError):
        raise ValueError(
            f"this tells of no tokenizer: {str(told)[:60]}; it wants kind and what "
            "to_json wrote"
        ) from None
    raise ValueError(unknown("tokenizer", kind, KINDS))


@cache
def _gpt2_pieces() -> dict[str, int]:
    """GPT-2's pieces as letters that stand for bytes, and their ids."""
    return json.loads(data.gpt2_files()[0].read_text(encoding="utf-8"))


@cache
def _gpt2_encoding() -> Any:
    """tiktoken's encoder with ranks made of the vocabulary file: rank = id."""
    import tiktoken
    from tiktoken_ext.openai_public import r50k_pat_str

    ranks = {to_bytes(piece): rank for piece, rank in _gpt2_pieces().items()
             if piece != END_OF_TEXT}
    return tiktoken.Encoding(
        "gpt2", pat_str=r50k_pat_str, mergeable_ranks=ranks,
        special_tokens={END_OF_TEXT: 50256}, explicit_n_vocab=50257,
    )


@cache
def _gpt2_tokenizer() -> Tokenizer:
    tokenizer = gpt2_tokenizer(*data.gpt2_files())
    tokenizer.encode_special_tokens = True  # <|endoftext|> in a text is text
    return tokenizer


def _by_tokenizers(text: str) -> list[int]:
    return _gpt2_tokenizer().encode(text).ids


def _unknown_id(tokenizer: Tokenizer, model: dict[str, Any]) -> int | None:
    """The id that stands for all that a model does not know, if it has one."""
    if model.get("unk_id") is not None:  # of Unigram
        return model["unk_id"]
    piece = model.get("unk_token")
    return tokenizer.token_to_id(piece) if piece else None


def _normalizer(spec: dict[str, Any] | None) -> str:
    """What rewrites a text before it is cut, for a message; "" where nothing does."""
    if spec is None:
        return ""
    names = [part["type"] for part in spec.get("normalizers", [spec])]
    return f"its normalizer {', '.join(names)}"


def _unseen(kind: str, characters: list[str], instead: str) -> ValueError:
    shown = ", ".join(f"{c!r} (U+{ord(c):04X})" for c in characters[:5])
    more = f" and {len(characters) - 5} more" if len(characters) > 5 else ""
    return ValueError(f"tokenizer {kind!r} never saw {shown}{more}; {instead}")


def _checked(ids: Sequence[int], vocab: int) -> Sequence[int]:
    for i in ids:
        if not 0 <= i < vocab:
            raise ValueError(
                f"id {i} is not in the vocabulary of {vocab:,}; use 0 to {vocab - 1:,}"
            )
    return ids


def _label(text: str) -> str:
    signs = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
    return "".join(signs.get(c) or (c if c.isprintable() else f"<U+{ord(c):04X}>")
                   for c in text)


def _piece_label(piece: str) -> str:
    return _label(token_labels([piece])[0])
