"""Which tokenizers can be distilled, and why another one cannot: told before any work.

A student is right where its words, its bytes and its pieces are those of the teacher.
What a tokenizer file can hold besides is named here, rather than cut differently.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer

from lib.tokens.bytelevel import dropped_bytes, piece_bytes

__all__ = ["expect_teacher", "reasons"]

#: Bytes that a vocabulary may lack: control characters, which hardly stand within a
#: word, and what UTF-8 needs for no character that is written.
UNUSED = {*range(0x20), 0x7F, 0xC0, 0xC1, 0xF1, 0xF2, *range(0xF4, 0x100)} - {
    *b"\t\n\r"}

#: Texts in NFC that normalizers and decoders are apt to change.
PROBES = ("The", "Été", "½ ﬁ", "don 't .", "a  b\t\n", "한국어")


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
    if found := list(reasons(tokenizer, layer, keeps)):
        raise ValueError(
            f"this tokenizer cannot be distilled: {'; '.join(found)}. Distillation "
            "starts from a byte-level BPE, such as those of smollm2 and gpt2"
        )


def reasons(tokenizer: Tokenizer, layer: bool = True,
            keeps: bool = False) -> Iterator[str]:
    """Why a tokenizer cannot be distilled, one after another; nothing where it can."""
    spec = json.loads(tokenizer.to_str())
    try:
        pieces = piece_bytes(tokenizer)
    except ValueError as error:
        yield str(error).partition(";")[0]
        return
    yield from _model(spec["model"])
    yield from _vocabulary(tokenizer, spec["model"], pieces)
    yield from _cutting(spec["pre_tokenizer"], layer)
    if keeps:
        yield from _keeping(tokenizer)


def _keeping(tokenizer: Tokenizer) -> Iterator[str]:
    for text in PROBES:
        ids = tokenizer.encode(text, add_special_tokens=False).ids
        if (back := tokenizer.decode(ids, skip_special_tokens=False)) != text:
            yield f"it gives {text!r} back as {back!r}"
            return


def _model(model: dict[str, Any]) -> Iterator[str]:
    if model.get("dropout"):
        yield f"its dropout {model['dropout']} draws the cuts by chance"
    for name in ("continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(name):
            yield f"its {name} {model[name]!r} makes pieces depend on their place"


def _vocabulary(tokenizer: Tokenizer, model: dict[str, Any],
                pieces: list[bytes]) -> Iterator[str]:
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


def _cutting(pre_tokenizer: dict[str, Any] | None, layer: bool) -> Iterator[str]:
    if pre_tokenizer is None:
        yield "it has no pre-tokenizer, which cuts text into words"
        return
    stages = (pre_tokenizer["pretokenizers"] if pre_tokenizer["type"] == "Sequence"
              else [pre_tokenizer])
    kinds = [stage["type"] for stage in stages]
    if kinds.count("ByteLevel") != 1:
        yield f"its pre-tokenizer ({', '.join(kinds)}) has not one stage ByteLevel"
        return
    last = stages[kinds.index("ByteLevel")]
    before = stages[:kinds.index("ByteLevel")]
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
