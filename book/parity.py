"""Do the Korean and the English of the book say the same?

    python -m book.parity                     check everything; exit 1 on any finding
    python -m book.parity FILE…               check these sources only
    python -m book.parity --no-lock FILE…     a draft: compare, leave the lock aside
    python -m book.parity --update            take new pairs and pairs changed on both
                                              sides into the lock
    python -m book.parity --accept LABEL|FILE|all   accept on purpose, also when only
                                              one side changed
    python -m book.parity --list | --stats    the pairs, or how many there are

Each pair is compared in what both languages must share: headings and their labels,
formulas, code, links, citations, images, placeholders ⟨name⟩, numbers, lists, tables,
quotes, paragraphs, bold. The lock (:mod:`book.pairlock`) catches what no comparison
sees, a side that was reworded alone. The glossary has its own check
(:mod:`book.glossary`), run from here.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path

from book import glossary, numerals, pairlock
from book.language import prose_problem, same_sentences, wrong_way_round
from book.pairs import (
    READMES,
    Pair,
    Problem,
    Source,
    read_source,
    source_files,
)
from book.prose import PLACEHOLDER_NAME, Block, Prose, blocks

ROOT = Path(__file__).resolve().parent.parent

_SYMBOLS = re.compile("√|[⁰¹²³⁴-⁹⁻₀-₉]+|[α-ωΑ-Ω]|[★☆]+")
_FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|webp)\Z", re.IGNORECASE)
_TEXT = re.compile(r"\\text\s*\{[^{}]*\}")
_HANGUL = re.compile("[가-힣]")


def _at(pair: Pair, block: Block | None = None) -> tuple[str, int, str]:
    line = pair.ko.line + (block.line if block else 0)
    return pair.ko.path, line, pair.key


def _shown(values: Iterable[str]) -> str:
    return "{" + ", ".join(values) + "}"


def _differ(ko: Iterable[str], en: Iterable[str], once: bool = False):
    """What only one side holds; ``once`` ignores how often a thing stands."""
    left, right = Counter(ko), Counter(en)
    if once:
        left, right = Counter(set(left)), Counter(set(right))
    only = (left - right, right - left)
    return tuple(sorted(side.elements()) for side in only)


# ------------------------------------------------------- one pair, one fact each


def _formulas(ko: Block, en: Block) -> tuple[list[str], list[str]]:
    sides = [list(ko.maths), list(en.maths)]
    if any(_HANGUL.search(formula) for formula in sides[0]):
        sides = [[_TEXT.sub(r"\\text{…}", f) for f in side] for side in sides]

    def small(formula: str) -> bool:  # one symbol may be named as often as one likes
        return re.fullmatch(r"[^=<>+*/^ ]{1,24}", formula) is not None

    one = _differ(*([f for f in side if small(f)] for side in sides), once=True)
    many = _differ(*([f for f in side if not small(f)] for side in sides))
    return one[0] + many[0], one[1] + many[1]


def _target(link: str, lang: str) -> str:
    """A link target with the language taken out of it."""
    if link == READMES[lang]:
        return "README"
    if link == READMES["en" if lang == "ko" else "ko"]:
        return "the other README"
    return re.sub(rf"(^|[-_./]){lang}(?=[-_./]|$)", r"\1{lang}", link)


def _facts(ko: Block, en: Block) -> Iterator[tuple[str, list[str], list[str]]]:
    yield "formulas", *_formulas(ko, en)
    yield "code spans", *_differ(ko.codes, en.codes, once=True)
    links = [[_target(x, s) for x in b.links] for s, b in (("ko", ko), ("en", en))]
    yield "links", *_differ(*links)
    images = [
        [_target(src, lang) for src, _ in block.images]
        for lang, block in (("ko", ko), ("en", en))
    ]
    yield "images", *_differ(*images)
    yield "citations", *_differ(ko.citations, en.citations)
    yield "placeholders", *_differ(ko.placeholders, en.placeholders, once=True)
    yield "HTML tags", *_differ(ko.tags, en.tags)
    symbols = [_SYMBOLS.findall(block.plain) for block in (ko, en)]
    yield "symbols", *_differ(*symbols, once=True)
    yield "numerals", *numerals.compare(ko.plain, en.plain)
    if ko.bold != en.bold:
        yield "bold passages", [str(ko.bold)], [str(en.bold)]
    yield "contents", *_differ([ko.content], [en.content])


def _merged(prose: Prose) -> Block:
    whole = Block("", 0)
    for block in prose.blocks:
        for name in ("codes", "maths", "links", "images", "citations"):
            getattr(whole, name).extend(getattr(block, name))
        whole.placeholders += block.placeholders
    return whole


def _compare_structure(pair: Pair, ko: Prose, en: Prose) -> Iterator[Problem]:
    here = _at(pair)
    what = []
    for name in sorted(ko.counts | en.counts):
        if ko.counts[name] != en.counts[name]:
            what.append(f"{name} {ko.counts[name]} in ko, {en.counts[name]} in en")
    left, right = ko.signature(), en.signature()
    first = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )

    def at(prose: Prose, line: int) -> str:
        if first >= len(prose.blocks):
            return "nothing"
        block = prose.blocks[first]
        return f"{block.kind} (line {line + block.line})"

    message = "structure differs: " + "; ".join(
        [*what, f"first at ko {at(ko, pair.ko.line)}, en {at(en, pair.en.line)}"]
    )
    yield Problem(*here, "structure", message)
    facts = list(_facts(_merged(ko), _merged(en)))
    for name, only_ko, only_en in facts:
        if (only_ko or only_en) and name in ("formulas", "code spans", "links"):
            message = f"{name} differ: ko {_shown(only_ko)} en {_shown(only_en)}"
            yield Problem(*here, name, message)


def _compare_blocks(pair: Pair, ko: Prose, en: Prose) -> Iterator[Problem]:
    for left, right in zip(ko.blocks, en.blocks, strict=True):
        here = _at(pair, left)
        beside = f" (English: line {pair.en.line + right.line})"
        if left.label != right.label:
            message = f"labels differ: ko {left.label!r} en {right.label!r}"
            yield Problem(*here, "labels", message + beside)
        for name, only_ko, only_en in _facts(left, right):
            if only_ko or only_en:
                if name == "contents":
                    message = f"the two {left.kind}s are not the same"
                else:
                    both = _shown(only_ko), _shown(only_en)
                    message = f"{name} differ: ko {both[0]} en {both[1]}"
                yield Problem(*here, name, message + beside)


def _check_side(pair: Pair, lang: str, prose: Prose) -> Iterator[Problem]:
    side = pair.ko if lang == "ko" else pair.en

    def found(line: int, kind: str, message: str) -> Problem:
        return Problem(side.path, side.line + line, pair.key, kind, message)

    for block in prose.blocks:
        if pair.needs_labels and block.level and not block.label:
            yield found(
                block.line,
                "labels",
                f"heading {block.plain!r} has no label; write <!-- label: some-id "
                "--> on the line above it",
            )
        for name in block.placeholders:
            if not PLACEHOLDER_NAME.fullmatch(name):
                yield found(
                    block.line,
                    "placeholders",
                    f"⟨{name}⟩ is not a placeholder; write ⟨name⟩ or ⟨02.name⟩ in "
                    "lower-case letters, or put the brackets into a formula",
                )
        if "⟨" in block.plain or "⟩" in block.plain:
            message = "a bracket ⟨ or ⟩ stands alone; write ⟨name⟩"
            yield found(block.line, "placeholders", message)
        if "**" in block.plain:
            yield found(
                block.line,
                "bold passages",
                "** stays visible, it is not bold here; markdown ends bold after a "
                "letter, so write **용어**(term)는 and not **용어(term)**는",
            )
        for source, alt in block.images:
            if not alt.strip() or _FILE_NAME.match(alt.strip()):
                message = f"image {source} needs words as alt text, not {alt!r}"
                yield found(block.line, "alt", message)
        if message := prose_problem(block, lang):
            yield found(block.line, "language", message)
    for line, label in prose.stray_labels:
        message = f"label {label!r} stands above no heading"
        yield found(line, "labels", message)


def _check_alts(pair: Pair, ko: Prose, en: Prose) -> Iterator[Problem]:
    if pair.caption:
        for side, prose in ((pair.ko, ko), (pair.en, en)):
            if len(prose.alts) != 1:
                yield Problem(
                    side.path,
                    side.line,
                    pair.key,
                    "alt",
                    f"a caption holds one alt text, this {side.lang} one has "
                    f"{len(prose.alts)}; write <!-- alt: what a blind reader must "
                    "know -->",
                )
    if len(ko.alts) != len(en.alts):
        message = f"alt texts: {len(ko.alts)} in ko, {len(en.alts)} in en"
        yield Problem(*_at(pair), "alt", message)
        return
    for (line, left), (_, right) in zip(ko.alts, en.alts, strict=True):
        here = (pair.ko.path, pair.ko.line + line, pair.key)
        for lang, text in (("ko", left), ("en", right)):
            if len(text) < 8 or _FILE_NAME.match(text):
                message = f"alt text {text!r} ({lang}) says too little"
                yield Problem(*here, "alt", message)
            block = Block("alt", 0, plain=text, own=text)
            if wrong := prose_problem(block, lang):
                yield Problem(*here, "alt", f"alt text: {wrong}")
        only_ko, only_en = numerals.compare(left, right)
        if only_ko or only_en:
            both = f"ko {_shown(only_ko)} en {_shown(only_en)}"
            yield Problem(*here, "alt", f"numerals differ in the alt text: {both}")


@lru_cache(maxsize=8192)
def check_pair(pair: Pair) -> tuple[Problem, ...]:
    """Compare the two sides of one pair; return every finding."""
    ko, en = blocks(pair.ko.text), blocks(pair.en.text)
    for side in (pair.ko, pair.en):
        if not side.text.strip():
            message = f"the {side.lang} side is empty"
            return (Problem(side.path, side.line, pair.key, "pair", message),)
    if wrong_way_round(ko, en):
        message = "the languages are swapped: English under ko, Korean under en"
        return (Problem(*_at(pair), "order", message),)
    found: list[Problem] = []
    if ko.signature() != en.signature():
        found += _compare_structure(pair, ko, en)
    else:
        found += _compare_blocks(pair, ko, en)
    found += _check_side(pair, "ko", ko)
    found += _check_side(pair, "en", en)
    found += _check_alts(pair, ko, en)
    for line, sentence in same_sentences(ko, en):
        here = (pair.ko.path, pair.ko.line + line, pair.key)
        message = f"the same sentence stands on both sides: {sentence[:60]!r}"
        found.append(Problem(*here, "language", message))
    return tuple(found)


# ------------------------------------------------------------ the whole book


def _labels(sources: list[Source]) -> tuple[dict[str, set[str]], list[Problem]]:
    """The labels of each file, and labels that stand twice in the book."""
    labels: dict[str, set[str]] = {}
    first: dict[str, str] = {}
    problems = []
    for source in sources:
        own = labels.setdefault(source.path, set())
        places = [(pair.ko, pair.key) for pair in source.pairs]
        places += [(side, "") for side in source.shared]
        for side, key in places:
            for offset, label in blocks(side.text).labels:
                place = f"{side.path}:{side.line + offset}"
                if label in first:
                    message = f"label {label!r} stands already at {first[label]}"
                    line = side.line + offset
                    problem = Problem(side.path, line, key, "labels", message)
                    problems.append(problem)
                first.setdefault(label, place)
                own.add(label)
    return labels, problems


def _slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.lower())
    return kept.strip().replace(" ", "-")


def _check_links(
    root: Path, source: Source, labels: dict[str, set[str]]
) -> Iterator[Problem]:
    every = set().union(*labels.values(), glossary.labels())
    known = set(labels) | {"book/glossary.md"}
    for side, key in [(s, p.key) for p in source.pairs for s in (p.ko, p.en)] + [
        (side, "") for side in source.shared
    ]:
        for block in blocks(side.text).blocks:
            for link in block.links:
                message = ""
                if re.match(r"[a-z][a-z0-9+.-]*:|//", link):
                    continue
                path, _, label = link.partition("#")
                folder = Path(side.path).parent
                target = Path(_normal(folder / path)) if path else Path(side.path)
                name = target.as_posix()
                if name not in known and not (root / target).exists():
                    flat = (p for p in known if Path(p).stem == target.stem)
                    target = Path(next(flat, name))  # the site has one flat folder
                    name = target.as_posix()
                if target.suffix in (".ipynb", ".html"):
                    options = [
                        target.with_suffix(".py").as_posix(),
                        target.with_suffix(".md").as_posix(),
                    ]
                    name = next((n for n in options if n in known), name)
                if path and name not in known and not (root / target).exists():
                    message = f"link {link!r}: there is no file {target}"
                elif label and side.path in READMES.values() and not path:
                    text = (root / side.path).read_text(encoding="utf-8")
                    slugs = {_slug(b.plain) for b in blocks(text).blocks if b.level}
                    if label not in slugs:
                        message = f"link {link!r}: no heading gives this anchor"
                elif label and path and name in labels and label not in labels[name]:
                    message = f"link {link!r}: {name} has no label {label!r}"
                elif label and label not in every and (not path or name in known):
                    message = f"link {link!r}: the book has no label {label!r}"
                if message:
                    line = side.line + block.line
                    yield Problem(side.path, line, key, "links", message)


def _normal(path: Path) -> str:
    parts: list[str] = []
    for part in path.as_posix().split("/"):
        if part == ".." and parts and parts[-1] != "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts) or "."


def _check_shared(source: Source) -> Iterator[Problem]:
    for side in source.shared:
        prose = blocks(side.text)
        for block in prose.blocks:
            line = side.line + block.line
            if block.level and not block.label:
                message = f"heading {block.plain!r} has no label"
                yield Problem(side.path, line, "", "labels", message)
            hangul = len(_HANGUL.findall(block.own))
            bilingual = "|" in block.plain and not block.kind.startswith("table")
            if hangul >= 4 and not bilingual:
                message = (
                    "Korean prose stands outside the language blocks; both editions "
                    "show it: put it into ::::{lang} ko with an English partner"
                )
                yield Problem(side.path, line, "", "language", message)


def check_lock(
    sources: list[Source], locked: dict[str, list[pairlock.Entry]]
) -> Iterator[Problem]:
    """Compare the pairs with the lock."""
    say = {
        "ko": "only the Korean changed; bring the English along, or accept it with",
        "en": "only the English changed; bring the Korean along, or accept it with",
        "new": "is not in the lock; run",
        "both": "changed on both sides; run",
    }
    update = "python -m book.parity --update"
    for source in sources:
        changes, gone = pairlock.compare(source.pairs, locked.get(source.path, []))
        for change in changes:
            accept = f"python -m book.parity --accept {change.pair.key}"
            if change.kind == "mixed":
                message = (
                    f"one paragraph changed on one side only ({change.detail}); "
                    f"bring the other along, or accept it with {accept}"
                )
            else:
                command = accept if change.kind in ("ko", "en") else update
                message = f"{say[change.kind]}: {command}"
            yield Problem(*_at(change.pair), "lock", message)
        for key in gone:
            message = f"the lock holds a pair that is gone; run: {update}"
            yield Problem(source.path, 1, key, "lock", message)


def read_book(root: Path = ROOT) -> list[Source]:
    """Read every source of prose below ``root``."""
    return [read_source(root, name) for name in source_files(root)]


def check(
    root: Path = ROOT, files: Iterable[str] = (), lock: bool = True
) -> list[Problem]:
    """Return every finding in the book, or in ``files`` only.

    ``files`` are names relative to ``root``; ``lock=False`` leaves the lock aside.
    """
    sources = read_book(root)
    labels, found = _labels(sources)
    for source in sources:
        found += source.problems
        for pair in source.pairs:
            found += check_pair(pair)
        found += _check_shared(source)
        found += _check_links(root, source, labels)
        found += glossary.check_source(source)
    if lock:
        locked = pairlock.read_lock(root)
        found += check_lock(sources, locked)
        for name in sorted(set(locked) - {source.path for source in sources}):
            message = "the lock holds a file that is gone; run: --update"
            found.append(Problem(name, 1, "", "lock", message))
    wanted = {READMES["en"] if name in READMES.values() else name for name in files}
    if wanted:
        twin = set(READMES.values()) if READMES["en"] in wanted else set()
        found = [problem for problem in found if problem.path in wanted | twin]
    return sorted(set(found), key=lambda p: (p.path, p.line, p.kind, p.message))


def update(root: Path = ROOT, files: Iterable[str] = (), accept: str = "") -> list[str]:
    """Bring the lock up to date; return what was refused, one sentence each.

    Takes new pairs and pairs changed on both sides that pass every comparison;
    drops pairs that are gone. ``accept`` is a label, a file or ``all``: what it
    names is taken whatever changed.
    """
    refused: list[str] = []
    locked = pairlock.read_lock(root)
    sources = read_book(root)
    wanted = set(files)
    named = False
    new_lock: dict[str, list[pairlock.Entry]] = {}
    for source in sources:
        old = locked.get(source.path, [])
        twins = {source.path}
        if source.path in READMES.values():
            twins |= set(READMES.values())
        if wanted and not wanted & twins:
            new_lock[source.path] = old
            continue
        changes, _ = pairlock.compare(source.pairs, old)
        kinds = {id(change.pair): change for change in changes}
        entries: list[pairlock.Entry] = []
        for pair in source.pairs:
            change = kinds.get(id(pair))
            chosen = accept == "all" or accept in twins or accept == pair.key
            named = named or chosen
            failing = change is not None and not chosen and check_pair(pair)
            one_sided = change is not None and change.kind in ("ko", "en", "mixed")
            if change is None or chosen or not (one_sided or failing or accept):
                entries.append(pairlock.entry(pair))
                continue
            if change.old:
                entries.append(change.old)
            if not accept:
                place = f"{pair.ko.path}:{pair.ko.line} [{pair.key}]"
                why = f"only one side changed ({change.detail or change.kind})"
                if failing:
                    why = f"the sides differ: {failing[0].message}"
                refused.append(f"{place} not taken: {why}")
        new_lock[source.path] = entries
    if accept and not named:
        refused.append(
            f"nothing is called {accept!r}; use a label or a file that "
            "--list shows, or all"
        )
        return refused
    pairlock.write_lock(root, new_lock)
    return refused


def _stats(root: Path) -> Iterator[str]:
    for source in read_book(root):
        total: Counter = Counter()
        for pair in source.pairs:
            total += blocks(pair.ko.text).counts
        facts = ", ".join(f"{n} {name}" for name, n in total.most_common(5))
        yield f"{source.path}: {len(source.pairs)} pairs ({facts})"


def main(arguments: list[str] | None = None, root: Path = ROOT) -> int:
    """The command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m book.parity",
        description="Compare the Korean and the English of the book.",
    )
    parser.add_argument("files", nargs="*", help="sources to check; all by default")
    parser.add_argument("--update", action="store_true", help="bring the lock along")
    parser.add_argument("--accept", metavar="LABEL|FILE|all", default="")
    parser.add_argument("--no-lock", action="store_true", help="for a draft")
    parser.add_argument("--list", action="store_true", help="show every pair")
    parser.add_argument("--stats", action="store_true", help="count pairs and blocks")
    given = parser.parse_args(arguments)
    files = [_relative(name, root) for name in given.files]
    known = source_files(root)
    for name in files:
        if name not in known and name not in READMES.values():
            choices = ", ".join(known) or "none yet"
            print(f"{name} is no source of prose; use one of {choices}")
            return 2
    if given.stats:
        print("\n".join(_stats(root)))
        return 0
    if given.list:
        for source in read_book(root):
            for pair in source.pairs:
                print(f"{pair.ko.path}:{pair.ko.line} {pair.key}")
        return 0
    try:
        if given.update or given.accept:
            accept = given.accept
            if accept not in ("", "all") and (root / accept).exists():
                accept = _relative(accept, root)
            for sentence in update(root, files, accept):
                print(sentence)
        found = check(root, files, lock=not given.no_lock)
    except pairlock.LockError as error:
        print(error)
        return 1
    for problem in found:
        print(problem)
    if found:
        print(f"{len(found)} findings in {len({p.path for p in found})} files")
        return 1
    sources = [s for s in read_book(root) if not files or s.path in files]
    pairs = sum(len(source.pairs) for source in sources)
    print(f"{pairs} pairs in {len(sources)} sources say the same in both languages")
    return 0


def _relative(name: str, root: Path) -> str:
    path = Path(name).resolve()
    if path.is_relative_to(root.resolve()):
        path = path.relative_to(root.resolve())
        return path.with_suffix(".py" if path.suffix == ".ipynb" else path.suffix)\
            .as_posix()
    return Path(name).as_posix()


if __name__ == "__main__":
    sys.exit(main())
