"""Edits that make two languages drift apart, for `test_parity.py`.

An edit takes the text of one side and a seeded generator and returns the text after
the slip of one hand: a digit, a formula, a row … or None where there is nothing of
its kind. `KINDS` says for each edit which findings count as having caught it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable

from book.pairs import Pair, Side

Edit = Callable[[str, random.Random], "str | None"]

CODE_BLOCK = re.compile(r"^(```|~~~)[\s\S]*?^\1", re.MULTILINE)
HIDDEN = re.compile(
    r"^(?:```|~~~)[\s\S]*?^(?:```|~~~)|`[^`\n]+`|\$\$[\s\S]*?\$\$|\$[^$\n]+\$"
    r"|<!--[\s\S]*?-->|<[^>\n]+>|⟨[^⟩\n]*⟩|\]\([^)\n]*\)|^\s*\d+\.\s|\bhttps?:\S+",
    re.MULTILINE,
)


def _blank(text: str) -> str:
    """The prose of `text` alone: code, formulas, links … become spaces."""
    return HIDDEN.sub(lambda match: " " * len(match[0]), text)


def _swap(text: str, span: tuple[int, int], new: str) -> str:
    return text[: span[0]] + new + text[span[1] :]


def _one(pattern: str, rng: random.Random, text: str, visible: bool = False):
    """A match of `pattern`, outside code blocks, or None."""
    if visible:
        hay = _blank(text)
    else:
        hay = CODE_BLOCK.sub(lambda match: " " * len(match[0]), text)
    found = list(re.finditer(pattern, hay, re.MULTILINE))
    return rng.choice(found) if found else None


def _replace(pattern: str, new: Callable[[re.Match[str], random.Random], str],
             visible: bool = False) -> Edit:
    def edit(text: str, rng: random.Random) -> str | None:
        match = _one(pattern, rng, text, visible)
        return match and _swap(text, match.span(), new(match, rng))

    return edit


def _paragraphs(text: str) -> list[tuple[int, int]]:
    """Spans of plain paragraphs of at least 20 letters."""
    hay = CODE_BLOCK.sub(lambda match: "`" * len(match[0]), text)
    spans = []
    for match in re.finditer(r"(?:^[^\n]*\S[^\n]*\n?)+", hay, re.MULTILINE):
        words = match[0].strip()
        plain = not re.match(r"[#>|`$:<!⟨*+-]|\d+\.", words)
        if plain and len(_blank(words).strip()) >= 20 and "<!--" not in words:
            spans.append((match.start(), match.start() + len(match[0].rstrip())))
    return spans


def _paragraph(change: Callable[[str, random.Random], str]) -> Edit:
    def edit(text: str, rng: random.Random) -> str | None:
        spans = _paragraphs(text)
        if not spans:
            return None
        start, end = rng.choice(spans)
        return _swap(text, (start, end), change(text[start:end], rng))

    return edit


def _digit(match: re.Match[str], rng: random.Random) -> str:
    old = match[0].replace(",", "")
    ways = [str(int(old.split(".")[0]) + 13), old.replace(".", "") + "7"]
    return rng.choice(ways)


def _foreign(lang: str) -> str:
    if lang == "ko":
        return "This paragraph was never translated and it is still in English here."
    return "이 문단은 아직 옮기지 않아서 우리말 그대로 남아 있습니다."


def untranslated(text: str, rng: random.Random) -> str | None:
    """A paragraph in the other language."""
    lang = "ko" if len(re.findall("[가-힣]", text)) > 10 else "en"
    return _paragraph(lambda *_: _foreign(lang))(text, rng)


def _drop_sentence(text: str, rng: random.Random) -> str | None:
    spans = [
        (start, end) for start, end in _paragraphs(text)
        if re.search(r"[.다]\s+\S", text[start:end]) and "." in text[start:end]
    ]
    if not spans:
        return None
    start, end = rng.choice(spans)
    sentences = re.split(r"(?<=\.)\s+", text[start:end])
    if len(sentences) < 2:
        return None
    sentences.pop(rng.randrange(len(sentences)))
    return _swap(text, (start, end), " ".join(sentences))


def _heading_words(match: re.Match[str], rng: random.Random) -> str:
    return match[0] + rng.choice([" 다시", " 더"] if re.search("[가-힣]", match[0])
                                 else [" again", " more"])


def _last_words(paragraph: str, rng: random.Random) -> str:
    added = ("그렇습니다.", "꼭 기억하십시오.")
    if not re.search("[가-힣]", paragraph):
        added = ("So it goes.", "Keep that in mind.")
    return f"{paragraph} {rng.choice(added)}"


HEADING = r"^(?:<!-- label: \S+ -->\n)?#{1,6} [^\n]*\n?"

# name: (edit of one side, kinds of finding that catch it, with the lock?)
ONE_SIDE: dict[str, tuple[Edit, set[str]]] = {
    "a number": (
        _replace(r"(?<![\w.,⟨-])\d+(?:,\d{3})*(?:\.\d+)?(?![\w⟩.]|,\d)|"
                 r"(?<![\w.,⟨-])\d+(?:,\d{3})*(?:\.\d+)?(?=[가-힣])(?!만|천|백|억)",
                 _digit, visible=True),
        {"numerals"},
    ),
    "a percent sign": (
        _replace(r"(?<=\d)\s?%", lambda *_: "", visible=True), {"numerals"},
    ),
    "a formula": (
        _replace(r"(?<![$`])\$[^$`\n]+\$(?!\$)", lambda m, _: m[0][:-1] + " + 1$"),
        {"formulas"},
    ),
    "a display formula": (
        _replace(r"\$\$[^$]+\$\$", lambda m, _: m[0][:-2].rstrip() + r" - \eps$$"),
        {"formulas"},
    ),
    "a code span": (
        _replace(r"(?<!`)`[^`\n]+`(?!`)", lambda m, _: m[0][:-1] + "_x`"),
        {"code spans"},
    ),
    "a code block": (
        lambda text, rng: (found := CODE_BLOCK.search(text))
        and _swap(text, found.span(), found[0].replace("\n", "\n# changed\n", 1)),
        {"contents"},
    ),
    "a link": (
        _replace(r"(?<=\]\()[^)\s]+(?=\))", lambda *_: "https://example.org/elsewhere"),
        {"links", "images"},
    ),
    "a link lost": (
        _replace(r"(?<!!)\[([^\]\n]+)\]\([^)\n]+\)", lambda m, _: m[1]), {"links"},
    ),
    "a heading level": (
        _replace(r"^#{1,5} ", lambda m, _: "#" + m[0]), {"structure"},
    ),
    "a heading lost": (
        lambda text, rng: (found := _one(HEADING, rng, text))
        and _swap(text, found.span(), ""),
        {"structure", "labels", "pair"},
    ),
    "a label": (
        _replace(r"(?<=<!-- label: )[\w-]+", lambda m, _: m[0] + "-x"), {"labels",
                                                                     "structure"},
    ),
    "a label lost": (
        _replace(r"^<!-- label: \S+ -->\n", lambda *_: ""), {"labels", "structure"},
    ),
    "a paragraph lost": (_paragraph(lambda *_: ""), {"structure", "pair"}),
    "a paragraph split": (
        _paragraph(lambda p, _: p[: len(p) // 2].rsplit(" ", 1)[0] + "\n\n글 words "
                   + p[len(p) // 2 :].split(" ", 1)[-1]),
        {"structure"},
    ),
    "an untranslated paragraph": (untranslated, {"language"}),
    "a placeholder": (
        _replace(r"(?<=⟨)[\w.]+(?=⟩)", lambda m, _: m[0] + "_2"),
        {"placeholders", "code spans", "formulas"},
    ),
    "a number typed for a placeholder": (
        _replace(r"⟨[\w.]+⟩", lambda *_: "37.5"),
        {"placeholders", "code spans", "formulas", "numerals"},
    ),
    "a list item": (
        _replace(r"^(?:[-*]|\d+\.) [^\n]*\n?", lambda *_: ""), {"structure"},
    ),
    "a table row": (
        _replace(r"(?<=\n)\|(?![ :|-]*\n)[^\n]*\|(?=\n\||\n*\Z)(?<!---\|)\n?",
                 lambda *_: ""),
        {"structure"},
    ),
    # its first line: without the mark on a later one, it is the same quote
    "a quote": (_replace(r"(?:\A|(?<=\n\n))> ", lambda *_: ""), {"structure"}),
    "a bold passage": (
        _replace(r"\*\*(?=\S)([^*`\n]+)(?<=\S)\*\*", lambda m, _: m[1]),
        {"bold passages"},
    ),
    "a bold mark glued to a particle": (
        lambda text, rng: (m := _one(r"\*\*(?=\S)[^*`\n]+(?<=\S)\*\*", rng, text))
        and _swap(text, m.span(), m[0][:-2] + "(x)**가"),
        {"bold passages"},
    ),
    "an alt text lost": (_replace(r"<!-- alt:[\s\S]*?-->", lambda *_: ""), {"alt"}),
    "an alt text in the other language": (
        _replace(r"(?<=<!-- alt: )[\s\S]*?(?= -->)", lambda m, _: _foreign(
            "ko" if re.search("[가-힣]", m[0]) else "en")),
        {"alt"},
    ),
    "a superscript": (
        _replace("²", lambda *_: "³", visible=True), {"symbols", "numerals"},
    ),
    "the stars of an exercise": (
        _replace("(?<!★)★+(?!★)", lambda m, _: m[0] + "★", visible=True), {"symbols"},
    ),
}

ONE_SIDE_AND_LOCK: dict[str, tuple[Edit, set[str]]] = {
    "one side reworded": (_paragraph(_last_words), {"lock"}),
    "a heading reworded": (_replace(r"^#{1,6} [^\n]*", _heading_words), {"lock"}),
    "a sentence lost": (_drop_sentence, {"lock"}),
}


def replace_side(source: str, side: Side, text: str) -> str:
    """Put `text` in the place of `side` in the text of its file."""
    lines = source.splitlines()
    new = text.split("\n")
    if side.path.endswith(".py"):
        new = [f"# {line}" if line else "#" for line in new]
    count = len(side.text.split("\n"))
    lines[side.line - 1 : side.line - 1 + count] = new
    return "\n".join(lines) + "\n"


# Edits of a whole file: (file, pair, generator) → file


def _marker(source: str, side: Side) -> tuple[list[str], int]:
    """The lines of the file, and where the marker above `side` stands."""
    lines = source.splitlines()
    number = side.line - 2
    while number > 0 and not re.match(r"# %%.*lang-|:+\{lang\}", lines[number]):
        number -= 1
    return lines, number


def swapped_tags(source: str, pair: Pair, rng: random.Random) -> str | None:
    """Korean under en and English under ko."""
    if "lang" not in source:
        return None
    lines, ko = _marker(source, pair.ko)
    _, en = _marker(source, pair.en)
    lines[ko], lines[en] = lines[en], lines[ko]
    return "\n".join(lines) + "\n"


def wrong_tag(source: str, pair: Pair, rng: random.Random) -> str | None:
    """A tag that does not exist."""
    lines, number = _marker(source, rng.choice([pair.ko, pair.en]))
    old = lines[number]
    lines[number] = re.sub(r"lang-(ko|en)|(?<=\{lang\}) (ko|en)", " lang-kr", old)
    return "\n".join(lines) + "\n" if lines[number] != old else None


def doubled_tag(source: str, pair: Pair, rng: random.Random) -> str | None:
    """The same tag on both sides."""
    lines, ko = _marker(source, pair.ko)
    _, en = _marker(source, pair.en)
    lines[en] = lines[ko]
    return "\n".join(lines) + "\n" if lines != source.splitlines() else None


def lost_side(source: str, pair: Pair, rng: random.Random) -> str | None:
    """One side of a pair is gone, with its cell."""
    if not pair.path.endswith(".py"):
        return None
    side = rng.choice([pair.ko, pair.en])
    lines, number = _marker(source, side)
    end = side.line - 1 + len(side.text.split("\n"))
    del lines[number:end]
    return "\n".join(lines) + "\n"


def lost_caption_tag(source: str, pair: Pair, rng: random.Random) -> str | None:
    """A caption that one language does not tag as one."""
    if not pair.caption:
        return None
    lines, number = _marker(source, rng.choice([pair.ko, pair.en]))
    lines[number] = re.sub(r',\s*"caption"|"caption",\s*', "", lines[number])
    return "\n".join(lines) + "\n"


def same_label_again(source: str, pair: Pair, rng: random.Random) -> str | None:
    """Two sections of the book with one label."""
    label = f"<!-- label: {pair.key} -->"
    if label not in pair.ko.text or "sample" in pair.key:
        return None
    en = replace_side(source, pair.en, pair.en.text.replace(label, SAMPLE_LABEL))
    return replace_side(en, pair.ko, pair.ko.text.replace(label, SAMPLE_LABEL))


SAMPLE_LABEL = "<!-- label: sample-next -->"

WHOLE_FILE: dict[str, tuple[Callable, set[str]]] = {
    "swapped tags": (swapped_tags, {"order"}),
    "an unknown tag": (wrong_tag, {"tags", "format"}),
    "the same tag twice": (doubled_tag, {"pair", "format"}),
    "a side without partner": (lost_side, {"pair"}),
    "a caption tag on one side": (lost_caption_tag, {"tags", "caption"}),
    "a label that stands twice": (same_label_again, {"labels"}),
}
