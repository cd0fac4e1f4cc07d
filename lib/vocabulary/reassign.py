"""Reassign ids in place: rules checked line by line, and the tokenizer they make.

`remap_rules.yaml` is a list of rules, each `{id, old, new}`: the id that is given up,
the piece it has meant, the piece it is to mean. A piece is written as text; one that
is not UTF-8 has the tag `!bytes` before its byte-level characters.

    - {id: 43453, old: " SolidGoldMagikarp", new: "영화"}
    - {id: 39752, old: "quickShip", new: !bytes "ìĺ"}

Why a Unigram can do this and a BPE cannot: its pieces do not rest on each other. Of a
text whose old cut has no given-up id, and in whose pre-tokens no new piece stands,
the cut stays as it was, exactly. Take one pre-token. No new piece stands in it, so its
lattice has gained no edge; it may have lost edges, none of them on the best path. At a
node of that path Viterbi keeps the first edge with the highest sum; the edge it kept
is still there with the same sum (by induction from the left), those before it had
lower sums and those after it no higher ones, and taking edges away raises no sum. So
it is kept again, up to the last node. Pre-tokens are cut from the text alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import yaml
from tokenizers import Tokenizer, pre_tokenizers

from lib.commands import stage_command
from lib.tokens.bytelevel import normalizer_of, stages_in
from lib.tokens.distill import QUANTUM, dropped_bytes, to_bytes, to_chars
from lib.tokens.lattice import build_lattices, build_trie, margins

__all__ = ["Rule", "RuleError", "Rules", "check_rules", "kept_text", "left_whole",
           "made_of", "pieces_in", "read_rules", "reassigned_scores", "remap_tokenizer",
           "shown_piece", "unigram_pieces", "unigram_scores", "words_of",
           "write_rules"]

KEYS = ("id", "old", "new")
_HEAD = """\
# Which ids are reassigned: id, the piece it has meant, the piece it is to mean.
# Edit it by hand as you like, then run: {command}
# Put pieces in double quotes: a blank at the beginning is a part of the piece.
# !bytes stands before a piece that is no whole text: one letter for each byte, as
# in byte-level vocabularies. Of equally good cuts, earlier rules have the better.
"""


class RuleError(ValueError):
    """Rules that cannot be carried out; the message names the line and the way out."""


@dataclass(frozen=True)
class Rule:
    """The id ``id``, which has meant the bytes ``old``, is to mean ``new``.

    ``line``: where the rule stands in its file; 0 where it is from no file.
    """

    id: int
    old: bytes
    new: bytes
    line: int = 0


Rules = tuple[Rule, ...]


def _model(tokenizer: Tokenizer) -> dict[str, Any]:
    spec = json.loads(tokenizer.to_str())
    if spec["model"]["type"] != "Unigram":
        raise RuleError(
            f"a {spec['model']['type']} tokenizer came, whose pieces rest on each "
            "other; reassign in the Unigram that lib.tokens.distill.distill makes of it"
        )
    return spec


def unigram_pieces(tokenizer: Tokenizer) -> list[bytes]:
    """The bytes of every piece by id; empty for special tokens.

    Raises
    ------
    RuleError
        If the tokenizer's model is no Unigram.
    """
    special = {token.content
               for token in tokenizer.get_added_tokens_decoder().values()}
    return [b"" if chars in special else to_bytes(chars)
            for chars, _ in _model(tokenizer)["model"]["vocab"]]


def unigram_scores(tokenizer: Tokenizer) -> np.ndarray:
    """The score of every piece by id; see `lib.tokens.distill.unigram_tokenizer`."""
    told = [score for _, score in _model(tokenizer)["model"]["vocab"]]
    return np.array(told) * QUANTUM


def kept_text(piece: bytes) -> str | None:
    """The text of a piece; None where its bytes are no whole UTF-8.

    >>> kept_text("영".encode()), kept_text("영".encode()[:2])
    ('영', None)
    """
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return None


def shown_piece(piece: bytes) -> str:
    """A piece as rules write it.

    >>> shown_piece(" 영화".encode()), shown_piece(b"\\xec\\x98")
    ('" 영화"', '!bytes "ìĺ"')
    """
    text = kept_text(piece)
    quoted = yaml.dump(to_chars(piece) if text is None else text, allow_unicode=True,
                       default_style='"', width=1 << 20).rstrip("\n")
    return quoted if text is not None else f"!bytes {quoted}"


def write_rules(rules: Iterable[Rule], path: Path) -> None:
    """Write rules as `read_rules` reads them, one a line."""
    lines = [f"- {{id: {rule.id}, old: {shown_piece(rule.old)}, "
             f"new: {shown_piece(rule.new)}}}\n" for rule in rules]
    head = _HEAD.format(command=stage_command("remap"))
    path.write_text(head + "".join(lines), encoding="utf-8", newline="\n")


# --- reading ---------------------------------------------------------------------


def read_rules(path: Path, tokenizer: Tokenizer, most: int | None = None) -> Rules:
    """The rules of a file, checked against the Unigram they are for.

    Parameters
    ----------
    path
        A file of rules, in UTF-8.
    tokenizer
        The Unigram whose ids are to be reassigned.
    most
        The highest number of rules; None: any.

    Raises
    ------
    RuleError
        With the line of the first thing that cannot be carried out.
    """
    rules = _read(path)
    check_rules(rules, tokenizer, path.name, most)
    return rules


def pieces_in(path: Path) -> list[bytes]:
    """The new pieces of a file of rules, of which only the form has been checked.

    Raises
    ------
    RuleError
        With the line of the first thing that is no rule.
    """
    return [rule.new for rule in _read(path)]


def _read(path: Path) -> Rules:
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise RuleError(
            f"{path.name} is not there; run {stage_command('select')} first"
        ) from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise RuleError(
            f"{path.name}, line {line}: byte 0x{raw[error.start]:02x} is not UTF-8; "
            "save the file as UTF-8"
        ) from None
    return tuple(_parsed(text, path.name))


def _parsed(text: str, name: str) -> Iterable[Rule]:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise RuleError(
            f"{name}, line {line}: the character U+{error.character:04X} cannot stand "
            "in YAML as it is; write it as an escape in double quotes"
        ) from None
    except yaml.MarkedYAMLError as error:
        mark = cast(yaml.Mark, error.problem_mark or error.context_mark)
        raise RuleError(
            f"{name}, line {mark.line + 1}: this is not YAML ({error.problem}); write "
            'rules as - {id: 7, old: "…", new: "…"}'
        ) from None
    if root is None or root.value in ([], ""):
        raise RuleError(
            f"{name} is empty; write at least one rule, or run "
            f"{stage_command('select')}"
        )
    if not isinstance(root, yaml.SequenceNode):
        raise RuleError(
            f"{name}, line {root.start_mark.line + 1}: this is no list of rules; begin "
            'each with a dash: - {id: 7, old: "…", new: "…"}'
        )
    for node in root.value:
        yield _rule(node, name)


def _rule(node: yaml.Node, name: str) -> Rule:
    line = node.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        raise RuleError(
            f"{name}, line {line}: this is no rule; write id, old and new: "
            '- {id: 7, old: "…", new: "…"}'
        )
    given: dict[str, yaml.Node] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise RuleError(
                f"{name}, line {key.start_mark.line + 1}: a list or a table stands "
                "where a name is due; a rule has id, old and new, once each"
            )
        if key.value not in KEYS or key.value in given:
            what = "comes twice" if key.value in given else "is not known"
            raise RuleError(
                f"{name}, line {key.start_mark.line + 1}: {key.value!r} {what}; a rule "
                "has id, old and new, once each"
            )
        given[key.value] = value
    for key in KEYS:
        if key not in given:
            raise RuleError(f"{name}, line {line}: {key} is missing; a rule has id, "
                            "old and new")
    old, new = (_piece(given[key], key, name) for key in ("old", "new"))
    number = given["id"]
    if not (isinstance(number, yaml.ScalarNode)
            and re.fullmatch(r"[0-9]{1,9}", number.value)):
        shown = getattr(number, "value", None)
        raise RuleError(
            f"{name}, line {number.start_mark.line + 1}: id {shown!r} is no whole "
            "number; write the id that is given up"
        )
    return Rule(int(number.value), old, new, line)


def _piece(node: yaml.Node, key: str, name: str) -> bytes:
    where = f"{name}, line {node.start_mark.line + 1}"
    if not isinstance(node, yaml.ScalarNode):
        raise RuleError(f"{where}: {key} is no text; write it in double quotes")
    if node.tag == "!bytes":
        try:
            return to_bytes(node.value)
        except KeyError as error:
            raise RuleError(
                f"{where}: {chr(error.args[0])!r} stands for no byte; after !bytes "
                "write the characters of byte-level vocabularies"
            ) from None
    try:
        return node.value.encode()
    except UnicodeEncodeError as error:
        raise RuleError(
            f"{where}: {key} holds U+{ord(node.value[error.start]):04X}, half a "
            "character, which UTF-8 cannot write; write whole characters, or !bytes"
        ) from None


# --- checking --------------------------------------------------------------------


def _before_bytes(tokenizer: Tokenizer) -> pre_tokenizers.PreTokenizer:
    """Its pre-tokenizer up to where text becomes bytes."""
    stages = stages_in(tokenizer)
    kinds = [stage["type"] for stage in stages]
    if "ByteLevel" in kinds:
        stages = stages[:kinds.index("ByteLevel") + 1]
    return made_of(stages)


def words_of(tokenizer: Tokenizer) -> Callable[[str], list[str]]:
    """The words into which a text is cut before pieces are looked for.

    A new piece of which this makes more than one word would never be used.
    """
    cut = _before_bytes(tokenizer).pre_tokenize_str
    return lambda text: [to_bytes(chars).decode(errors="replace")
                         for chars, _ in cut(text)]


def left_whole(tokenizer: Tokenizer, pieces: Iterable[bytes]) -> list[bytes]:
    """Those of the pieces that could be used at all: no border is set within them."""
    cut = words_of(tokenizer)
    texts = ((piece, kept_text(piece)) for piece in pieces)
    return [piece for piece, text in texts if text is None or len(cut(text)) == 1]


def check_rules(rules: Sequence[Rule], tokenizer: Tokenizer,
                name: str = "the rules", most: int | None = None) -> None:
    """Raise where a rule cannot be carried out, or contradicts one before it.

    Raises
    ------
    RuleError
        Which rule, what is wrong with it and what to do.
    """
    pieces = unigram_pieces(tokenizer)
    ids = {piece: index for index, piece in enumerate(pieces) if piece}
    special = {index: token.content for index, token
               in tokenizer.get_added_tokens_decoder().items()}
    cut, normalized = words_of(tokenizer), normalizer_of(tokenizer)
    olds: dict[int, Rule] = {}
    news: dict[bytes, Rule] = {}
    if not rules:
        raise RuleError(f"{name} is empty; write at least one rule")
    for n, rule in enumerate(rules):
        def fail(problem: str, rule: Rule = rule, n: int = n) -> None:
            at = f"line {rule.line}" if rule.line else f"rule {n + 1}"
            raise RuleError(f"{name}, {at}: {problem}")

        if most is not None and n >= most:
            fail(f"this is rule {n + 1} and at most {most} may be; take some out")
        if rule.id in special or rule.old.decode(errors="replace") in special.values():
            what = special.get(rule.id) or rule.old.decode()
            fail(f"{what} is a special token and keeps its id; give up another token")
        if rule.id >= len(pieces):
            fail(f"id {rule.id} is not in the vocabulary, whose ids end at "
                 f"{len(pieces) - 1}; write the id of the token that is given up")
        if not rule.old or not rule.new:
            fail(f"{'new' if rule.old else 'old'} is empty; write a piece of at least "
                 "one byte")
        if rule.old not in ids:
            fail(f"{shown_piece(rule.old)} is not in the vocabulary; id {rule.id} "
                 f"means {shown_piece(pieces[rule.id])}: write that as old, or the id "
                 "of the token that is meant")
        if ids[rule.old] != rule.id:
            fail(f"id {rule.id} means {shown_piece(pieces[rule.id])}, and "
                 f"{shown_piece(rule.old)} has id {ids[rule.old]}; make them agree")
        if len(rule.old) == 1:
            fail(f"{shown_piece(rule.old)} is a single byte, which spells what no "
                 "other piece does, and keeps its id; give up another token")
        if first := olds.get(rule.id):
            fail(f"id {rule.id} is given up twice{_also(first)}; take one of the rules "
                 "out")
        if rule.new in ids:
            fail(f"{shown_piece(rule.new)} is in the vocabulary already, with id "
                 f"{ids[rule.new]}; write a new piece")
        if first := news.get(rule.new):
            fail(f"{shown_piece(rule.new)} comes twice{_also(first)}; a piece has one "
                 "id: take one of the rules out")
        olds[rule.id] = news[rule.new] = rule
        text = kept_text(rule.new)
        if text is None:
            continue
        if token := next((t for t in special.values() if t in text), None):
            fail(f"{shown_piece(rule.new)} holds the special token {token}, which is "
                 "cut out of every text before; write another piece")
        if (read := normalized(text)) != text and text not in read:
            fail(f"{shown_piece(rule.new)} would never be used, because the tokenizer "
                 f"turns it into {shown_piece(read.encode())} before pieces are looked "
                 "for; write a piece that it leaves as it is")
        if len(parts := cut(text)) > 1:
            fail(f"{shown_piece(rule.new)} would never be used, because text is cut "
                 f"into {' | '.join(parts)} before pieces are looked for; write a "
                 "piece without such a border")


def _also(first: Rule) -> str:
    return f", here and in line {first.line}" if first.line else ""


# --- the tokenizer ---------------------------------------------------------------


def reassigned_scores(pieces: Sequence[bytes], scores: np.ndarray,
                      new: Sequence[int]) -> np.ndarray:
    r"""Scores for the pieces with the ids ``new``; all others keep theirs.

    Fewest tokens are asked for, so every new piece has about the same score $c$. One
    of them beats two old ones if $c > 2\max s$, and one old piece beats two of them
    if $2c < \min s$; $c$ is the middle between the two bounds (without the outermost
    thousandths of the old scores). Of equal cuts the one with earlier pieces wins:

    $$ s(\text{new}_k) = c - \tfrac{1}{16}\log_2(k + 1), \quad
       c = \max s + \tfrac14 \min s $$

    for $k = 0, 1, \dots$ A new piece whose own parts would beat it is raised above
    them.

    Parameters
    ----------
    pieces
        The bytes by id after the reassignment; empty for special tokens.
    scores
        The scores by id before it.
    new
        The ids that are reassigned, the best piece first.
    """
    made = scores.astype(np.float64).copy()
    taken = set(new)
    old = [i for i in range(len(pieces)) if pieces[i] and i not in taken]
    low, high = np.quantile(made[old], [0.001, 0.999])
    k = np.arange(len(new))
    constant = high + low / 4
    made[list(new)] = np.round((constant - np.log2(k + 1) / 16) / QUANTUM) * QUANTUM
    trie = build_trie(list(pieces))
    for length in sorted({len(pieces[i]) for i in new} - {1}):
        same = [i for i in new if len(pieces[i]) == length]
        words = build_lattices(trie, [pieces[i] for i in same], [[i] for i in same])
        short = 4 * QUANTUM - margins(words, made)
        made[same] += np.maximum(short, 0)
    return made


def remap_tokenizer(unigram: Tokenizer, rules: Sequence[Rule]) -> Tokenizer:
    """The Unigram with the ids of ``rules`` reassigned; its size stays.

    Every other id keeps piece and score; the pre-tokenizer keeps its rules, but that
    a byte which had no piece and gets one is no longer left out of texts.

    Raises
    ------
    RuleError
        If a rule cannot be carried out.
    """
    check_rules(rules, unigram)
    spec = _model(unigram)
    pieces, before = unigram_pieces(unigram), dropped_bytes(unigram_pieces(unigram))
    for rule in rules:
        pieces[rule.id] = rule.new
    scores = reassigned_scores(pieces, unigram_scores(unigram),
                               [rule.id for rule in rules])
    for rule in rules:
        spec["model"]["vocab"][rule.id] = [to_chars(rule.new),
                                           float(scores[rule.id]) / QUANTUM]
    made = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    if before != dropped_bytes(pieces):
        made.pre_tokenizer = _leave_out(stages_in(unigram), before,
                                        dropped_bytes(pieces))
    return made


def _leave_out(stages: list[dict[str, Any]], before: bytes, now: bytes
               ) -> pre_tokenizers.PreTokenizer:
    """The pre-tokenizer that leaves out the bytes ``now`` where it did ``before``."""
    steps = []
    for step in stages:
        if step["type"] == "Split" and step["behavior"] == "Removed" and (
            step["pattern"] == {"Regex": _any_of(before)}
        ):
            if not now:
                continue
            step = step | {"pattern": {"Regex": _any_of(now)}}
        steps.append(step)
    return made_of(steps)


def _any_of(dropped: bytes) -> str:
    return "[" + "".join(f"\\x{{{ord(c):x}}}" for c in to_chars(dropped)) + "]"


def made_of(stages: list[dict[str, Any]]) -> pre_tokenizers.PreTokenizer:
    """The pre-tokenizer that has these stages."""
    whole = stages[0] if len(stages) == 1 else {"type": "Sequence",
                                                "pretokenizers": stages}
    shell = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
             "normalizer": None, "post_processor": None, "decoder": None,
             "pre_tokenizer": whole,
             "model": {"type": "Unigram", "unk_id": None, "vocab": [["a", 0.0]],
                       "byte_fallback": False}}
    return Tokenizer.from_str(json.dumps(shell)).pre_tokenizer
