"""The plan of the house: who imports whom, what is reached, which names still hold."""

import ast
import re
import shutil
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from book.fingerprint import code_cells, library, load

ROOT = Path(__file__).parents[1]
LIB = ROOT / "lib"
NOTEBOOKS = sorted(ROOT.glob("notebooks/*.py"))
#: Rooms of one part of the book. What is not here serves all parts.
PARTS = {"attention": "I", "trace": "I", "gravity": "II", "tokens": "III",
         "vocabulary": "III", "workbench/transformer": "I", "workbench/ngt": "II",
         "workbench/ivr": "III"}
#: What a part takes from another: pieces and labels of Part III, and how text is
#: written with a language model, which Part I shows.
BORROWED = {
    "I": {"lib/tokens/__init__.py", "lib/tokens/bytelevel.py", "lib/tokens/labels.py"},
    "II": {"lib/attention/__init__.py", "lib/attention/generate.py",
           "lib/attention/rotary.py", "lib/tokens/__init__.py",
           "lib/tokens/bytelevel.py", "lib/tokens/labels.py"},
    "III": set(),
}


def place(file):
    return file.relative_to(ROOT).as_posix()


@cache
def reached(notebook):
    return {place(file) for file in library(
        cell.source for cell in code_cells(load(notebook)))}


def part_of(notebook):
    number = int(notebook.stem[:2])
    if number >= 90:
        return ("I", "II", "III")[number - 90]
    return "I" if number < 8 else "II" if number < 14 else "III"


PATH = re.compile(r"(?<![\w./-])(?:lib|tests|book)/[\w/]+\.py\b")

# ---- arrows --------------------------------------------------------------------------


def lint(folder):
    """What import-linter says of the contracts in a folder's pyproject.toml."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    return subprocess.run(
        [sys.executable, "-c", code, "--no-cache"], cwd=folder, check=False,
        capture_output=True, text=True, encoding="utf-8", env={"PYTHONUTF8": "1"},
    )


def test_imports_go_one_way_and_never_in_a_circle():
    done = lint(ROOT)
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


@pytest.mark.parametrize(("file", "line", "contract"), [
    ("lib/training/checkpoint.py", "from lib.gravity.model import LanguageModel",
     "lib is built in layers"),
    ("lib/page/figures.py", "import book.outputs", "lib never needs what makes"),
    ("lib/trace/record.py", "import lib.trace.recorder", "no circles"),
])
def test_a_wrong_import_is_found(tmp_path, file, line, contract):
    skip = shutil.ignore_patterns("__pycache__", "node_modules", "*.json*", "static")
    for folder in ("lib", "book", "benchmarks"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=skip)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    with (tmp_path / file).open("a", encoding="utf-8") as source:
        source.write(f"\n\ndef late():\n    {line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1
    broken = [row for row in done.stdout.splitlines() if row.endswith("BROKEN")]
    assert any(row.startswith(contract) for row in broken), done.stdout


# ---- rooms ---------------------------------------------------------------------------


def test_names_of_modules_are_no_packages_in_disguise():
    for folder in {file.parent for file in LIB.rglob("*.py")}:
        if folder.name == "exercises":
            continue
        words = Counter(file.stem.split("_")[0] for file in folder.glob("[!_]*.py"))
        assert [word for word, n in words.items() if n > 2] == [], folder


def test_every_module_is_reached_from_a_notebook_a_benchmark_or_a_command():
    others = [*ROOT.glob("benchmarks/*.py"), *ROOT.glob("book/*.py")]
    found = {place(file) for file in library(
        file.read_text(encoding="utf-8") for file in others)}
    for notebook in NOTEBOOKS:
        found |= reached(notebook)
    commands = {place(file) for file in LIB.rglob("__main__.py")}
    every = {place(file) for file in LIB.rglob("*.py")}
    assert every - found == commands


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda file: file.stem[:2])
def test_a_notebook_depends_on_rooms_of_its_own_part(notebook):
    """So an edit of one part executes no notebook of another."""
    part = part_of(notebook)
    for file in reached(notebook) - BORROWED[part]:
        room = next((room for room in PARTS if file.startswith(f"lib/{room}/")), None)
        assert room is None or PARTS[room] == part, file


# ---- names in strings and in prose ---------------------------------------------------


@cache
def defined(file):
    """Every name that a module defines at its top level, and those in its classes."""
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            names |= {(name.asname or name.name).split(".")[0] for name in node.names}
    return names


def resolves(dotted):
    """Whether `lib.x.y.Name.more` leads to a module, or to a name in one."""
    here, parts = LIB, dotted.split(".")[1:]
    while parts and (here / parts[0]).is_dir():
        here /= parts.pop(0)
    if parts and (here / f"{parts[0]}.py").is_file():
        file = here / f"{parts.pop(0)}.py"
    else:
        file = here / "__init__.py"
    return not parts or parts[0] in defined(file)


def texts():
    """The files in which modules are named: code, prose, tables and scripts."""
    known = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True,
                           text=True, check=True).stdout.splitlines()
    for name in known:
        if name.endswith((".py", ".md", ".toml", ".sh", ".bat", ".ipynb")) and (
                not name.startswith(("tests/book/", "tests/test_house.py", "tests/s"))
                and name != "book/lab_log.md"):
            yield name, (ROOT / name).read_text(encoding="utf-8")


def test_every_module_that_is_named_is_there():
    """`lib.x` in prose, in strings, behind `-m`: a move leaves none behind."""
    lost = []
    for name, text in texts():
        for dotted in set(re.findall(r"(?<![\w./])lib(?:\.[A-Za-z_]\w*)+", text)):
            if not resolves(dotted):
                lost.append((name, dotted))
        for path in set(PATH.findall(text)):
            if not (ROOT / path).is_file():
                lost.append((name, path))
    assert lost == []


def test_what_is_compiled_is_cached_under_the_name_of_its_module():
    """numba keeps what it compiled only where the file is imported under that name."""
    found = 0
    for file in LIB.rglob("*.py"):
        text = file.read_text("utf-8")
        for name in re.findall(r'cache=__name__ == "([\w.]+)"', text):
            assert name == ".".join(file.relative_to(ROOT).with_suffix("").parts)
            found += 1
    assert found >= 2


def test_the_tree_holds_files_only_and_nothing_of_one_machine():
    """No symbolic link (a linked `.venv` is somebody's path), nothing made here."""
    rows = subprocess.run(["git", "ls-files", "--stage"], cwd=ROOT, check=True,
                          capture_output=True, text=True).stdout.splitlines()
    modes = {row.split("\t")[1]: row.split()[0] for row in rows}
    assert len(modes) > 300
    assert [name for name, mode in modes.items() if mode[:2] != "10"] == []
    made = (".venv", "_build", "node_modules", "data/cache", "checkpoints")
    assert [name for name in modes if name.startswith(made)] == []
    for name in made[:4]:  # a link by that name is ignored like a folder
        subprocess.run(["git", "check-ignore", "-q", name], check=True, cwd=ROOT)
