r"""A tokenizer in the forms that others read, and what each of them keeps.

**tokenizer.json** with the files that `transformers` wants beside it keeps every id of
every text. The same file is for browsers: it is written in what the two dialects of
regular expressions and the two sets of pre-tokenizers have in common. JavaScript has
another `\s` (with U+FEFF, without U+0085) and digits of ASCII alone where a stage has
its own pattern; so such stages become a `Split` with theirs written out, which the
library for browsers translates right (`\z`, `\x{…}`, `\p{…}`, looks both ways).

**A Unigram in GGUF** keeps pieces, ids and scores. llama.cpp has no pre-tokenizer for
it: the best cut is that of the whole text, without the words and rules of the
pre-tokenizer. Its pieces are compared with text character by character, and ours are
bytes; so the table that normalizes texts there (`precompiled_charsmap`) writes each
byte as the letter that stands for it in our pieces. What it decodes is in these letters
too. It ends a text at U+0000 for that table: one is the piece of that byte, several in
a row are one.

**A BPE in GGUF** keeps every id where llama.cpp has the pattern of the pre-tokenizer
under a name, the text is normalized already, and all its bytes have pieces.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import GGUFWriter, TokenType
from tokenizers import Regex, Tokenizer, normalizers

from lib.tokens.bytelevel import dropped_bytes, keeps_whole, to_bytes, to_chars
from lib.tokens.sound_cuts import written_out

__all__ = ["ExportError", "Frame", "bare_unigram", "charsmap", "for_every_reader",
           "frame_of", "llama_pattern", "write_merges_gguf", "write_unigram_gguf"]

#: What `pre_tokenizers.ByteLevel` cuts by.
GPT2 = (r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
_SHORT = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_END = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
#: Patterns of a `Split` before ByteLevel, and how llama.cpp calls them; the second name
#: is for a BPE that keeps words whole that are pieces (`ignore_merges`).
PATTERNS = {
    rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{_END}": ("qwen2", ""),
    rf"{_SHORT}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}{_END}":
        ("dbrx", "llama-bpe"),
}


class ExportError(ValueError):
    """A tokenizer cannot be written in a form; the message says why, in a sentence."""


@dataclass(frozen=True)
class Frame:
    """What stands around texts: ids of special tokens by role (``bos``, ``eos``, …),
    whether a text begins or ends with one, and the template of a chat."""

    ids: Mapping[str, int]
    begins: bool = False
    ends: bool = False
    template: str = ""


def frame_of(tokenizer: Tokenizer, folder: Path) -> Frame:
    """The frame that ``tokenizer_config.json`` and ``chat_template.jinja`` describe."""
    file = folder / "tokenizer_config.json"
    config = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    names = {role: config.get(f"{role}_token") for role in ("bos", "eos", "unk", "pad")}
    contents = {role: name["content"] if isinstance(name, dict) else name
                for role, name in names.items() if name}
    ids = {role: tokenizer.token_to_id(name) for role, name in contents.items()}
    ids = {role: index for role, index in ids.items() if index is not None}
    around = tokenizer.encode("a").ids
    inside = tokenizer.encode("a", add_special_tokens=False).ids
    template = folder / "chat_template.jinja"
    return Frame(ids, begins=around[:1] == [ids.get("bos")] != inside[:1],
                 ends=around[-1:] == [ids.get("eos")] != inside[-1:],
                 template=template.read_text("utf-8") if template.is_file() else "")


# --- one file for Python and browsers --------------------------------------------


def for_every_reader(tokenizer: Tokenizer) -> Tokenizer:
    """The same tokenizer in what `tokenizers` and `@huggingface/tokenizers` share.

    Raises
    ------
    ExportError
        If its pre-tokenizer has a stage that browsers read differently.
    """
    spec = json.loads(tokenizer.to_str())
    given = spec["pre_tokenizer"]
    stages = given["pretokenizers"] if given["type"] == "Sequence" else [given]
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        common for stage in stages for common in _common(stage)]}
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))


def _common(stage: dict[str, Any]) -> list[dict[str, Any]]:
    kind = stage["type"]
    if kind == "Digits":
        return [_split(r"\p{N}" + "+" * (not stage["individual_digits"]))]
    if kind == "ByteLevel" and stage["use_regex"] and not stage["add_prefix_space"]:
        return [_split(GPT2), stage | {"use_regex": False}]
    shared = kind == "ByteLevel" or (
        kind == "Split" and stage["behavior"] in ("Isolated", "Removed")
        and not stage["invert"])
    if not shared or stage.get("add_prefix_space"):
        raise ExportError(
            f"its pre-tokenizer has a stage {kind} ({json.dumps(stage)[:80]}), which "
            "the library for browsers reads differently; use a tokenizer of ByteLevel, "
            "Digits and Split stages"
        )
    if "Regex" in stage.get("pattern", {}):
        stage = stage | {"pattern": {"Regex": written_out(stage["pattern"]["Regex"])}}
    return [stage]


def _split(pattern: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated",
            "invert": False}


# --- llama.cpp -------------------------------------------------------------------


def bare_unigram(unigram: Tokenizer) -> Tokenizer:
    """What is left of a Unigram in llama.cpp: pieces and scores, no words, no rules."""
    spec = json.loads(unigram.to_str())
    spec |= {"normalizer": None, "pre_tokenizer": None}
    bare = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    never = _never(unigram)
    steps: list[Any] = [normalizers.ByteLevel()]
    if never:
        steps.append(normalizers.Replace(Regex(f"[{to_chars(never)}]"), ""))
    bare.normalizer = normalizers.Sequence(steps)
    return bare


def _never(unigram: Tokenizer) -> bytes:
    """The bytes without a piece."""
    special = {token.content for token in unigram.get_added_tokens_decoder().values()}
    return dropped_bytes(to_bytes(chars) for chars in unigram.get_vocab()
                         if chars not in special)


def charsmap(dropped: bytes = b"") -> bytes:
    r"""A normalization table that writes each byte as its letter, or leaves it out.

    The form is that of SentencePiece: the size of a double array, the array, and the
    replacements, each ended by a zero byte. The node of byte $c$ is $256 \oplus c$; it
    is a leaf, whose value (where its replacement begins) lies in node $512 + c$.

    >>> table = charsmap(b"\x04")
    >>> size = int.from_bytes(table[:4], "little")
    >>> table[4 + size:].split(b"\0")[1:4] == ["ā".encode(), "Ă".encode(), "ă".encode()]
    True
    """
    nodes, replacements = [0] * 768, b"\0"
    nodes[0] = 256 << 10
    for byte in range(1, 256):
        node, value = 256 ^ byte, 512 + byte
        nodes[node] = (node ^ value) << 10 | 1 << 8 | byte
        if byte not in dropped:
            nodes[value] = len(replacements)
            replacements += to_chars(bytes([byte])).encode() + b"\0"
        nodes[value] |= 1 << 31
    array = struct.pack(f"<{len(nodes)}I", *nodes)
    return struct.pack("<I", len(array)) + array + replacements


def write_unigram_gguf(unigram: Tokenizer, file: Path, frame: Frame,
                       rows: int = 0) -> None:
    """Write pieces and scores for llama.cpp, as what it calls t5.

    rows: of the model's embeddings, where they are more than the pieces.
    """
    scores = {chars: score for chars, score
              in json.loads(unigram.to_str())["model"]["vocab"]}
    names, kinds = _tokens(unigram, rows)
    low = min(scores.values()) - 1000
    zero = unigram.token_to_id(to_chars(b"\0"))
    writer = _begun(file, "t5", names, kinds, frame)
    writer.add_token_scores([scores.get(name, low) for name in names])
    writer.add_precompiled_charsmap(charsmap(_never(unigram)))
    writer.add_add_space_prefix(False)
    writer.add_remove_extra_whitespaces(False)
    writer.add_unk_token_id(frame.ids.get("unk", 0) if zero is None else zero)
    _ended(writer)


def llama_pattern(tokenizer: Tokenizer) -> str:
    """How llama.cpp calls what cuts the words of a byte-level BPE.

    Raises
    ------
    ExportError
        If it knows no such pattern.
    """
    given = json.loads(tokenizer.to_str())["pre_tokenizer"]
    stages = given["pretokenizers"] if given["type"] == "Sequence" else [given]
    words = [(stage["type"], stage.get("use_regex"), stage.get("individual_digits"),
              stage.get("add_prefix_space")) for stage in stages]
    whole, plain = keeps_whole(tokenizer), ("ByteLevel", True, None, False)
    name = ""
    if words == [plain] and not whole:
        name = "gpt-2"
    elif words == [("Digits", None, True, None), plain] and not whole:
        name = "smollm"
    elif [word[0] for word in words] == ["Split", "ByteLevel"] and not words[1][1]:
        name = PATTERNS.get(stages[0]["pattern"].get("Regex"), ("", ""))[whole]
    if not name:
        raise ExportError(
            "llama.cpp has no name for its pre-tokenizer "
            f"({', '.join(word[0] for word in words)}), so merges.gguf is not written; "
            "it knows those of GPT-2, SmolLM2, Qwen2 and 3, and Llama 3"
        )
    return name


def write_merges_gguf(bpe: Tokenizer, file: Path, frame: Frame, pattern: str,
                      rows: int = 0) -> None:
    """Write pieces and merges for llama.cpp, as what it calls gpt2.

    pattern: see `llama_pattern`. rows: as for `write_unigram_gguf`.
    """
    names, kinds = _tokens(bpe, rows)
    merges = json.loads(bpe.to_str())["model"]["merges"]
    writer = _begun(file, "gpt2", names, kinds, frame)
    writer.add_tokenizer_pre(pattern)
    writer.add_token_merges([pair if isinstance(pair, str) else " ".join(pair)
                             for pair in merges])
    if "unk" in frame.ids:
        writer.add_unk_token_id(frame.ids["unk"])
    _ended(writer)


def _tokens(tokenizer: Tokenizer, rows: int) -> tuple[list[str], list[int]]:
    """The text and the kind of each id; ids that mean nothing are unused."""
    added = tokenizer.get_added_tokens_decoder()
    chars = {index: text for text, index in tokenizer.get_vocab().items()}
    size = max(rows, *(index + 1 for index in chars))
    names = [chars.get(index, f"[PAD{index}]") for index in range(size)]
    kinds: list[int] = [
        TokenType.CONTROL if index in added and added[index].special else
        TokenType.USER_DEFINED if index in added else
        TokenType.NORMAL if index in chars else TokenType.UNUSED
        for index in range(size)]
    return names, kinds


def _begun(file: Path, model: str, names: list[str], kinds: list[int],
           frame: Frame) -> GGUFWriter:
    writer = GGUFWriter(file, "llama")
    writer.add_tokenizer_model(model)
    writer.add_token_list(names)
    writer.add_token_types(kinds)
    for role, add in (("bos", writer.add_bos_token_id),
                      ("eos", writer.add_eos_token_id),
                      ("pad", writer.add_pad_token_id)):
        if role in frame.ids:
            add(frame.ids[role])
    writer.add_add_bos_token(frame.begins)
    writer.add_add_eos_token(frame.ends)
    if frame.template:
        writer.add_chat_template(frame.template)
    return writer


def _ended(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
