"""One pair: what its two sides must share, and what each must hold.

:func:`check_pair` returns every finding. The sides are compared block by block when
they have the same blocks; when they have not, that is the finding.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import lru_cache

from book import numerals
from book.language import prose_problem, same_sentences, wrong_way_round
from book.pairs import READMES, Pair, Problem
from book.prose import PLACEHOLDER_NAME, Block, Prose, blocks

_SYMBOLS = re.compile("√|[⁰¹²³⁴-⁹⁻₀-₉]+|[α-ωΑ-Ω]|[★☆]+")
_FILE_NAME = re.compile(r"\S+\.(?:png|svg|jpe?g|gif|webp)\Z", re.IGNORECASE)
_TEXT = re.compile(r"\\text\s*\{[^{}]*\}")
_HANGUL = re.compile("[가-힣]")


def at(pair: Pair, block: Block | None = None) -> tuple[str, int, str]:
    """File, line and label of a finding about `pair`."""
    line = pair.ko.line + (block.line if block else 0)
    return pair.ko.path, line, pair.key


def _shown(values: Iterable[str]) -> str:
    return "{" + ", ".join(values) + "}"


def _differ(
    ko: Iterable[str], en: Iterable[str], *, once: bool = False
) -> tuple[list[str], list[str]]:
    """What only one side holds; ``once`` ignores how often a thing stands."""
    left, right = Counter(ko), Counter(en)
    if once:
        left, right = Counter(set(left)), Counter(set(right))
    return sorted((left - right).elements()), sorted((right - left).elements())


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


def _placeholders(ko: Block, en: Block) -> tuple[list[str], list[str]]:
    """Words that a run records in two languages are ⟨name_ko⟩ and ⟨name_en⟩."""
    left, right = _differ(ko.placeholders, en.placeholders, once=True)
    twins = {name[:-3] for name in left if name.endswith("_ko")}
    twins &= {name[:-3] for name in right if name.endswith("_en")}
    return (
        [name for name in left if name[:-3] not in twins],
        [name for name in right if name[:-3] not in twins],
    )


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
    yield "placeholders", *_placeholders(ko, en)
    yield "HTML tags", *_differ(ko.tags, en.tags)
    symbols = [
        _SYMBOLS.findall(numerals.POWER.sub(" ", block.plain)) for block in (ko, en)
    ]
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
    here = at(pair)
    what = []
    for name in sorted(ko.counts | en.counts):
        if ko.counts[name] != en.counts[name]:
            what.append(f"{name} {ko.counts[name]} in ko, {en.counts[name]} in en")
    left, right = ko.signature(), en.signature()
    first = next(
        (i for i, (a, b) in enumerate(zip(left, right, strict=False)) if a != b),
        min(len(left), len(right)),
    )

    def place(prose: Prose, line: int) -> str:
        if first >= len(prose.blocks):
            return "nothing"
        block = prose.blocks[first]
        return f"{block.kind} (line {line + block.line})"

    message = "structure differs: " + "; ".join(
        [*what, f"first at ko {place(ko, pair.ko.line)}, en {place(en, pair.en.line)}"]
    )
    yield Problem(*here, "structure", message)
    facts = list(_facts(_merged(ko), _merged(en)))
    for name, only_ko, only_en in facts:
        if (only_ko or only_en) and name in ("formulas", "code spans", "links"):
            message = f"{name} differ: ko {_shown(only_ko)} en {_shown(only_en)}"
            yield Problem(*here, name, message)


def _compare_blocks(pair: Pair, ko: Prose, en: Prose) -> Iterator[Problem]:
    for left, right in zip(ko.blocks, en.blocks, strict=True):
        here = at(pair, left)
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
        yield Problem(*at(pair), "alt", message)
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
        return (Problem(*at(pair), "order", message),)
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
