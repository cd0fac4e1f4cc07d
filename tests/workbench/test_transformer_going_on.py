"""The workbench twice: cut off it goes on, finished it is used, none is replaced."""

import json
import shutil
import signal

import pandas as pd
import pytest

from lib.training.checkpoint import CheckpointError
from lib.training.process import Diverged
from lib.workbench.transformer import training as bench
from lib.workbench.transformer.files import leave, loaded
from lib.workbench.transformer.training import TRAINED, Options, prepare
from tests.workbench.test_transformer import TINY, trained


def interrupted(folder, version, monkeypatch):
    """Train, and press Ctrl-C while the validation loss is taken; what it says."""
    def pressed(*args, **more):
        pressed.calls += 1
        if pressed.calls == 6:
            signal.raise_signal(signal.SIGINT)
        return validation_loss(*args, **more)

    pressed.calls, validation_loss = 0, bench.validation_loss
    with monkeypatch.context() as patch:
        patch.setattr(bench, "validation_loss", pressed)
        with pytest.raises(KeyboardInterrupt) as caught:
            trained(folder, version, track_internals=True)
    return str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("version", TRAINED)
def test_the_same_command_goes_on_from_the_step_that_was_interrupted(
    tmp_path, version, monkeypatch, capsys
):
    whole = trained(tmp_path / "whole", version)
    said = interrupted(tmp_path / "cut", version, monkeypatch)
    assert said == "stopped at step 6 of 10; the same command goes on from there"
    went_on = trained(tmp_path / "cut", version)
    assert "going on from step 6 of 10" in capsys.readouterr().err
    pd.testing.assert_frame_equal(  # of the Trainer to a rounding
        went_on.curve[["step", "valid"]], whole.curve[["step", "valid"]],
        check_exact=version == "pytorch", rtol=1e-6)
    again = trained(tmp_path / "cut", version, track_internals=True)
    assert "all 10 steps of it: nothing is trained" in capsys.readouterr().err
    assert again.curve["valid"].tolist() == went_on.curve["valid"].tolist()
    assert again.scores == went_on.scores
    assert again.seconds >= went_on.seconds  # none of them are forgotten
    if version == "pytorch":  # what its checkpoints show
        assert again.snapshots.steps == [0, 5, 10]


@pytest.mark.slow
@pytest.mark.parametrize("version", TRAINED)
def test_a_training_of_other_options_is_replaced_only_by_force(tmp_path, version):
    trained(tmp_path, version)
    before = {file: file.read_bytes() for file in tmp_path.rglob("*.json")}
    sentence = ("was trained with hidden_size 16 and this run has 24; go on with the "
                "same, name another output_dir, or replace it with --force")
    with pytest.raises(CheckpointError, match=sentence):
        trained(tmp_path, version, hidden_size=24)
    with pytest.raises(CheckpointError, match="at step 10, and with epochs 1 it has 5"):
        trained(tmp_path, version, epochs=1)
    assert before == {file: file.read_bytes() for file in before}
    run = trained(tmp_path, version, hidden_size=24, force=True)
    assert run.task.config.d_model == 24 and run.step == 10


def test_a_folder_of_another_training_ends_the_run_before_either_version(tmp_path):
    trained(tmp_path, "huggingface")
    options = Options(**vars(TINY) | {"output_dir": str(tmp_path), "num_layers": 2})
    with pytest.raises(CheckpointError, match="was trained with num_layers 1"):
        prepare(options)


@pytest.mark.parametrize("version", TRAINED)
def test_a_training_that_diverges_says_step_and_what_to_lower(tmp_path, version):
    with pytest.raises(Diverged, match=r"training diverged: at step \d of 10 the .* "
                       r"is (nan|inf).*; lower learning_rate \(1e\+30\)"):
        trained(tmp_path, version, learning_rate=1e30)


@pytest.mark.slow
def test_what_was_trained_decides_what_is_told_of_it(tmp_path):
    for version in TRAINED:
        run = trained(tmp_path, version)
        leave(run, run.options)
    arguments = json.loads(
        (tmp_path / "huggingface" / "training_args.json").read_text())
    assert arguments["num_train_epochs"] == TINY.epochs
    asked = Options(version="analysis", output_dir=str(tmp_path), device="cpu")
    for run in loaded(asked):
        assert run.options.hidden_size == 16 and run.options.train_size == 40
    shutil.rmtree(tmp_path / "pytorch" / "logs")  # as where it was cut off
    cut_off = loaded(asked)[0]
    assert cut_off.options.hidden_size == 16 and cut_off.scores == {}
