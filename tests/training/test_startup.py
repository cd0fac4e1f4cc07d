"""A training twice: cut off it goes on, finished it is used, no other is replaced."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lib.files import Taken, alone, beside
from lib.training.checkpoint import CheckpointError, describe
from lib.training.process import Diverged
from lib.workbench.ngt import training as ngt
from lib.workbench.ngt.log import scalars
from lib.workbench.ngt.options import for_profile
from lib.workbench.ngt.training import Options, check, prepare, train

ROOT = Path(__file__).parents[2]
TINY = Options(
    hidden_dim=16, num_layers=1, num_heads=2, mlp_dim=16, block_size=8, batch_size=2,
    max_steps=7, eval_interval=3, eval_iters=1, vis_interval=0, learning_rate=1e-2,
    dropout=0.3, device="cpu",
)


@pytest.fixture
def tiny(tmp_path):
    """Options of a run of a blink, in folders of the test."""
    file = tmp_path / "text.txt"
    file.write_text("to be or not to be\n" * 60, encoding="utf-8")
    return replace(TINY, data_path=str(file), checkpoint_path=str(tmp_path / "run"),
                   run_name=str(tmp_path / "board"))


def done(options):
    options = check(options)
    return train(options, prepare(options))


def interrupted(options, at, monkeypatch):
    """Run, and press Ctrl-C in the step `at`; what it says."""
    def pressed(*args, **more):
        pressed.calls += 1
        if pressed.calls == at:
            signal.raise_signal(signal.SIGINT)
        return ngt_objective(*args, **more)

    pressed.calls, ngt_objective = 0, ngt.objective
    with monkeypatch.context() as patch:
        patch.setattr(ngt, "objective", pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            done(options)
    return str(caught.value)


def test_the_same_command_goes_on_from_the_step_that_was_interrupted(
    tiny, tmp_path, monkeypatch, capsys
):
    whole = done(replace(tiny, checkpoint_path=str(tmp_path / "whole"),
                         run_name=str(tmp_path / "other")))
    said = interrupted(tiny, 5, monkeypatch)  # between two saves
    assert said == "stopped at step 5 of 7; the same command goes on from there"
    assert describe(tiny.folder / "last")["step"] == 5
    run = done(tiny)
    assert "going on from step 5 of 7, kept in" in capsys.readouterr().err
    assert run.losses == whole.losses
    for a, b in zip(run.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)
    assert list(scalars(tiny.board).index) == [3, 6, 7]


def test_a_finished_training_is_used_and_a_longer_one_goes_on(
    tiny, monkeypatch, capsys
):
    first = done(tiny)
    before = {file: file.read_bytes() for file in tiny.folder.rglob("*.json")}
    again = done(tiny)
    assert "all 7 steps of it: nothing is trained" in capsys.readouterr().err
    assert again.losses == first.losses and again.valid == first.valid
    assert again.history.seconds == first.history.seconds
    assert before == {file: file.read_bytes() for file in before}
    longer = done(replace(tiny, max_steps=9))
    assert longer.losses[:7] == first.losses and len(longer.losses) == 9
    with pytest.raises(CheckpointError, match=r"holds this training at step 9, and "
                       r"with max_steps 7 it has 7; raise max_steps, name another"):
        done(tiny)


@pytest.mark.parametrize(("change", "said"), [
    ({"kernel": "newton"}, "was trained with kernel gaussian and this run has newton"),
    ({"seed": 1}, "was trained with seed 0 and this run has 1"),
    ({"learning_rate": 0.1}, "was trained with learning_rate 0.01 and this run has"),
    ({"model": "vanilla"}, "was trained with model ngt and this run has vanilla"),
])
def test_a_training_of_other_options_is_replaced_only_by_force(tiny, change, said):
    done(tiny)
    before = {file: file.read_bytes() for file in tiny.folder.rglob("*")
              if file.is_file()}
    other = replace(tiny, **change)
    with pytest.raises(CheckpointError) as caught:
        prepare(check(other))  # before the text is read
    assert said in str(caught.value) and len(str(caught.value)) < 400
    assert "name another checkpoint_path, or replace it with --force" in str(
        caught.value)
    assert before == {file: file.read_bytes() for file in before}
    run = done(replace(other, force=True))
    assert describe(run.folder / "last")["step"] == 7
    assert len(run.losses) == 7


def test_a_training_begun_by_force_says_how_to_go_on_with_it(tiny, monkeypatch):
    done(tiny)
    said = interrupted(replace(tiny, force=True), 2, monkeypatch)
    assert said == ("stopped at step 2 of 7; the same command without force goes on "
                    "from there")
    assert len(done(tiny).losses) == 7


def test_by_force_a_finished_training_is_made_again(tiny):
    first = done(tiny)
    again = done(replace(tiny, force=True))
    assert again.losses == first.losses
    assert again.history.seconds != first.history.seconds


def test_resume_and_force_exclude_each_other():
    with pytest.raises(ValueError, match="resume goes on with a training and force"):
        check(replace(TINY, resume=True, force=True))


def test_a_training_of_another_text_is_not_gone_on_with(tiny):
    done(tiny)
    Path(tiny.data_path).write_text("another text\n" * 90, encoding="utf-8")
    with pytest.raises(CheckpointError, match="was trained on another text than what"):
        done(tiny)


def test_damaged_checkpoints_are_replaced_only_by_force(tiny):
    done(tiny)
    for index in tiny.folder.glob("*/checkpoint.json"):
        index.write_text("{")
    with pytest.raises(CheckpointError, match=r"damaged .*; name another folder, or r"):
        done(tiny)
    assert len(done(replace(tiny, force=True)).losses) == 7


def test_the_log_of_a_run_of_other_options_is_not_replaced_unasked(tiny, tmp_path):
    done(tiny)
    other = replace(tiny, num_layers=2, checkpoint_path=str(tmp_path / "other"))
    with pytest.raises(CheckpointError, match="is the log of a run with num_layers 1"):
        done(other)
    assert list(scalars(tiny.board).index) == [3, 6, 7]
    assert json.loads((tiny.board / "options.json").read_text())["num_layers"] == 1
    done(replace(other, force=True))
    assert json.loads((tiny.board / "options.json").read_text())["num_layers"] == 2


def test_the_profile_smoke_begins_anew_in_a_folder_of_its_own():
    assert for_profile(Options(), "smoke").force
    assert not for_profile(Options(resume=True), "smoke").force
    assert not for_profile(Options(checkpoint_path="mine"), "smoke").force


# ---- two at once


def test_two_trainings_into_one_folder_say_who_has_it(tiny):
    script = f"""
import sys
from pathlib import Path
from lib.files import alone, beside
folder = Path({str(tiny.folder)!r})
with alone(beside(folder), folder):
    print("here", flush=True)
    sys.stdin.read()
"""
    other = subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert other.stdout.readline() == "here\n"
        with pytest.raises(Taken) as caught:
            done(tiny)
        assert f"(process {other.pid}, since " in str(caught.value)
        assert "wait until it has ended, or name another folder" in str(caught.value)
        assert not tiny.folder.exists()
    finally:
        other.communicate()
    done(tiny)


def test_a_lock_is_given_back_by_a_run_that_is_killed(tmp_path):
    script = f"""
import os, signal
from pathlib import Path
from lib.files import alone, beside
with alone(beside(Path({str(tmp_path)!r})), Path({str(tmp_path)!r})):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT,
                          check=False).returncode == -9
    with alone(beside(tmp_path), tmp_path), alone(beside(tmp_path), tmp_path):
        pass  # by its holder it may be taken again


# ---- a training that diverges


def test_a_training_that_diverges_stops_and_says_step_rate_and_what_to_lower(tiny):
    options = replace(tiny, learning_rate=1e30)
    with pytest.raises(Diverged) as caught:
        done(options)
    said = str(caught.value)
    assert said.startswith(  # the second of 50 steps of warm-up
        "the training diverged: at step 2 of 7 the loss is nan, with learning rate "
        "4e+28; lower learning_rate (1e+30), or raise the warm-up (50)")
    assert said.endswith("; nothing was saved yet")
    assert not (options.folder / "last").exists()


@pytest.mark.parametrize("where", ["gradient", "validation"])
def test_the_last_good_checkpoint_is_kept_where_it_diverges_later(
    tiny, where, monkeypatch
):
    """The loss is finite, its gradient or the validation loss is not."""
    def broken(model, batch, weight=0.0):
        broken.calls += 1
        total, tokens, shown = objective(model, batch, weight)
        if where == "gradient" and broken.calls == 5:
            total = total * torch.where(total > 0, total, torch.nan).sqrt() ** 0
            first = next(model.parameters())
            total = total + (first - first).abs().sqrt().sum()  # 0, its slope is not
        return total, tokens, shown

    def evaluated(*args, **more):
        evaluated.calls += 1
        late = where == "validation" and evaluated.calls == 2
        return float("nan") if late else evaluate(*args, **more)

    broken.calls, evaluated.calls = 0, 0
    objective, evaluate = ngt.objective, ngt.evaluate
    monkeypatch.setattr(ngt, "objective", broken)
    monkeypatch.setattr(ngt, "evaluate", evaluated)
    with pytest.raises(Diverged) as caught:
        done(tiny)
    what, step = {"gradient": ("norm of the gradients", 5),
                  "validation": ("validation loss", 6)}[where]
    assert f"at step {step} of 7 the {what} is nan" in str(caught.value)
    assert str(caught.value).endswith("; the checkpoint of step 3 is kept")
    assert describe(tiny.folder / "last")["step"] == 3


def test_of_several_processes_the_first_holds_the_lock(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "RANK", "1")
    with alone(tmp_path / ".lock", tmp_path):
        assert not (tmp_path / ".lock").exists()
