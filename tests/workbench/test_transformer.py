"""The workbench: both versions are one model, every option reaches both, files open."""

import os
import shutil
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from lib.attention import translation
from lib.training.checkpoint import CheckpointError, describe, load
from lib.workbench.transformer.files import _told as told
from lib.workbench.transformer.files import (
    analyses,
    leave,
    loaded,
    opens,
    self_test,
    tensors,
    tree,
    untrained,
)
from lib.workbench.transformer.options import SMOKE, VERSIONS, for_profile
from lib.workbench.transformer.training import (
    TRAINED,
    Options,
    check,
    first_model,
    loss_of,
    prepare,
    train,
    versions,
    written,
)

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "notebooks" / "90_transformer.ipynb"
TINY = Options(hidden_size=16, num_layers=1, num_heads=2, epochs=2, batch_size=8,
               train_size=40, eval_size=6, max_length=32, device="cpu", seed=3,
               track_internals=False, visualize=False)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """One small training of both versions, tracked and drawn, with its files."""
    options = replace(TINY, output_dir=str(tmp_path_factory.mktemp("results")),
                      track_internals=True, visualize=True, debug=True)
    task = prepare(check(options))
    runs = [train(options, task, version) for version in versions(options)]
    files = [leave(run, options) for run in runs]
    return options, task, runs, files


def trained(folder, version="pytorch", **changes):
    options = replace(TINY, output_dir=str(folder), **changes)
    return train(check(options), prepare(options), version)


# ---- one model under two sets of names ----------------------------------------------


@pytest.mark.slow
def test_both_versions_start_alike_and_learn_alike(both):
    ours, theirs = (run.curve.set_index("step")["valid"] for run in both[2])
    assert list(ours.index) == list(theirs.index) == list(range(11))
    # float32, the same formulas in another order
    assert (ours - theirs).abs().max() < 1e-4
    assert ours.iloc[-1] < ours.iloc[0] - 0.2


@pytest.mark.slow
def test_with_the_same_options_the_losses_are_the_same_to_the_bit(both, tmp_path):
    for run in both[2]:
        again = trained(tmp_path, run.version)  # neither tracked nor drawn
        pd.testing.assert_frame_equal(again.curve, run.curve, check_exact=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [{"hidden_size": 24}, {"num_layers": 2}, {"num_heads": 4}, {"epochs": 1},
     {"batch_size": 10}, {"learning_rate": 1e-4}, {"train_size": 48},
     {"eval_size": 8}, {"seed": 4}, {"mixed_precision": "bf16"},
     {"label_smoothing": 0.2}, {"schedule": "noam"}, {"warmup_steps": 5},
     {"dropout": 0.3}, {"norm_first": False}, {"vocab_size": 90}],
    ids=lambda change: next(iter(change)),
)
def test_every_option_acts_on_both_versions(both, tmp_path, change):
    for run in both[2]:
        other = trained(tmp_path, run.version, **change)
        same = (len(other.curve) == len(run.curve)
                and other.curve["train"].equals(run.curve["train"])
                and other.curve["valid"].equals(run.curve["valid"]))
        assert not same, (run.version, change)


@pytest.mark.slow
def test_accumulating_parts_changes_no_loss_of_either_version(both, tmp_path):
    for run in both[2]:
        parts = trained(tmp_path, run.version, gradient_accumulation_steps=4)
        assert (parts.curve["valid"] - run.curve["valid"]).abs().max() < 1e-5


def test_both_write_token_by_token_what_the_best_next_token_is(both):
    _, task, runs, _ = both
    for run in runs:
        [text] = written(run.model, task, task.valid[:1])
        source = translation.encode(task.tokenizer, [task.valid[0].source])
        ids = [translation.BOS]
        with torch.no_grad():
            while len(ids) < task.config.max_length and translation.EOS not in ids:
                target = torch.tensor([[*ids, translation.EOS]])
                if run.version == "pytorch":
                    logits = run.model.eval()(source, target[:, :-1])
                else:
                    logits = run.model.eval()(
                        input_ids=source, decoder_input_ids=target[:, :-1]).logits
                ids.append(int(logits[0, -1].argmax()))
        assert text == translation.decode(task.tokenizer, torch.tensor([ids[1:]]))[0]


# ---- files ---------------------------------------------------------------------------


def test_every_file_of_the_trees_is_there_and_opens(both):
    options, _, _, files = both
    for pattern in tree(options):
        assert any(options.folder.glob(pattern)), pattern
    for file in [*files[0], *files[1]]:
        assert opens(file), file


def test_the_steps_of_the_attention_pictures_are_those_of_the_snapshots(both):
    options, _, runs, _ = both
    names = {file.name for file in (options.folder / "huggingface/visualizations"
                                    / "attention").glob("attention_step_*.png")}
    steps = runs[1].snapshots.steps
    assert steps == [0, 2, 4, 6, 8, 10]
    assert names == {f"attention_step_{step:06d}.png" for step in steps}


def test_the_saved_models_are_loaded_without_their_options(both):
    options, task, runs, _ = both
    there = loaded(Options(version="analysis", output_dir=options.output_dir,
                           device="cpu"))
    assert [run.version for run in there] == [*TRAINED]
    for run, before in zip(there, runs, strict=True):
        assert written(run.model, task, task.valid) == written(
            before.model, task, task.valid)
        assert run.scores == before.scores
        assert list(analyses(run)) == ["qkv", "attention", "feed_forward", "gradient",
                                       "path"]
    assert there[0].snapshots.steps == [5, 10]  # its checkpoints, one an epoch


def test_a_model_of_hugging_face_opens_with_from_pretrained(both):
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    place = both[0].folder / "huggingface" / "model"
    model = AutoModelForSeq2SeqLM.from_pretrained(place, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(place, local_files_only=True)
    assert model.config.d_model == 16
    assert tokenizer.decode(tokenizer("2026년 3월 5일").input_ids,
                            skip_special_tokens=True) == "2026년 3월 5일"


def test_debug_tells_of_every_tensor_and_counts_what_is_not_finite(both):
    options, _, runs, _ = both
    for run in runs:
        table = pd.read_csv(options.folder / run.version / "logs" / "tensors.csv")
        assert {"encoder.blocks.0.attn.q", "decoder.blocks.0.cross.pattern",
                "decoder.blocks.0.mlp.post"} <= set(table["name"])
        assert (table["not finite"].drop(table.index[
            table["name"].str.endswith("scores")]) == 0).all()
    broken = untrained(both[0], both[1])
    with torch.no_grad():
        broken.model.encoder[0].feed_forward.up.weight[0, 0] = torch.nan
    bad = tensors(broken).set_index("name")["not finite"]
    assert bad["encoder.blocks.0.mlp.pre"] > 0
    assert bad["encoder.blocks.0.attn.pattern"] == 0


@pytest.mark.slow
def test_switched_off_there_are_no_pictures_and_no_snapshots(tmp_path):
    for version in TRAINED:
        run = trained(tmp_path, version)
        files = leave(run, replace(TINY, output_dir=str(tmp_path)))
        assert run.snapshots is None
        assert not [file for file in files if file.suffix == ".png"]
        assert any(file.name == "attention.csv" for file in files)
        assert not any(file.name == "tensors.csv" for file in files)


@pytest.mark.slow
def test_analysis_leaves_what_training_wrote_as_it_was(both):
    options = replace(both[0], version="analysis")
    before = {file: file.read_bytes() for file in options.folder.rglob("*.json")}
    for run in loaded(options):
        for file in leave(run, options):
            assert file.is_relative_to(options.folder / "analysis")
    assert before == {file: file.read_bytes() for file in before}


# ---- going on ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("version", TRAINED)
def test_a_training_that_was_killed_goes_on_where_it_was(tmp_path, version):
    whole = trained(tmp_path / "whole", version)
    script = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.workbench.test_transformer import *
import lib.workbench.transformer.training as bench
seen = bench.validation_loss
def loss(model, task, rows=256, count=[]):
    count.append(1)
    if len(count) == 8:
        os.kill(os.getpid(), signal.SIGKILL)
    return seen(model, task, rows)
bench.validation_loss = loss
trained({str(tmp_path / "cut")!r}, {version!r})
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -9
    went_on = trained(tmp_path / "cut", version, resume=True)
    tail = went_on.curve.set_index("step")["valid"].loc[7:]
    expected = whole.curve.set_index("step")["valid"].loc[7:]
    assert len(tail) == 4
    if version == "pytorch":
        assert tail.equals(expected)
    else:
        assert tail.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert list(went_on.curve["step"]) == list(whole.curve["step"])


@pytest.mark.slow
@pytest.mark.parametrize("version", TRAINED)
def test_more_epochs_go_on_with_what_is_there(tmp_path, version):
    constant = {"schedule": "constant", "warmup_steps": 1}
    trained(tmp_path, version, epochs=1, **constant)
    longer = trained(tmp_path, version, epochs=2, resume=True, **constant)
    assert longer.step == 10
    assert longer.curve["step"].max() == 10


def test_with_the_last_save_gone_the_one_before_is_gone_on_with(tmp_path, capsys):
    constant = {"schedule": "constant", "warmup_steps": 1}
    trained(tmp_path, "pytorch", epochs=1, **constant)
    shutil.rmtree(tmp_path / "pytorch" / "checkpoints" / "last")
    with pytest.raises(CheckpointError, match="before was trained with hidden_size"):
        trained(tmp_path, "pytorch", hidden_size=32, resume=True)
    longer = trained(tmp_path, "pytorch", epochs=2, resume=True, **constant)
    assert "going on from" in capsys.readouterr().err
    assert longer.step == 10


@pytest.mark.parametrize("version", TRAINED)
def test_another_shape_is_not_gone_on_with(tmp_path, version):
    trained(tmp_path, version)
    sentence = "was trained with hidden_size 16 and this run has 32; go on with"
    with pytest.raises(CheckpointError, match=sentence):
        trained(tmp_path, version, hidden_size=32, resume=True)


def test_a_fresh_training_clears_what_the_one_before_left(tmp_path):
    trained(tmp_path, "pytorch", epochs=3)
    trained(tmp_path, "pytorch", epochs=1, force=True)
    kept = {place.name for place in (tmp_path / "pytorch/checkpoints").iterdir()}
    assert kept == {"best", "last", "before", "epoch_1"}  # all of the second run
    assert describe(tmp_path / "pytorch/checkpoints/before")["step"] < 5
    assert describe(tmp_path / "pytorch/checkpoints/last")["step"] == 5
    weights, about = load(tmp_path / "pytorch/checkpoints/best")
    assert about["configuration"] == asdict(replace(
        TINY, output_dir=str(tmp_path), epochs=1, force=True))
    assert any(name.startswith("optimizer.") for name in weights)  # to go on from


# ---- wrong use -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "change, sentence",
    [
        ({"hidden_size": 100},
         "100 does not divide into num_heads 8; use hidden_size 96 or 104, or 5 heads"),
        ({"hidden_size": 9, "num_heads": 3}, "of even width; use hidden_size 6 or 12"),
        ({"version": "torch"},
         "'torch' is not known; use one of both, pytorch, huggingface, analysis, test"),
        ({"device": "gpu"}, "device 'gpu' is not known; use one of auto, cpu, cuda"),
        ({"mixed_precision": "fp8"}, "mixed_precision 'fp8' is not known; use one of"),
        ({"mixed_precision": "fp16"}, "'fp16' needs a GPU and this run is on the cpu"),
        ({"schedule": "linear"}, "schedule 'linear' is not known; use one of constant"),
        ({"epochs": 0}, "epochs is 0; use 1 or more"),
        ({"eval_size": 1}, "eval_size is 1; use 2 or more"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; use more than 0"),
        ({"dropout": 1.0}, "dropout is 1.0; use 0 or more, below 1"),
        ({"batch_size": 4000}, "batch_size 4000 is more than train_size 2000; lower"),
        ({"gradient_accumulation_steps": 3},
         "batch_size 16 cannot be cut into gradient_accumulation_steps 3 equal parts"),
        ({"max_length": 12}, r"longest sequence has \d+ tokens and max_length is 12"),
        ({"vocab_size": 20}, "vocab_size 20 does not hold"),
        ({"wandb": True}, "wandb was asked for and is not installed"),
        ({"resume": True}, "resume was asked for and .* holds no training to go on"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_use_ends_in_one_sentence_before_any_training(tmp_path, change, sentence):
    given = {"device": "cpu", "output_dir": str(tmp_path)} | change
    with pytest.raises(ValueError, match=sentence) as caught:
        prepare(check(Options(**given)))
    assert len(str(caught.value)) < 300  # the report of a run shows as much
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA; run it "
                    "with CUDA_VISIBLE_DEVICES= (empty)")
def test_cuda_where_there_is_none_is_one_sentence():
    with pytest.raises(ValueError, match="'cuda' was asked for and this machine has"):
        check(Options(device="cuda"))


# What is free is set low: a machine with little memory. In a process of its own: one
# that has run other tests holds memory that it can use again.
LITTLE_MEMORY = """
import sys
from pathlib import Path
from lib.training import out_of_memory as memory
from tests.workbench.test_transformer import trained

memory.available = lambda: 64 << 20
trained(Path(sys.argv[1]), sys.argv[2], hidden_size=512, num_layers=2, batch_size=256,
        train_size=256)
"""


@pytest.mark.slow
@pytest.mark.parametrize("version", TRAINED)
def test_a_batch_too_large_for_memory_is_one_sentence(tmp_path, version):
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY, str(tmp_path), version],
        cwd=ROOT, check=False, capture_output=True, text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode != 0
    lines = done.stderr.splitlines()
    module = "lib.training.out_of_memory."
    said = next((line for line in lines if line.startswith(module)), "")
    assert said.startswith(f"{module}OutOfMemory: memory ran out "), lines[-5:]
    assert "; lower batch_size, max_length or hidden_" in said


# ---- the page -----------------------------------------------------------------------


def test_smoke_lowers_sizes_and_works_in_a_folder_of_its_own():
    small = for_profile(Options(), "smoke")
    assert {name: getattr(small, name) for name in SMOKE} == SMOKE
    assert small.folder == ROOT / "results" / "smoke" and small.force
    assert for_profile(replace(small, epochs=1), "smoke").epochs == 1
    mine = for_profile(Options(output_dir="mine"), "smoke")
    assert mine.folder == ROOT / "mine" and not mine.force
    looked_at = for_profile(Options(version="analysis"), "smoke")
    assert looked_at.folder == small.folder


def test_results_do_not_depend_on_the_working_folder(tmp_path):
    assert Options(output_dir="here").folder == ROOT / "here"
    assert Options(output_dir=str(tmp_path)).folder == tmp_path


def test_the_versions_are_those_of_the_tutorial():
    assert VERSIONS == ("both", "pytorch", "huggingface", "analysis", "test")
    assert {v: versions(replace(TINY, version=v)) for v in VERSIONS} == {
        "both": TRAINED, "pytorch": ("pytorch",), "huggingface": ("huggingface",),
        "analysis": (), "test": ()}


@pytest.mark.slow
def test_the_self_test_holds_here_and_names_what_does_not():
    assert self_test(TINY)["holds"].all()
    found = {"every file opens": False, "five analyses of both": True}
    with pytest.raises(AssertionError, match=r"not hold here: every file opens$"):
        told(found)


def test_an_untrained_model_is_analysed_where_there_is_none(tmp_path):
    options = replace(TINY, version="analysis", output_dir=str(tmp_path))
    assert loaded(options) == []
    run = untrained(options, prepare(options))
    tables = analyses(run)
    assert "step" not in tables["qkv"]
    weights = tables["attention"].groupby(["head", "query"])["weight"].sum()
    assert weights.to_numpy() == pytest.approx(1.0, abs=1e-5)
    batch = translation.collate([run.task.probe], run.task.tokenizer)
    with torch.no_grad():
        total, tokens = loss_of(first_model(options, run.task).eval(), batch)
    assert total / tokens > 2


def test_a_run_says_its_sentence_before_anything_starts(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "book.batch", "90", "-p", "hidden_size", "100",
         "--out", str(tmp_path), "--profile", "smoke"],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 2
    assert "hidden_size 100 does not divide into num_heads 8" in done.stderr
    assert list(tmp_path.iterdir()) == []
