"""The places in prose that a run fills: ⟨name⟩, or ⟨02.name⟩ of another chapter.

A Korean particle whose form depends on the value is written in both forms, as in
⟨name⟩이(가) or ⟨name⟩(으)로; filling the place settles it (`lib.page.particles`).
"""

import functools
import re
from collections.abc import Callable, Mapping

from nbformat import NotebookNode

from lib.page.particles import MARK, particle

PLACEHOLDER = re.compile(r"⟨(?:(\d\d)\.)?([a-z][a-z0-9_]*)⟩")
# the particle follows the value, not what stands in parentheses after it
MARKED = re.compile(
    PLACEHOLDER.pattern
    + r"""((?: ?\((?!으\)|이\))[^()\n]*\))?[*_`$"'”’]*)""" + f"({MARK})"
)
CODE_OR_MATHS = re.compile(r"(```.*?```|\$\$.*?\$\$|`[^`\n]+`|\$[^$\n]+\$)", re.DOTALL)
NOT_THERE = "–"  # stands for a result that no run gave


def scientific(text: str) -> str:
    """Set `1.2e-07` as 1.2 × 10⁻⁷.

    >>> scientific("1.2e-07"), scientific("0.25")
    ('1.2&nbsp;×&nbsp;10<sup>−7</sup>', '0.25')
    """
    def powers(match: re.Match[str]) -> str:
        exponent = str(int(match[2])).replace("-", "−")
        return f"{match[1]}&nbsp;×&nbsp;10<sup>{exponent}</sup>"

    return re.sub(r"(?<![\w.])(\d+(?:\.\d+)?)e([+-]?\d+)\b", powers, text)


def fill_places(text: str, value: Callable[[str, str, bool], str]) -> str:
    """Fill each place with `value(number, name, plain)`.

    `number` is the other chapter's, or empty; `plain` says that the place stands in
    code or maths, where no HTML may stand. A particle after it takes the form that the
    value asks for.

    >>> fill_places("⟨a⟩(으)로, **⟨b⟩**이(가)", lambda _, name, plain: {"a": "3",
    ...             "b": "12 %"}[name])
    '3으로, **12 %**가'
    """
    def filled(part: str, plain: bool) -> str:
        return PLACEHOLDER.sub(lambda m: value(m[1] or "", m[2], plain), part)

    def settled(place: re.Match[str]) -> str:
        said = value(place[1] or "", place[2], True)
        return place[0].removesuffix(place[4]) + particle(said, place[4])

    parts = CODE_OR_MATHS.split(MARKED.sub(settled, text))
    return "".join(filled(part, bool(i % 2)) for i, part in enumerate(parts))


def fill_notebook(
    notebook: NotebookNode, own: Mapping[str, dict],
    others: Callable[[str], Mapping[str, dict]],
) -> None:
    """Fill the prose of an executed notebook for who opens it, from what was recorded.

    `own` are its records, `others` gives those of another chapter by its number. What
    neither has shows as a dash, of another chapter with its name.
    """
    others = functools.cache(others)

    def value(number: str, name: str, plain: bool) -> str:
        entry = (others(number) if number else own).get(name)
        if entry is None:
            return f"({number}: {name})" if number and not plain else NOT_THERE
        return entry["text"] if plain else scientific(entry["text"])

    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            cell.source = fill_places(cell.source, value)
