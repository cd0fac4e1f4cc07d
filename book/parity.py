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
from pathlib import Path

from book import glossary, pairlock
from book.compare import at, check_pair
from book.language import prose_problem
from book.pairs import READMES, Problem, Source, read_source, source_files
from book.prose import blocks
from lib.commands import module_command

ROOT = Path(__file__).resolve().parent.parent

MANY = 5  # new pairs of one file that are still named one by one
_HANGUL = re.compile("[가-힣]")


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
            bilingual = "|" in block.plain and not block.kind.startswith("table")
            korean = len(_HANGUL.findall(block.own)) >= 4 and not bilingual
            own_block = block.kind == "p" or block.level  # a list may cite titles
            if korean or (own_block and prose_problem(block, "ko")):
                message = (
                    f"{'Korean' if korean else 'English'} prose stands outside the "
                    "language blocks, both editions show it; put it into ::::{lang} "
                    f"{'ko' if korean else 'en'} with a partner"
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
    update = module_command("book.parity", "--update")
    for source in sources:
        changes, gone = pairlock.compare(source.pairs, locked.get(source.path, []))
        new = [change for change in changes if change.kind == "new"]
        if len(new) > MANY:
            changes = [change for change in changes if change.kind != "new"]
            message = f"{len(new)} pairs are not in the lock; run: {update}"
            yield Problem(*at(new[0].pair), "lock", message)
        for change in changes:
            accept = module_command("book.parity", "--accept", change.pair.key)
            if change.kind == "mixed":
                message = (
                    f"one paragraph changed on one side only ({change.detail}); "
                    f"bring the other along, or accept it with {accept}"
                )
            else:
                remedy = accept if change.kind in ("ko", "en") else update
                message = f"{say[change.kind]}: {remedy}"
            yield Problem(*at(change.pair), "lock", message)
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
    except (pairlock.LockError, glossary.GlossaryError) as error:
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
        suffix = ".py" if path.suffix == ".ipynb" else path.suffix
        return path.with_suffix(suffix).as_posix()
    return Path(name).as_posix()


if __name__ == "__main__":
    sys.exit(main())
