"""The stages `select` and `remap`: which ids are reassigned, and the tokenizer then."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from tokenizers import Tokenizer

from lib.data.held_out import EVERY, HeldOut
from lib.data.mixture import gather
from lib.tokens.distill import count_words
from lib.vocabulary.merge_list import with_steps
from lib.vocabulary.reassign import (
    RuleError,
    kept_text,
    read_rules,
    remap_tokenizer,
    unigram_pieces,
    unigram_scores,
    write_rules,
)
from lib.vocabulary.select import Selection, lengths, select_pieces, uses_of
from lib.workbench.ivr.artifacts import TREE, Room, StageError, stage_errors
from lib.workbench.ivr.corpora import cleaned
from lib.workbench.ivr.original import (
    original_tokenizer,
    read_tokenizer,
    write_tokenizer,
)

RULES = f"{TREE.REPORTS}/remap_rules.yaml"
CANDIDATES = f"{TREE.REPORTS}/replacement_candidates.csv"
LOG = f"{TREE.REPORTS}/selection_log.md"


def select(options: Any, room: Room) -> dict[str, Any]:
    """Choose tokens to give up and pieces to put in their places.

    Writes `replacement_candidates.csv`, `selection_log.md` and `remap_rules.yaml`.
    Raises StageError if no token would be saved.
    """
    unigram = read_tokenizer(room.root, TREE.DISTILLED, "distill")
    aside = list(islice(cleaned(room.root), 0, None, EVERY))  # nothing is chosen by it
    held, other = HeldOut(aside), HeldOut(aside)
    domain = count_words(unigram, held.without(
        text for n, text in enumerate(cleaned(room.root)) if n % EVERY))
    documents, more = gather(int(options.general_mb * 1e6), 0.1)
    general = count_words(unigram, other.without(
        document.text for document in documents + more))
    with stage_errors(ValueError):
        chosen = select_pieces(unigram, domain, general, share=options.share,
                               least=options.least, seed=options.seed)
    if options.merge_list:
        chosen = _within_merges(chosen, original_tokenizer(room.root))
    if not chosen.rules:
        raise StageError(
            f"no piece that occurs {options.least} times would save a token; give "
            "longer corpora to init, or a lower -p least")
    remapped = remap_tokenizer(unigram, chosen.rules)
    results = _measured(chosen, original_tokenizer(room.root), unigram, remapped,
                        domain, general, aside)
    results |= {"domain_left_out": held.lines, "general_left_out": other.lines}
    _write_candidates(chosen, room.make(CANDIDATES))
    room.make(LOG).write_text(_log(results, chosen), encoding="utf-8", newline="\n")
    write_rules(chosen.rules, room.make(RULES))
    return results


def _within_merges(chosen: Selection, original: Tokenizer) -> Selection:
    """The selection with the steps by way of which merges reach its pieces."""
    new = with_steps(original, [rule.new for rule in chosen.rules], len(chosen.rules))
    rules = tuple(replace(rule, new=piece)
                  for rule, piece in zip(chosen.rules, new, strict=False))
    return replace(chosen, rules=rules, given_up=chosen.given_up[:len(rules)])


def _measured(chosen: Selection, original: Tokenizer, unigram: Tokenizer,
              remapped: Tokenizer, domain: Counter[bytes], general: Counter[bytes],
              aside: Sequence[str]) -> dict[str, Any]:
    """The key results: what is given up, and what the domain and the rest get."""
    before, after = (
        [int((uses_of(unigram_pieces(model), unigram_scores(model), words)).sum())
         for words in (domain, general)] for model in (unigram, remapped))
    old, new = lengths(original, aside), lengths(remapped, aside)
    used = sum(token.uses > 0 for token in chosen.given_up)
    return {"reassigned": len(chosen.rules), "candidates": chosen.candidates,
            "missing_bytes": len(chosen.missing), "given_up_used": used,
            "domain_tokens": before[0], "domain_saved": _share(before[0], after[0]),
            "held_out_documents": len(aside), "held_out_tokens": int(old.sum()),
            "held_out_saved": _share(int(old.sum()), int(new.sum())),
            "held_out_longer": int((new > old).sum()),
            "general_tokens": before[1], "general_saved": _share(before[1], after[1])}


def _share(before: int, after: int) -> float:
    """Per cent of the tokens that are saved."""
    return 100 * (1 - after / before) if before else 0.0


def _write_candidates(chosen: Selection, path: Any) -> None:
    saved = dict(zip(chosen.found.pieces,
                     zip(chosen.found.saved, chosen.found.uses, strict=True),
                     strict=True))
    with open(path, "w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["id", "given_up", "given_up_uses", "given_up_cost", "new",
                        "new_uses", "new_saves"])
        for rule, token in zip(chosen.rules, chosen.given_up, strict=True):
            saves, uses = saved.get(rule.new, (0, 0))
            table.writerow([rule.id, _cell(rule.old), token.uses, token.cost,
                            _cell(rule.new), uses, saves])


def _cell(piece: bytes) -> str:
    """A piece in a table: its text where it can be seen, else its bytes in hex.

    >>> _cell(b" a"), _cell(b"\\x1d")
    (' a', 'bytes 1d')
    """
    text = kept_text(piece)
    return text if text and text.isprintable() else f"bytes {piece.hex(' ')}"


def _log(results: Mapping[str, Any], chosen: Selection) -> str:
    r = results
    first = ", ".join(f"`{_cell(rule.new)}`" for rule in chosen.rules[:20])
    gone = ", ".join(f"`{_cell(token.piece)}`" for token in chosen.given_up[:20])
    return f"""\
# Selection

- {r["reassigned"]} tokens are given up for as many new pieces, chosen from \
{r["candidates"]} candidates; {r["missing_bytes"]} of the new ones are bytes that the \
vocabulary lacked.
- Of the tokens given up, the domain and the general text used {r["given_up_used"]}.
- The domain takes {r["domain_saved"]:.2f} % fewer tokens than before (of \
{r["domain_tokens"]}); the documents kept aside {r["held_out_saved"]:.2f} % fewer than \
under the original tokenizer (of {r["held_out_tokens"]} in {r["held_out_documents"]} \
documents, of which {r["held_out_longer"]} have become longer).
- The general text takes {r["general_saved"]:.3f} % fewer tokens (of \
{r["general_tokens"]}).

The most useful new pieces: {first}.

Given up first: {gone}.
"""


def remap(options: Any, room: Room) -> dict[str, Any]:
    """Reassign the ids that `remap_rules.yaml` names, all or none."""
    unigram = read_tokenizer(room.root, TREE.DISTILLED, "distill")
    with stage_errors(RuleError):
        rules = read_rules(room.root / RULES, unigram)
        remapped = remap_tokenizer(unigram, rules)
    write_tokenizer(remapped, room.make(TREE.REMAPPED), room.root)
    return {"reassigned": len(rules),
            "vocabulary": remapped.get_vocab_size(with_added_tokens=True)}
