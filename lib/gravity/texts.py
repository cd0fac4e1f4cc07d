"""The texts that language models of Part II read: a training and a validation part.

    tinyshakespeare  40,000 lines of plays; the last tenth is for validation
    wikitext2        articles of Wikipedia: the model learns from the row
                     `wikitext2_test` of `lib.data` and is judged on
                     `wikitext2_valid`, which shares no article with it
    wikitext103      the 540 MB of `lib.data`; the last hundredth of it, cut where an
                     article begins, is for validation
    any file         by `data_path`; the last tenth is for validation
"""

import codecs
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from lib import data
from lib.commands import path_of
from lib.gravity.tokenizers import Tokens
from lib.options import unknown

DATASETS = ("tinyshakespeare", "wikitext2", "wikitext103")
PIECE = 1 << 20  # characters that are encoded at a time


@dataclass(frozen=True)
class Text:
    """What to learn from, what to judge on, and which data it really is."""

    train: str
    valid: str
    name: str

    @property
    def sha256(self) -> str:
        """Of both parts: what tells one text from another."""
        found = hashlib.sha256()
        for text in (self.train, "\0", self.valid):
            for start in range(0, len(text), PIECE):
                found.update(text[start : start + PIECE].encode())
        return found.hexdigest()


def load_text(dataset: str, data_path: Path | str | None = None) -> Text:
    """Give a dataset by name, or a file; a relative path counts from the root.

    >>> load_text("shakespear")
    Traceback (most recent call last):
    ...
    ValueError: dataset 'shakespear' is not known; use one of tinyshakespeare,
    wikitext2, wikitext103, or name a file with data_path
    """
    if data_path is not None:
        file = path_of(data_path)
        return split(_read(file), file.name)
    if dataset not in DATASETS:
        raise ValueError(
            f"{unknown('dataset', dataset, DATASETS)}, or name a file with data_path"
        )
    if dataset == "wikitext2":
        learn, judge = "wikitext2_test", "wikitext2_valid"
        name = f"{data.describe(learn)}, judged on {data.describe(judge)}"
        return Text(data.text(learn), data.text(judge), name)
    text, name = data.text(dataset), data.describe(dataset)
    if dataset == "tinyshakespeare":
        return split(text, name)
    cut = len(text) * 99 // 100
    if near := re.compile(r"^ = [^=].*[^=] = $", re.MULTILINE).search(text, cut):
        cut = near.start()
    return Text(text[:cut], text[cut:], f"{name} (its last hundredth for validation)")


def split(text: str, name: str, share: float = 0.9) -> Text:
    """Cut one text in two: the first `share` to learn from, the rest to judge on.

    >>> split("0123456789", "digits")
    Text(train='012345678', valid='9', name='digits')
    """
    cut = int(len(text) * share)
    return Text(text[:cut], text[cut:], name)


def ids_of(text: str, tokenizer: Tokens) -> Int[Tensor, " length"]:
    """The ids of a text, 8 bytes each; encoded a megabyte at a time."""
    parts, start = [torch.zeros(0, dtype=torch.long)], 0
    for piece in pieces(text):
        try:
            parts.append(torch.tensor(tokenizer.encode(piece), dtype=torch.long))
        except ValueError as error:
            raise ValueError(
                f"after the first {start:,} characters, {error}" if start else error
            ) from None
        start += len(piece)
    return torch.cat(parts)


def pieces(text: str, size: int = PIECE) -> Iterator[str]:
    r"""Cut a text where no token of GPT-2's pattern reaches across.

    A line end is a token's end where no more than one space stands behind it: joined,
    the tokens of the pieces are those of the whole.

    >>> list(pieces("one\ntwo\n\nthree\n four", size=2))
    ['one\n', 'two\n\nthree\n', ' four']
    """
    safe = re.compile(r"(?<=\S\n)(?=\S)|(?<=\n)(?= \S)")
    start = 0
    while len(text) - start > size and (near := safe.search(text, start + size)):
        yield text[start : near.start()]
        start = near.start()
    if start < len(text):
        yield text[start:]


def _read(file: Path) -> str:
    """The text of a file; ValueError in one sentence where it holds none."""
    def wrong(sentence: str) -> ValueError:
        return ValueError(f"data_path {file} {sentence}")

    if file.is_dir():
        raise wrong("is a folder; name one text file in UTF-8, or join those in it "
                    "into one")
    if not file.is_file():
        raise wrong("is no file; name a text file in UTF-8, or leave it out")
    try:
        data = file.read_bytes()
    except OSError as error:
        raise wrong(f"cannot be read ({error.strerror}); make it readable, or name "
                    "another") from None
    try:  # "-sig": a mark in front says UTF-8 and is no part of the text
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        said = ("is in UTF-16" if data.startswith(marks)
                else f"is not in UTF-8 (byte {error.start})")
        raise wrong(f"{said}; save it as UTF-8, or name another") from None
    if "\0" in text:
        raise wrong(f"has a NUL at character {text.index(chr(0))} and is no text; save "
                    "it as text in UTF-8, or name another")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise wrong("is empty; name a file with text in it")
    return text
