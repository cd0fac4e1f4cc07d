"""What a reader sees while notebooks run: on a terminal, and where there is none."""

import os
import subprocess
import sys

import pytest

from book import execute as executing
from book.execute import execute_many
from book.files import ROOT
from book.jobs import Job
from book.progress import PACE, SOON, Progress, last_bar

TRAINS = """\
# %%
import torch
from lib.training.loop import Recipe, fit

# %%
def squares(model, batch):
    return model(batch).pow(2).sum(), torch.tensor(batch.numel())

fit(torch.nn.Linear(3, 3), [torch.ones(2, 3)] * 4, Recipe(steps=4, warmup=0, batch=2),
    loss=squares, name="little")

# %%
1
"""


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    monkeypatch.setattr(executing, "EXECUTED", tmp_path / "cache")
    file = tmp_path / "01_trains.py"
    file.write_text(TRAINS)
    return file


@pytest.mark.slow
def test_the_bar_of_a_training_comes_through_as_plain_lines(notebook, capfd):
    (result,) = execute_many([Job(notebook, "smoke")])
    assert result.ok, result.error
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].startswith("01_trains, cell 2 of 3: little")
    assert "0% 0/4 [" in lines[0]
    assert "2 × 3 tokens a step, 12 parameters]" in lines[0]
    assert lines[-1].startswith("01_trains: ok, ")
    assert not any("\r" in line or "\x1b" in line for line in lines)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal of POSIX; run it "
                    "on Linux or macOS")
def test_on_a_terminal_a_line_below_the_bar_shows_the_training(notebook, tmp_path):
    import fcntl
    import pty
    import struct
    import termios

    program = (
        "from pathlib import Path\nfrom book import execute\n"
        f"execute.EXECUTED = Path({str(tmp_path / 'cache')!r})\n"
        f"execute.execute_many([execute.Job(Path({str(notebook)!r}), 'smoke')])\n"
    )
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 100, 0, 0))
    with subprocess.Popen([sys.executable, "-c", program], cwd=ROOT,
                          stdout=theirs, stderr=theirs) as running:
        os.close(theirs)
        seen = b""
        while True:
            try:
                block = os.read(ours, 4096)
            except OSError:  # the other side has closed
                break
            if not block:
                break
            seen += block
    os.close(ours)
    text = seen.decode(errors="replace")
    assert running.returncode == 0, text
    assert "01_trains, cell 2 of 3: little" in text
    assert "1 notebook: " in text and "01_trains: ok, " in text


def test_lines_come_at_a_modest_pace_and_for_each_new_bar(capsys):
    now = 0.0
    progress = Progress({"02_x": 5}, clock=lambda: now)
    progress.cell("02_x", 1, 5)
    for step in range(100):
        now = float(step)
        progress.inside("02_x", f"ngt: {step:3d}%|##  | {step}/100 [00:01<00:09]")
    now += SOON
    progress.inside("02_x", "bits:  50%|##  | 1/2 [00:01<00:01]")
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    steps = [line.split("/100")[0].split()[-1] for line in lines if "ngt" in line]
    first, second, *others = (int(step) for step in steps)
    assert (first, second) == (0, SOON)
    assert others == [SOON + PACE * n for n in (1, 2, 3)]
    assert lines[0] == "02_x, cell 2 of 5: ngt:   0% 0/100 [00:01<00:09]"
    assert lines[-1] == "02_x, cell 2 of 5: bits:  50% 1/2 [00:01<00:01]"


def test_a_run_that_shows_nothing_says_nothing(capsys):
    progress = Progress({"02_x": 5}, on=False)
    progress.cell("02_x", 1, 5)
    progress.inside("02_x", "ngt: 10%|#   | 1/10 [00:01<00:09]")
    progress.finished("02_x", "ok")
    progress.close()
    assert capsys.readouterr().err == ""


def test_of_what_a_cell_writes_only_a_bar_is_told():
    assert last_bar("\x1b[A\rbits:  50%|##  | 1/2 [00:01<00:01]\n\r     \r") == (
        "bits:  50%|##  | 1/2 [00:01<00:01]")
    assert last_bar("FutureWarning: 100% of it\n") == ""
