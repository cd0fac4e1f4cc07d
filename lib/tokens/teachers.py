"""Which tokenizers can be distilled, and why another one cannot: told before any work.

A student is right where its words, its bytes and its pieces are those of the teacher.
What a tokenizer file can hold besides is named here, rather than cut differently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer

from lib.tokens.bytelevel import dropped_bytes, piece_bytes, to_bytes
from lib.tokens.sentencepiece import BYTES, falls_back

__all__ = ["expect_settings", "expect_teacher", "reasons"]

#: Bytes that a vocabulary may lack: control characters, which hardly stand within a
#: word, and what UTF-8 needs for no character that is written.
UNUSED = {*range(0x20), 0x7F, 0xC0, 0xC1, 0xF1, 0xF2, *range(0xF4, 0x100)} - {
    *b"\t\n\r"}

#: Texts in NFC that normalizers and decoders are apt to change.
PROBES = ("The", "Été", "½ ﬁ", "don 't .", "a  b\t\n", "한국어")

#: Normalizers that make a text of a text; a student has the same ones.
NORMALIZERS = frozenset((
    "BertNormalizer", "Lowercase", "NFC", "NFD", "NFKC", "NFKD", "Nmt", "Precompiled",
    "Prepend", "Replace", "Strip", "StripAccents"))
#: Pre-tokenizers that cut a text, take something away or write ▁ for a blank; a student
#: has them before its own.
CUTTERS = frozenset((
    "BertPreTokenizer", "CharDelimiterSplit", "Digits", "FixedLength", "Metaspace",
    "Punctuation", "Split", "UnicodeScripts", "Whitespace", "WhitespaceSplit"))


def expect_teacher(tokenizer: Tokenizer, layer: bool = True,
                   keeps: bool = False) -> None:
    """Refuse a tokenizer that `lib.tokens.distill.distill` would not get right.

    layer: whether rules are to be written into its pre-tokenizer. keeps: whether texts
    have to come back from their ids as they were.

    Raises
    ------
    ValueError
        With all the reasons.
    """
    _refuse(reasons(tokenizer, layer, keeps))


def expect_settings(spec: Mapping[str, Any]) -> None:
    """Refuse what the settings of a ``tokenizer.json`` tell, before a model is built.

    Raises
    ------
    ValueError
        With all the reasons.
    """
    _refuse(_settings(spec))


def _refuse(why: Iterator[str]) -> None:
    if every := "; ".join(why):
        raise ValueError(
            f"this tokenizer cannot be distilled: {every}. Distillation starts from a "
            "byte-level BPE, such as those of smollm2 and gpt2, or a SentencePiece BPE "
            "that falls back to bytes"
        )


def reasons(tokenizer: Tokenizer, layer: bool = True,
            keeps: bool = False) -> Iterator[str]:
    """Why a tokenizer cannot be distilled, one after another; nothing where it can."""
    kind = type(tokenizer.model).__name__
    if kind != "BPE":  # a large one takes seconds to be written out
        yield _no_bpe(kind)
        return
    spec = json.loads(tokenizer.to_str())
    yield from _settings(spec)
    if falls_back(tokenizer):
        yield from _characters(tokenizer, spec)
    elif strange := _no_bytes(tokenizer, spec["model"]):
        yield strange
        return
    else:
        yield from _bytes(tokenizer, spec["model"])
        yield from _cutting(spec["pre_tokenizer"], layer)
    if keeps:
        yield from _keeping(tokenizer)


def _no_bpe(kind: str) -> str:
    return f"a {kind} tokenizer came"


def _stages(part: Mapping[str, Any] | None, name: str) -> list[Mapping[str, Any]]:
    """The members of a sequence, however deep; none of nothing."""
    if part is None:
        return []
    if part["type"] != "Sequence":
        return [part]
    return [stage for member in part[name] for stage in _stages(member, name)]


def _settings(spec: Mapping[str, Any]) -> Iterator[str]:
    model = spec["model"]
    kind = model.get("type") or ("BPE" if "merges" in model else "nameless")
    if kind != "BPE":
        yield _no_bpe(kind)
        return
    if model.get("dropout"):
        yield f"its dropout {model['dropout']} draws the cuts by chance"
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            yield f"its {name} {model[name]!r} makes pieces depend on their place"
    for stage in _stages(spec.get("normalizer"), "normalizers"):
        if stage["type"] not in NORMALIZERS:
            yield (f"its normalizer {stage['type']} does to texts what is not known "
                   "here")
    for stage in _stages(spec.get("pre_tokenizer"), "pretokenizers"):
        if stage["type"] not in CUTTERS | {"ByteLevel"}:
            yield (f"its pre-tokenizer {stage['type']} does to words what is not known "
                   "here")


def _keeping(tokenizer: Tokenizer) -> Iterator[str]:
    for text in PROBES:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if (back := tokenizer.decode(ids, skip_special_tokens=False)) != text:
            yield f"it gives {text!r} back as {back!r}"
            return


def _holes(tokenizer: Tokenizer) -> Iterator[str]:
    for index in range(tokenizer.get_vocab_size(with_added_tokens=True)):
        if tokenizer.id_to_token(index) is None:
            yield f"its ids have holes, such as {index}"
            return


# --- characters ------------------------------------------------------------------


def _no_bytes(tokenizer: Tokenizer, model: Mapping[str, Any]) -> str:
    """Why a BPE is of neither kind; empty where its pieces are bytes."""
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    strange = next((piece for piece in model["vocab"] if piece not in special
                    and not _spells(piece)), None)
    if strange is None:
        return ""
    missing = [name for name in BYTES if name not in model["vocab"]]
    why = ("its byte_fallback is off" if not model.get("byte_fallback") else
           f"{len(missing)} of the pieces <0x00> to <0xFF> are missing, such as "
           f"{missing[0]}")
    return f"a BPE came whose pieces are no bytes, such as {strange!r}, and {why}"


def _spells(piece: str) -> bool:
    try:
        return bool(to_bytes(piece))
    except KeyError:
        return False


def _characters(tokenizer: Tokenizer, spec: Mapping[str, Any]) -> Iterator[str]:
    model, special = spec["model"], {token["content"] for token in spec["added_tokens"]}
    vocab = model["vocab"]
    yield from _holes(tokenizer)
    for piece in vocab.keys() - special - {*BYTES}:
        if lone := [char for char in piece if char not in vocab]:
            yield f"its piece {piece!r} holds {lone[0]!r}, which has no piece alone"
            break
    pairs = (pair if isinstance(pair, list) else pair.split(" ")
             for pair in model["merges"])
    if pair := next((pair for pair in pairs if not {*BYTES}.isdisjoint(pair)), None):
        yield f"it merges bytes, such as {' and '.join(pair)}"
    stages = [stage["type"] for stage in _stages(spec["pre_tokenizer"],
                                                 "pretokenizers")]
    if "ByteLevel" in stages:
        yield "its ByteLevel writes text in bytes, but its pieces are characters"
    if model.get("ignore_merges") and not stages:
        yield ("its ignore_merges keeps a whole text that is a piece, and no "
               "pre-tokenizer cuts text into words")


# --- bytes -----------------------------------------------------------------------


def _bytes(tokenizer: Tokenizer, model: Mapping[str, Any]) -> Iterator[str]:
    pieces = piece_bytes(tokenizer)
    dropped = dropped_bytes(pieces)
    missing = [byte for byte in dropped if byte not in UNUSED]
    if missing:
        some = " ".join(f"{byte:02X}" for byte in missing[:4])
        yield (f"it has no piece for {len(missing)} of the bytes that text is written "
               f"with ({some}{' …' if len(missing) > 4 else ''})")
    elif dropped and (model.get("unk_token") or model.get("byte_fallback")):
        name = "unk_token" if model.get("unk_token") else "byte_fallback"
        yield f"its {name} stands for {len(dropped)} bytes without a piece"
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values()}
    if empty := [index for index, piece in enumerate(pieces)
                 if not piece and tokenizer.id_to_token(index) not in special]:
        yield f"its ids have holes, such as {empty[0]}"


def _cutting(pre_tokenizer: Mapping[str, Any] | None, layer: bool) -> Iterator[str]:
    if pre_tokenizer is None:
        yield "it has no pre-tokenizer, which cuts text into words"
        return
    stages = (pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence"
              else [pre_tokenizer])
    kinds = [stage["type"] for stage in stages]
    if kinds.count("ByteLevel") != 1:
        yield f"its pre-tokenizer ({', '.join(kinds)}) has not one stage ByteLevel"
        return
    at = kinds.index("ByteLevel")
    last, before = stages[at], stages[:at]
    if layer and stages[at + 1:]:
        yield (f"its pre-tokenizer ({', '.join(kinds)}) cuts words once more behind "
               "ByteLevel, where rules would not see it (layer False does without)")
    if layer and not last["use_regex"]:
        splits = [stage for stage in before if stage["type"] == "Split"]
        if not splits:
            yield (f"nothing in its pre-tokenizer ({', '.join(kinds)}) cuts text into "
                   "words before ByteLevel (layer False does without)")
        if any(stage["behavior"] != "Isolated" or stage["invert"] for stage in splits):
            yield "its Split takes text away or joins it, and has to isolate words"
    if layer and last["add_prefix_space"]:
        yield ("its pre-tokenizer puts a blank in front of text, where rules cannot "
               "be written yet (layer False does without)")
