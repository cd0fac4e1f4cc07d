"""The tests that every module of exercises needs, made from its cases.

A check of `lib.exercises` takes right answers of any shape, gives each typical mistake
the hint that fits, and never raises. Each function here returns one such test, which a
test module binds to a name that says what it is about:

    test_right_norms_are_accepted = accepts(check_norm, by_hand, by_torch)
    test_wrong_norms_get_their_hint = hints(check_norm, (by_rms, "RMSNorm"))
    test_unfinished_answers_are_no_answers = stubs(check_norm, check_mask)
    test_the_chapter_asks_them_all = chapter("04_encoder_decoder", (check_norm, …))
"""

import ast
from collections.abc import Callable
from functools import cache
from pathlib import Path

import jupytext
import pytest

from lib.exercises import Verdict

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
NO_ANSWER = "There is no answer yet."
Check = Callable[..., Verdict]


def turned_down(verdict: Verdict, hint: str) -> None:
    """Assert that `verdict` says no, with `hint`, in Korean and in English."""
    assert isinstance(verdict, Verdict), f"no verdict but {verdict!r}"
    assert not verdict.accepted, f"accepted: {verdict.en}"
    assert hint in verdict.en, f"the hint is {verdict.en!r}, not {hint!r}"
    assert any("가" <= letter <= "힣" for letter in verdict.ko), verdict.ko


def accepts(check: Check, *answers: object) -> Callable:
    """Make the test that `check` accepts answers written in two ways or more."""
    assert len(answers) > 1, "two right answers, written differently, are needed"

    @pytest.mark.parametrize("answer", answers)
    def test(answer):
        verdict = check(answer)
        assert isinstance(verdict, Verdict), f"no verdict but {verdict!r}"
        assert verdict.accepted, verdict.en

    return test


def hints(check: Check, *mistakes: tuple[object, str]) -> Callable:
    """Make the test that each mistake is turned down with a word of its hint."""
    assert mistakes, "a mistake and a word of its hint are needed"
    assert all(hint for _, hint in mistakes), "an empty hint fits everything"

    @pytest.mark.parametrize("answer, hint", mistakes)
    def test(answer, hint):
        turned_down(check(answer), hint)

    return test


def _raises(error: Exception) -> Callable:
    def answer(*given: object) -> None:
        raise error

    return answer


# what an answer may be before it is one, and a word of what is said about it
UNFINISHED = {
    "nothing at all": (None, NO_ANSWER),
    "three dots": (..., NO_ANSWER),
    "a function of three dots": (lambda *given: ..., NO_ANSWER),
    "a function without return": (lambda *given: None, NO_ANSWER),
    "not implemented": (_raises(NotImplementedError()), NO_ANSWER),
    "an error": (_raises(ZeroDivisionError("by hand")), "ZeroDivisionError: by hand"),
    "the wrong kind": (lambda *given: "seven", ""),  # whatever is said about it
}


def stubs(*checks: Check) -> Callable:
    """Make the test that no unfinished answer is accepted, and that none raises."""
    assert checks, "a check is needed"

    @pytest.mark.parametrize("answer, hint", UNFINISHED.values(), ids=UNFINISHED)
    @pytest.mark.parametrize("check", checks)
    def test(check, answer, hint):
        verdict = check(answer)
        turned_down(verdict, hint)
        assert verdict.en

    return test


# the exercises as the chapter puts them


@cache
def _cells(name: str) -> list[tuple[frozenset[str], ast.Module]]:
    """Return the code cells of a chapter: their tags and what they hold."""
    notebook = jupytext.read(NOTEBOOKS / f"{name}.py")
    return [
        (frozenset(cell.metadata.get("tags", ())), ast.parse(cell.source))
        for cell in notebook.cells
        if cell.cell_type == "code"
    ]


def _asked(cell: ast.Module) -> ast.Expr | None:
    """Return the last line of a cell where it is `check_…(…)`."""
    last = cell.body[-1] if cell.body else None
    match last:
        case ast.Expr(ast.Call(ast.Name(called))) if called.startswith("check_"):
            return last
    return None


def _names(lines: list[ast.stmt]) -> set[str]:
    """Return every name that is written in these lines."""
    nodes = [node for line in lines for node in ast.walk(line)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


def _binds(line: ast.stmt) -> set[str]:
    """Return what an import, a function or a class is called by."""
    match line:
        case ast.Import(names) | ast.ImportFrom(names=names):
            return {(one.asname or one.name).split(".")[0] for one in names}
        case ast.FunctionDef(name) | ast.ClassDef(name):
            return {name}
    return set()


def _needed(lines: list[ast.stmt], chapter: list[ast.stmt]) -> list[ast.stmt]:
    """Return the imports and definitions of the chapter that these lines rest on."""
    taken: list[ast.stmt] = []
    while more := [
        line
        for line in chapter
        if line not in taken and line not in lines
        and _binds(line) & _names([*lines, *taken])
    ]:
        taken += more
    return [line for line in chapter if line in taken]


def _verdicts(name: str, kind: str, given: dict) -> dict[str, Verdict]:
    """Return what the chapter's own cells of this kind are told, by check.

    A kind is `exercise` (the stub, asked about in the cell after it) or `solution`.
    Nothing else of the chapter is run: it lends its imports and functions, and
    `given` stands for its variables.
    """
    cells = _cells(name)
    whole = [line for _, cell in cells for line in cell.body]
    found: dict[str, Verdict] = {}
    for at, (tags, cell) in enumerate(cells):
        after = cells[at + 1][1] if kind == "exercise" and kind in tags else cell
        asked = _asked(after)
        if kind not in tags or asked is None:
            continue
        own = [line for line in cell.body if not isinstance(line, ast.Expr)]
        own = [line for line in own if not isinstance(line, ast.Assert)]
        lent = _needed([*own, asked], whole)
        space = dict(given)
        exec(compile(ast.Module([*lent, *own], []), name, "exec"), space)  # noqa: S102
        verdict = eval(compile(ast.Expression(asked.value), name, "eval"), space)
        assert asked.value.func.id not in found, f"{asked.value.func.id} comes twice"
        found[asked.value.func.id] = verdict
    return found


def chapter(
    name: str, checks: tuple[Check, ...], given: Callable[[], dict] = dict
) -> Callable:
    """Make the test that a chapter's stubs are open and its solutions right.

    Each of `checks` is asked in the chapter, once about a stub, once about a solution.
    What they read of the chapter's variables comes from `given()`, in the test.
    """
    names = {check.__name__ for check in checks}

    @pytest.mark.parametrize("kind", ["exercise", "solution"])
    def test(kind):
        verdicts = _verdicts(name, kind, given())
        assert set(verdicts) == names, f"{name} asks {sorted(verdicts)}"
        for asked, verdict in verdicts.items():
            if kind == "exercise":
                turned_down(verdict, NO_ANSWER)
            else:
                assert verdict.accepted, f"{asked}: {verdict.en}"

    return test
