"""Documents out of files as they come: text, JSON and Parquet, in a stream.

A `.txt` file holds one document a line, a `.jsonl` file one object (or text) a line,
a `.json` file an array of them, a `.parquet` file one a row of a column. A block of
the file is in memory at a time, whatever its size. What cannot be read ends in one
sentence: the file, the byte or the line, and what to do.
"""

from __future__ import annotations

import codecs
import io
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lib.workbench.ivr.artifacts import StageError

ENDINGS = (".txt", ".jsonl", ".json", ".parquet")
BLOCK = 1 << 20  # bytes read at a time
LONGEST = 1 << 24  # characters of one value of a JSON file
DOCUMENT = 1 << 18  # characters; a longer document is cut at a blank
NEWLINE = "\u2028"  # stands for a newline inside a document: one document, one line
_MARKS = (("utf-8", codecs.BOM_UTF8), ("utf-32-le", codecs.BOM_UTF32_LE),
          ("utf-32-be", codecs.BOM_UTF32_BE), ("utf-16-le", codecs.BOM_UTF16_LE),
          ("utf-16-be", codecs.BOM_UTF16_BE))
_GUESSES = ("utf-16-le", "utf-16-be", "cp949", "cp1252")
_BREAKS = re.compile("[\v\f\x1c-\x1e\x85\u2028\u2029]")
_ODD = re.compile("[\0-\x08\x0e-\x1f\x7f-\x9f\ufeff\ufffe\uffff]")
_LONE = re.compile("[\ud800-\udfff]")
_BLANK = re.compile(r"\s")


def documents(raw: BinaryIO, file: Path, text_key: str = "text",
              encoding: str = "utf-8") -> Iterator[str]:
    """The documents of one raw file, as they stand there.

    raw: the file, open. file: its name, which tells the kind. text_key: where the text
    stands in an object of a `.json` or `.jsonl` file; the column of a `.parquet` file.
    Raises StageError if the file is not in the encoding (the byte and its line), is no
    JSON (the line), an object lacks the key (which keys there are), or it is no file of
    these kinds.
    """
    kind = file.suffix.lower()
    if kind not in ENDINGS:
        raise StageError(
            f"{file.name} is not read; turn it into {', '.join(ENDINGS)} or move it "
            "away")
    if kind == ".parquet":
        return _rows(raw, file, text_key)
    texts = _blocks(raw, file, encoding)
    if kind == ".txt":
        return _lines(texts, DOCUMENT)
    values = _json_lines(file, texts) if kind == ".jsonl" else _json(file, texts)
    return (_text(value, text_key, f"{file.name}, line {line:,}")
            for line, value in values)


def _rows(raw: BinaryIO, file: Path, column: str) -> Iterator[str]:
    """The texts of a column of a Parquet file."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        table = parquet.ParquetFile(raw)
        kinds = dict(zip(table.schema_arrow.names, table.schema_arrow.types,
                         strict=True))
        if column not in kinds:
            names = ", ".join(map(repr, list(kinds)[:12])) or "none"
            raise StageError(
                f"{file.name} has no column {column!r}; its columns are {names}: name "
                "the one of the text as text_key")
        kind = kinds[column]
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        if kind not in (pa.string(), pa.large_string(), pa.null()):
            raise StageError(
                f"the column {column!r} of {file.name} is {kind} and no text; name the "
                "one of the text as text_key")
        for batch in table.iter_batches(1000, columns=[column]):
            for text in batch.column(0).to_pylist():
                yield text or ""
    except pa.ArrowException as error:
        why = str(error).splitlines()[0].rstrip(".")
        raise StageError(f"{file.name} is no whole Parquet file ({why}); fetch it "
                         "again, or move it away") from None


def clean(text: str) -> str:
    r"""A document on one line: composed (NFC), without control characters.

    Line breaks of every kind become U+2028, half a surrogate pair U+FFFD; blanks at
    the ends go. Empty where nothing is left.

    >>> clean(" 한\r\n글\0 ")
    '한\u2028글'
    """
    if not text.isprintable():
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        text = _ODD.sub("", _BREAKS.sub("\n", text))
        text = _LONE.sub("\N{REPLACEMENT CHARACTER}", text)
    if not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text.strip().replace("\n", NEWLINE)


def pieces(text: str, most: int = DOCUMENT) -> Iterator[str]:
    """The text, cut at blanks into parts of at most so many characters.

    >>> list(pieces("one two three", 8))
    ['one two', 'three']
    """
    while len(text) > most:
        last = max((found.start() for found in _BLANK.finditer(text, most // 2, most)),
                   default=most)
        yield text[:last]
        text = text[last:].lstrip()
    yield text


# --- bytes into characters -------------------------------------------------------


def _blocks(raw: BinaryIO, file: Path, encoding: str) -> Iterator[str]:
    """The characters of a file, a block at a time; every line ends in a newline."""
    head = raw.read(1 << 16)
    codec, start = _codec(file, encoding, head)
    decoder = codecs.getincrementaldecoder(codec)("strict")
    newlines = io.IncrementalNewlineDecoder(None, translate=True)
    raw.seek(start)
    read, line, ended = start, 1, False
    while not ended:
        block = raw.read(BLOCK)
        read, ended = read + len(block), not block
        try:
            text = decoder.decode(block, ended)
        except UnicodeDecodeError as error:
            at = error.start
            good = error.object[:at].decode(codec, "ignore")
            line += good.replace("\r\n", "\n").replace("\r", "\n").count("\n")
            offset = read - len(error.object) + at
            half = ended and error.end == len(error.object) and "end" in error.reason
            remedy = "fetch the whole file" if half else _NAME_IT
            raise StageError(
                f"{file.name} is not {encoding}: byte 0x{error.object[at]:02X} at "
                f"offset {offset:,} (line {line:,}) "
                + ("begins a character in the middle of which the file ends; "
                   if half else "does not belong there; ")
                + _advice(error.object[max(0, at - 512):at + 4096], codec, head, remedy)
            ) from None
        text = newlines.decode(text, ended)
        line += text.count("\n")
        yield text


def _codec(file: Path, encoding: str, head: bytes) -> tuple[str, int]:
    """The codec to decode with, and after how many bytes the text begins."""
    try:
        asked = codecs.lookup(encoding)
        if not asked._is_text_encoding:
            raise LookupError
    except LookupError:
        raise StageError(
            f"encoding {encoding!r} is not known; use utf-8, utf-16, cp949 or another "
            "name that Python knows") from None
    name = asked.name.removesuffix("-sig")
    for codec, mark in _MARKS:
        if head.startswith(mark):
            if codec.startswith(name):
                return codec, len(mark)
            family = codec.removesuffix("-le").removesuffix("-be")
            raise StageError(
                f"{file.name} begins with the mark of {family} "
                f"({mark.hex(' ').upper()}) and encoding is {encoding}; write "
                f"encoding {family}, or save the file as {encoding}")
    half = _halves(head)
    if name in ("utf-16", "utf-32"):
        return f"{name}-{'be' if half == 'utf-16-be' else 'le'}", 0
    if not name.startswith("utf-16") and not name.startswith("utf-32"):
        if half:
            raise StageError(
                f"{file.name} looks like {half} without a mark (every second byte is "
                f"often zero) and encoding is {encoding}; write encoding {half}, or "
                f"save the file as {encoding}")
        if head.count(0) > len(head) / 10:
            raise StageError(
                f"{file.name} holds zero bytes and is no text in {encoding}; "
                + _advice(head, name, head, "move it away, or name its encoding"))
    return name, 0


def _halves(head: bytes) -> str:
    """`utf-16-le` or `utf-16-be` where zeros stand at odd or at even places, mostly."""
    even, odd = head[::2].count(0), head[1::2].count(0)
    if min(even, odd) * 8 > max(even, odd) or max(even, odd) * 20 < len(head) / 2:
        return ""
    return "" if even == odd else "utf-16-le" if odd > even else "utf-16-be"


_NAME_IT = "name its encoding, or save it as UTF-8"


def _advice(near: bytes, codec: str, head: bytes, remedy: str = _NAME_IT) -> str:
    for guess in _GUESSES:
        if guess != codec and all(_reads(part, guess) for part in (near, head)):
            return f"as {guess} it reads well: write encoding {guess}"
    return remedy


def _reads(part: bytes, codec: str) -> bool:
    """Whether bytes are a text of letters, Hangul and signs in a codec."""
    for start in (0, 1):  # it may begin inside a character
        try:
            decoder = codecs.getincrementaldecoder(codec)("strict")
            text = decoder.decode(part[start:])
        except UnicodeDecodeError:
            continue
        good = re.findall("[\n\r\t -~가-힣ㄱ-ㅣÀ-ÿ‘-”…·]", text)
        if len(good) > 0.95 * len(text):
            return True
    return False


# --- characters into lines and values --------------------------------------------


def _lines(texts: Iterator[str], most: int) -> Iterator[str]:
    """Lines without their newline; what is longer than `most` comes in parts."""
    rest = ""
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        yield from whole
        if len(rest) > 2 * most:
            *parts, rest = pieces(rest, most)
            yield from parts
    if rest:
        yield rest


def _json_lines(file: Path, texts: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """The values of a JSONL file with their lines."""
    rest, line = "", 0
    for text in texts:
        *whole, rest = (rest + text).split("\n")
        for row in whole:
            line += 1
            if row.strip():
                yield line, _loads(file, row, line)
        if len(rest) > LONGEST:
            raise _too_long(file, line + 1)
    if rest.strip():
        yield line + 1, _loads(file, rest, line + 1)


def _loads(file: Path, row: str, line: int) -> Any:
    try:
        return json.loads(row)
    except json.JSONDecodeError as error:
        raise _no_json(file, line, error.msg, error.pos + 1) from None
    except (ValueError, RecursionError) as error:
        raise _no_json(file, line, str(error)) from None


def _json(file: Path, texts: Iterator[str]) -> Iterator[tuple[int, Any]]:
    """The values of a JSON file with their lines: an array's, or one after another."""
    text = _Buffer(file, texts)
    array = text.sign() == "["
    if array:
        text.at += 1
    first = True
    while sign := text.sign():
        if array and sign == "]":
            text.at += 1
            if text.sign():
                raise text.wrong("something stands behind the end of the array")
            return
        if array and not first:
            if sign != ",":
                raise text.wrong("a comma or ] is missing")
            text.at += 1
            if text.sign() in ("]", ""):
                raise text.wrong("a value is missing behind the comma")
        first = False
        yield text.value()
    if array:
        raise text.wrong("the array does not end")


class _Buffer:
    """A part of a JSON text: what has been read and is not used yet."""

    def __init__(self, file: Path, texts: Iterator[str]) -> None:
        self.file, self.texts = file, texts
        self.text, self.at, self.ended = "", 0, False
        self.line, self._counted, self._before = 1, 0, 0  # `_before` on this line
        self.decode = json.JSONDecoder().raw_decode

    def more(self, wanted: int = 1) -> bool:
        """Read on until `wanted` more characters are there; False at the end."""
        parts, came = [], 0
        while came < wanted and not self.ended:
            part = next(self.texts, None)
            self.ended = part is None
            parts.append(part or "")
            came += len(parts[-1])
        self._count(self.at)
        self._before = self._column(self.at) - 1
        self.text = "".join([self.text[self.at:], *parts])
        self.at = self._counted = 0
        return came > 0

    def sign(self) -> str:
        """The next character that is no blank; empty at the end of the text."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\n\r":
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.more():
                return ""

    def value(self) -> tuple[int, Any]:
        """The value that begins here, and its line."""
        while True:
            size = len(self.text) - self.at
            try:
                value, end = self.decode(self.text, self.at)
            except json.JSONDecodeError as error:
                open_end = error.pos > len(self.text) - 16 or "Untermin" in error.msg
                if self.ended or not open_end:
                    raise self.wrong(error.msg, error.pos) from None
            except (ValueError, RecursionError) as error:
                raise self.wrong(str(error)) from None
            else:
                if end < len(self.text) or self.ended:
                    self._count(self.at)
                    self.at = end
                    return self.line, value
            if size > LONGEST:
                self._count(self.at)
                raise _too_long(self.file, self.line)
            self.more(size)

    def wrong(self, why: str, at: int | None = None) -> StageError:
        """What to raise for a text that is no JSON at a place."""
        at = self.at if at is None else at
        self._count(at)
        return _no_json(self.file, self.line, why, self._column(at))

    def _column(self, at: int) -> int:
        newline = self.text.rfind("\n", 0, at)
        return at - newline if newline >= 0 else self._before + at + 1

    def _count(self, to: int) -> None:
        """Count lines up to a place."""
        self.line += self.text.count("\n", self._counted, to)
        self._counted = max(self._counted, to)


def _text(value: Any, key: str, where: str) -> str:
    """The document in a value: a text, or what an object has under the key."""
    kinds = {bool: "true or false", int: "a number", float: "a number",
             list: "an array", dict: "an object"}
    wrong = f"; a document is a text, or an object that has one under {key!r}"
    if isinstance(value, dict):
        if key not in value:
            keys = ", ".join(map(repr, list(value)[:12])) or "none"
            raise StageError(
                f"{where} has no key {key!r}; its keys are {keys}: name the one of "
                "the text as text_key")
        value, where = value[key], f"{key!r} in {where}"
        wrong = " and no text; name the key of the text as text_key"
    if not isinstance(value, str | None):
        raise StageError(f"{where} is {kinds[type(value)]}{wrong}")
    return value or ""


def _no_json(file: Path, line: int, why: str, column: int = 0) -> StageError:
    place = f"line {line:,}" + (f", column {column:,}" if column else "")
    kind = file.suffix.lower()
    content = "one object a line" if kind == ".jsonl" else "an array of objects"
    return StageError(f"{file.name} is no JSON at {place} ({why}); mend it there: "
                      f"{kind} is {content}")


def _too_long(file: Path, line: int) -> StageError:
    return StageError(
        f"{file.name} holds one value of more than {LONGEST:,} characters, from line "
        f"{line:,} on; write an array of objects, or one object a line as .jsonl")
