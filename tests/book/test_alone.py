"""One at a time in a folder: a second one waits, or is told who is at work."""

import os
import signal
import subprocess
import sys

import house
import pytest

from book.alone import Busy, alone

HOLD = """\
import sys
from pathlib import Path
from book.alone import alone
with alone(Path(sys.argv[1]), "build", note=Path(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def held(tmp_path):
    """A file that another process holds, the note about it, and that process."""
    file, note = tmp_path / "file", tmp_path / "note.json"
    file.write_text("as it was")
    command = [sys.executable, "-c", HOLD, str(file), str(note)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          cwd=house.ROOT, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        yield file, note, holder
        holder.kill()


def test_who_does_not_wait_is_told_who_is_at_work_and_since_when(held):
    file, note, holder = held
    said = (rf"^A build is at work in this folder \(process {holder.pid}, since "
            r"\d\d:\d\d:\d\d\): let it end, or stop it, and run this again\.$")
    with pytest.raises(Busy, match=said), alone(file, "build", wait=False, note=note):
        pass
    note.unlink()  # what is not known is left out
    with pytest.raises(Busy, match=r"in this folder: let"), alone(
            file, "build", wait=False, note=note):
        pass


def test_the_lock_ends_with_its_holder_even_when_that_is_killed(held, capsys):
    file, note, holder = held
    holder.send_signal(signal.SIGKILL if os.name != "nt" else signal.SIGTERM)
    holder.wait()
    with alone(file, "build", note=note):
        assert str(os.getpid()) in note.read_text()
    assert capsys.readouterr().out == ""
    assert not note.exists() and file.read_text() == "as it was"


def test_what_cannot_be_locked_does_not_stop_the_work(tmp_path):
    with alone(tmp_path / "gone", "build") as keep:
        assert keep == ()
    assert not (tmp_path / "gone").exists()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="setup_and_run.sh is for Linux and macOS")
@pytest.mark.parametrize(("file", "work"), [
    ("book/build.py", "build"), ("requirements.txt", "set-up")])
def test_clean_leaves_a_folder_that_is_at_work_alone(tmp_path, file, work):
    home = house.build(tmp_path / "home")
    (home / "_build").mkdir()
    path = house.path_with(tmp_path / "bin", **{"python3.11": house.system_python()})
    with alone(home / file, work):
        done = house.go(home, "clean", path=path)
    assert done.returncode == 1 and (home / "_build").exists()
    assert done.stderr.startswith(f"A {work} is at work in this folder")
    assert done.stderr.count("\n") == 1
    assert house.go(home, "clean", path=path).returncode == 0
    assert not (home / "_build").exists()
