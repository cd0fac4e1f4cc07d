"""How the forms of an exported tokenizer differ, on what they promise and what not.

    python -m benchmarks.export                       a JSON object a row
    python -m benchmarks.export --teachers gpt2 --documents 4000
    python -m benchmarks.export --keep DIR            reads what is there already

Each teacher is distilled from reviews and gathered text, its ids are reassigned to
Korean pieces with and without the steps that merges need, and all forms are written and
read back by `transformers`, `@huggingface/tokenizers` and llama.cpp. One document in
twenty is kept aside: the forms are compared on those. See benchmarks/README.md.
"""

import argparse
import datetime
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from tokenizers import Tokenizer

from lib import data
from lib.data.mixture import gather
from lib.data.tokenizer_files import load_tokenizer
from lib.tokens.distill import count_words, distill
from lib.tokens.export import ExportError
from lib.tokens.forms import prove, write_forms
from lib.tokens.odd_strings import odd_strings
from lib.tokens.runtimes import RuntimeRefusal
from lib.vocabulary.merge_list import merge_list, with_steps
from lib.vocabulary.reassign import (
    Rules,
    kept_text,
    read_rules,
    remap_tokenizer,
    write_rules,
)
from lib.vocabulary.select import lengths, select_pieces
from lib.workbench.ivr.exporting import measured

TEACHERS = ("smollm2", "gpt2", "qwen3", "llama3_1")


def teacher(name: str) -> Tokenizer:
    """A tokenizer by name, as its file has it."""
    if name == "gpt2":
        return data.gpt2_tokenizer()
    place = data.path(name if name == "smollm2" else f"tokenizer_{name}")
    return load_tokenizer(place / "tokenizer.json" if place.is_dir() else place)


def rows(name: str, given: argparse.Namespace):
    """A row for the distilled vocabulary and one for each reassigned one."""
    lines = data.text("korean").splitlines()[:given.documents]
    held = lines[::20]
    train = [line for n, line in enumerate(lines) if n % 20]
    parts = gather(int(given.general_mb * 1e6), 0.1)
    general, other = ([document.text for document in part] for part in parts)
    bpe = teacher(name)
    kept = Path(given.keep or tempfile.mkdtemp())
    files = kept / f"{name}_unigram.json", kept / f"{name}_rules.yaml"
    if not all(file.is_file() for file in files):
        kept.mkdir(parents=True, exist_ok=True)
        made = distill(bpe, train + general, passes=given.passes, made_items=200,
                       seed=given.seed, bar=False).tokenizer
        made.save(str(files[0]))
        write_rules(select_pieces(
            made, count_words(made, train), count_words(made, general), share=0.05,
            least=10, seed=given.seed, bar=False).rules, files[1])
    student = load_tokenizer(files[0])
    chosen = read_rules(files[1], student)
    stepped = with_steps(bpe, [rule.new for rule in chosen], len(chosen))
    every: dict[str, Rules] = {
        "distilled": (), "reassigned": chosen, "reassigned, with steps": tuple(
            replace(rule, new=piece)
            for rule, piece in zip(chosen, stepped, strict=False))}
    others = [line for text in other for line in text.splitlines()]
    for vocabulary, rules in every.items():
        unigram = remap_tokenizer(student, rules) if rules else student
        merges = merge_list(bpe, rules)
        pieces = [text for rule in rules for piece in (rule.new, rule.old)
                  if (text := kept_text(piece))]
        texts = odd_strings(given.strings, given.seed, pieces)
        with tempfile.TemporaryDirectory() as folder:
            missing = write_forms(unigram, merges.tokenizer, Path(folder))
            proofs = list(prove(Path(folder), unigram, merges.tokenizer, texts))
            sizes = {file.relative_to(folder).as_posix(): file.stat().st_size
                     for file in sorted(Path(folder).rglob("tokenizer.json"))
                     + sorted(Path(folder).glob("*.gguf"))}
        yield {
            "tokenizer": name, "date": datetime.date.today().isoformat(),
            "vocabulary": vocabulary, "domain": data.describe("korean", "en"),
            "rules": len(rules), "strings": len(texts), "missing": missing,
            "proofs": [f"{proof.form}, {proof.reader}: {proof.texts} of "
                       f"{proof.texts} the same, {proof.others} outside the promise"
                       for proof in proofs],
            "bytes": sizes,
            "held_tokens": {"bpe": int(lengths(bpe, held).sum()),
                            "unigram": int(lengths(unigram, held).sum()),
                            "merges": int(lengths(merges.tokenizer, held).sum())},
            **measured(bpe, unigram, merges, rules, held, others)}


def main(arguments: list[str] | None = None) -> int:
    """Print the rows of each teacher."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.export",
                                     description=str(__doc__).splitlines()[0])
    parser.add_argument("--teachers", nargs="+", choices=TEACHERS,
                        default=["smollm2", "gpt2"])
    parser.add_argument("--documents", type=int, default=16_000,
                        help="Korean documents, one in twenty of them kept aside")
    parser.add_argument("--general-mb", type=float, default=4.0,
                        help="MB of other text")
    parser.add_argument("--passes", type=int, default=12, help="of distilling")
    parser.add_argument("--strings", type=int, default=10_000,
                        help="that every reader has to read alike")
    parser.add_argument("--keep", help="folder of the distilled tokenizers and the "
                        "rules: made now, or read if they are there")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args(arguments)
    sizes = given.documents, given.general_mb, given.passes, given.strings - 999
    if min(sizes) <= 0:
        parser.error("--documents, --general-mb and --passes are positive, and "
                     "--strings is 1000 or more")
    try:
        for name in given.teachers:
            for row in rows(name, given):
                print(json.dumps(row, ensure_ascii=False), flush=True)
    except (data.DataError, ExportError, RuntimeRefusal) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
