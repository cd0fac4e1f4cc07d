"""The cells that a page shows open: the idea and nothing else."""

import ast
import re
from pathlib import Path

import jupytext
import pytest
from IPython.core.inputtransformer2 import TransformerManager

NOTEBOOKS = sorted(Path(__file__).parents[2].glob("notebooks/*.py"))
FOLDED = {"parameters", "hide-input", "remove-input", "hide-cell", "remove-cell",
          "solution"}
HANGUL = re.compile(r"[가-힣]")
#: Chapters whose idea was once imported instead of shown.
SHOWN = ("09", "10", "11", "13", "16", "17", "18")
EVERY = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem[:2])


def open_cells(notebook):
    """The code cells that stand open on the page."""
    return [cell for cell in jupytext.read(notebook).cells if cell.cell_type == "code"
            and not FOLDED & set(cell.metadata.get("tags", []))]


def tree(cell):
    return ast.parse(TransformerManager().transform_cell(cell.source))


def called(node):
    return getattr(node.func, "id", getattr(node.func, "attr", ""))


def glue(cell):
    """What in a cell is for the page and not for the reader."""
    for node in ast.walk(tree(cell)):
        if isinstance(node, ast.Raise):
            yield "raise"
        elif isinstance(node, ast.Call) and called(node) in ("record", "bilingual"):
            yield called(node)
        elif isinstance(node, ast.Call) and {"ko", "en"} <= {
                word.arg for word in node.keywords}:
            yield "ko=, en="
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and (
                " | " in node.value and HANGUL.search(node.value)):
            yield node.value


def idea_lines(cell):
    """Lines of code that are neither exercise, check, import nor comment."""
    if "exercise" in cell.metadata.get("tags", []) or "check_" in cell.source:
        return []
    return [line for line in cell.source.splitlines() if line.strip()
            and not line.lstrip().startswith(("#", "import ", "from "))]


@EVERY
def test_an_open_cell_holds_the_idea_and_nothing_else(notebook):
    found = {cell.source[:79]: [*glue(cell)] for cell in open_cells(notebook)}
    assert {cell: parts for cell, parts in found.items() if parts} == {}


@EVERY
def test_an_open_cell_is_read_without_scrolling(notebook):
    for cell in open_cells(notebook):
        lines = cell.source.splitlines()
        assert len(lines) <= 20, cell.source
        assert max(map(len, lines)) <= 79, max(lines, key=len)


@pytest.mark.parametrize("number", SHOWN)
def test_a_chapter_builds_its_idea_in_its_own_cells(number):
    [notebook] = [file for file in NOTEBOOKS if file.stem.startswith(number)]
    lines = [line for cell in open_cells(notebook) for line in idea_lines(cell)]
    assert len(lines) >= 150
