"""The stage `export`: the distilled and the reassigned tokenizer as others read them.

`export_strings` odd strings prove each form before anything takes its name: what
`transformers`, a browser's library and llama.cpp make of them is compared id by id.
What a form does not promise is measured, on documents of the corpora and on other text.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from lib.commands import say
from lib.data.held_out import EVERY
from lib.data.mixture import gather
from lib.tokens.bytelevel import normalizer_of, to_chars
from lib.tokens.export import ExportError, bare_unigram
from lib.tokens.forms import KEEPS, Proof, ids_of, prove, write_forms
from lib.tokens.odd_strings import odd_strings, readable
from lib.tokens.runtimes import RuntimeRefusal
from lib.vocabulary.merge_list import MergeList, merge_list
from lib.vocabulary.reassign import Rule, RuleError, kept_text, read_rules
from lib.workbench.ivr.artifacts import TREE, Room, StageError
from lib.workbench.ivr.corpora import cleaned
from lib.workbench.ivr.original import original_tokenizer, read_tokenizer
from lib.workbench.ivr.reassigning import RULES

__all__ = ["export", "measured"]

_DOCUMENTS = 2000  # of the corpora, on which forms are compared


def export(options: Any, room: Room) -> dict[str, Any]:
    """Write the forms of both tokenizers, prove them, and measure how they differ.

    Raises
    ------
    StageError
        If a form cannot be written, a reader cannot be had, or one gives other ids
        than it should; nothing is written then.
    """
    root, folder = room.root, room.make(TREE.EXPORTED)
    original = original_tokenizer(root)
    distilled = read_tokenizer(root, TREE.DISTILLED, "distill")
    remapped = read_tokenizer(root, TREE.REMAPPED, "remap")
    source = root / TREE.ORIGINAL
    rows = json.loads((source / "config.json").read_text("utf-8"))["vocab_size"]
    try:
        rules = read_rules(root / RULES, distilled)
        merges = merge_list(original, rules)
        pieces = [text for rule in rules for piece in (rule.new, rule.old)
                  if (text := kept_text(piece))]
        texts = odd_strings(options.export_strings, options.seed, pieces)
        proofs: dict[str, list[Proof]] = {}
        for name, unigram, bpe in (("distilled", distilled, original),
                                   ("reassigned", remapped, merges.tokenizer)):
            missing = write_forms(unigram, bpe, folder / name, source, rows)
            proofs[name] = list(prove(folder / name, unigram, bpe, texts))
    except (ExportError, RuleError, RuntimeRefusal) as error:
        raise StageError(f"export: {error}") from None
    documents = list(islice(cleaned(root), 0, _DOCUMENTS * EVERY, EVERY))
    size = int(1e6 * min(options.general_mb, 1.0))
    parts = gather(size, 0.1) if size else ()
    other = [line for part in parts for document in part
             for line in document.text.splitlines()]
    results = {"export_strings": len(texts),
               "export_readers": sum(map(len, proofs.values())),
               "llama_pattern": missing or "known",
               **measured(original, remapped, merges, rules, documents,
                          [*other, *map(readable, texts)])}
    (folder / "README.md").write_text(_story(proofs, results, merges), "utf-8")
    for form, kept in KEEPS.items():
        if form != "merges.gguf" or not missing:
            say(f"{form} keeps {kept}.")
    if missing:
        say(missing)
    return results


def measured(original: Tokenizer, remapped: Tokenizer, merges: MergeList,
             rules: Sequence[Rule], documents: Sequence[str], others: Sequence[str]
             ) -> dict[str, Any]:
    """How the forms for llama.cpp differ from the reassigned Unigram with rules.

    documents: on which they are compared. others: texts among which those are looked
    for in which no new and no given-up piece stands, which the merges have to cut as
    before.
    """
    exact = ids_of(remapped, documents)
    plain = _without(original, [piece for rule in rules
                                for piece in (rule.new, rule.old)])
    kept = [text for text in dict.fromkeys([*others, *documents]) if plain(text)]
    before, after = ids_of(original, kept), ids_of(merges.tokenizer, kept)
    found: dict[str, Any] = {
        "unmade": len(merges.unmade), "lost": len(merges.lost),
        "bridges": len(merges.bridges),
        "kept_texts": len(kept),
        "kept_same": sum(a == b for a, b in zip(before, after, strict=True)),
        "export_documents": len(documents),
    }
    for name, form in (("merges", merges.tokenizer), ("bare", bare_unigram(remapped))):
        ours = ids_of(form, documents)
        same = np.mean([a == b for a, b in zip(exact, ours, strict=True)])
        longer = sum(map(len, ours)) / max(sum(map(len, exact)), 1) - 1
        found |= {f"{name}_same": 100 * float(same), f"{name}_longer": 100 * longer}
    return found


def _without(original: Tokenizer, pieces: Sequence[bytes]) -> Callable[[str], bool]:
    """Whether none of the pieces stands in a word of a text."""
    sizes = sorted({len(piece) for piece in pieces})
    every = {to_chars(piece) for piece in pieces}
    same, cut = normalizer_of(original), original.pre_tokenizer.pre_tokenize_str

    def plain(text: str) -> bool:
        return not any(word[n:n + size] in every
                       for word in {chars for chars, _ in cut(same(text))}
                       for size in sizes for n in range(len(word) - size + 1))

    return plain


def _story(proofs: dict[str, list[Proof]], results: dict[str, Any],
           merges: MergeList) -> str:
    """What lies in the folder, what it keeps, and the figures."""
    r = results
    kept = "\n".join(f"- `{form}`: {text}." for form, text in KEEPS.items())
    proved = "\n".join(f"| {name} | {proof.form} | {proof.reader} | {proof.texts:,} | "
                       f"{proof.others:,} |"
                       for name, some in proofs.items() for proof in some)
    steps = """
To have merges for all new pieces, choose them with the steps that merges need: run
select with `merge_list` True, then remap and export again.
""" * bool(merges.unmade)
    missing = "" if r["llama_pattern"] == "known" else f"\n{r['llama_pattern']}.\n"
    return f"""\
# Exported tokenizers

What each form keeps:

{kept}

Proved id by id, with {r["export_strings"]:,} strings each:

| tokenizer | form | reader | the same | outside the promise |
|---|---|---|---|---|
{proved}

How the reassigned forms differ from its Unigram with rules, on \
{r["export_documents"]:,} documents of the corpora:

- `merges`: {r["merges_same"]:.2f} % of the documents have the same ids; tokens: \
{r["merges_longer"]:+.2f} %. {r["unmade"]:,} new pieces are made by no merges, \
{r["lost"]:,} old pieces no longer, {r["bridges"]:,} old pieces by a merge of their \
own. Of {r["kept_texts"]:,} texts in which no new and no given-up piece stands, \
{r["kept_same"]:,} have the ids that the original gives.
- `unigram.gguf`: {r["bare_same"]:.2f} % of the documents have the same ids; tokens: \
{r["bare_longer"]:+.2f} %.
{steps}{missing}"""
