"""Commands in messages and pages are those that a reader can type."""

import ast
import re
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from lib import commands
from lib.commands import module_command
from lib.data.cache import ROOT


@pytest.mark.parametrize(("python", "words", "typed"), [
    (ROOT / ".venv/bin/python", ["korean"], ".venv/bin/python -m lib.data korean"),
    ("/opt/a b/python", [], '"/opt/a b/python" -m lib.data'),
    ("/usr/bin/python3", ["a b"], '/usr/bin/python3 -m lib.data "a b"'),
])
def test_a_command_has_the_python_that_runs(monkeypatch, python, words, typed):
    monkeypatch.setattr(sys, "executable", str(python))
    assert module_command("lib.data", *words) == typed


def test_on_windows_it_is_the_python_of_scripts(monkeypatch):
    root = PureWindowsPath(r"C:\My book")
    monkeypatch.setattr(commands, "Path", PureWindowsPath)
    monkeypatch.setattr(commands, "ROOT", root)
    monkeypatch.setattr(sys, "executable", rf"{root}\.venv\Scripts\python.exe")
    assert module_command("lib.data") == r".venv\Scripts\python -m lib.data"


def test_a_command_runs_as_it_is_written():
    typed = module_command("lib.data", "--list")
    done = subprocess.run(typed, shell=True, cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == 0 and b"tinyshakespeare" in done.stdout


MODULE = re.compile(r"python3? -m (lib|book|benchmarks)\b|jupytext --sync"
                    r"|tensorboard --logdir|accelerate launch --")


def messages(file: Path) -> list[str]:
    """The texts in a module that are no docstrings and no names of programs."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    apart = {id(word.value) for word in ast.walk(tree)
             if isinstance(word, ast.keyword) and word.arg == "prog"}
    apart |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)
            and isinstance(node.value, str) and id(node) not in apart]


@pytest.mark.slow
def test_no_message_names_a_python_that_may_be_another():
    files = [file for folder in ("lib", "book", "benchmarks")
             for file in (ROOT / folder).rglob("*.py")
             if "node_modules" not in file.parts]
    assert len(files) > 100
    bare = {f"{file.relative_to(ROOT)}: {text}" for file in files
            for text in messages(file) if MODULE.search(text)}
    assert bare == set()


def test_pages_name_the_python_of_the_book():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("book/*.md"), *ROOT.glob("notebooks/*.py"),
             *ROOT.glob("benchmarks/*.md")]
    bare = {f"{page.relative_to(ROOT)}: {line}" for page in pages
            for line in page.read_text(encoding="utf-8").splitlines()
            for hit in MODULE.finditer(line)
            if not line[:hit.start()].endswith("/bin/")}
    assert bare == set()
