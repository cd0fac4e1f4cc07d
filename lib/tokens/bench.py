r"""What the page's tokenizer bench reads: merges, scores, rules and reassigned ids.

The bench (`book/live/tokenizer`) cuts the reader's own text, so each part has to give
back the tokenizer it came from, id by id: merges as they stand in GPT-2's file, scores
as the whole numbers of `QUANTUM` that the model's file holds, rules as prefix and
context. `rebuilt` puts the parts together again in Python, which the tests do.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lib.tokens.bytelevel import stages_in, to_chars
from lib.tokens.distill import unigram_tokenizer
from lib.tokens.scores import QUANTUM
from lib.tokens.sound_cuts import Rule, with_rules

__all__ = ["merges_text", "reassigned_ids", "rebuilt", "unigram_parts"]

_SPECIAL = "<|endoftext|>"


def merges_text(teacher: Tokenizer) -> str:
    """The merges of GPT-2, one a line: the two pieces with a blank between.

    Raises
    ------
    ValueError
        If its ids are not those that the bench counts: 256 bytes in the order of their
        letters, then the merges as they come.
    """
    stages = [(stage["type"], stage.get("use_regex")) for stage in stages_in(teacher)]
    listed = json.loads(teacher.to_str())["model"]["merges"]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in listed]
    written = [teacher.id_to_token(n) for n in range(256 + len(merges))]
    alphabet = sorted(to_chars(bytes(range(256))))
    if stages != [("ByteLevel", True)] or written != [
            *alphabet, *(pair.replace(" ", "") for pair in merges)]:
        raise ValueError(
            "this tokenizer numbers its pieces otherwise than GPT-2, or cuts words "
            "otherwise; the bench reads lib.data.gpt2_tokenizer()"
        )
    return "\n".join(merges)


def unigram_parts(unigram: Tokenizer, rules: Iterable[Rule]) -> dict[str, Any]:
    """The scores of a distilled GPT-2 by id, and its rules.

    ``scores``: whole numbers of `QUANTUM`, in order, the special token left out.

    Raises
    ------
    ValueError
        If a score is no whole number of `QUANTUM`: the page would cut otherwise.
    """
    vocab = json.loads(unigram.to_str())["model"]["vocab"]
    told = [score for piece, score in vocab if piece != _SPECIAL]
    scores = np.round(told).astype(int)
    if not np.array_equal(scores, told):
        raise ValueError(
            "a score is no whole number; export what unigram_tokenizer makes of "
            "whole_pieces"
        )
    return {"scores": " ".join(map(str, scores.tolist())),
            "rules": [[rule.prefix, rule.context, int(rule.whole)] for rule in rules]}


def reassigned_ids(before: Tokenizer, after: Tokenizer) -> list[list[Any]]:
    """The ids that mean another piece after the reassignment: id, piece, score."""
    old, new = (json.loads(t.to_str())["model"]["vocab"] for t in (before, after))
    return [[n, piece, round(score)] for n, ((was, _), (piece, score))
            in enumerate(zip(old, new, strict=True)) if was != piece]


def rebuilt(teacher: Tokenizer, parts: Mapping[str, Any],
            changes: Sequence[Sequence[Any]] = ()) -> Tokenizer:
    """The tokenizer that the exported parts stand for."""
    scores = np.array([*map(int, parts["scores"].split(" "))]) * QUANTUM
    every = np.append(scores, scores.min())  # of the special token
    rules = [Rule(prefix, context, bool(whole))
             for prefix, context, whole in parts["rules"]]
    spec = json.loads(with_rules(unigram_tokenizer(teacher, every), rules).to_str())
    for index, piece, score in changes:
        spec["model"]["vocab"][index] = [piece, float(score)]
    return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
