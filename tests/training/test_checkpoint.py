"""Checkpoints: never half a one, and one sentence for each that cannot be used."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from lib.training.checkpoint import (
    INDEX,
    CheckpointError,
    describe,
    load,
    load_first,
    load_weights,
    optimizer_parts,
    put_optimizer,
    save,
    whole,
)

ROOT = Path(__file__).parents[2]


def saved(folder, width=3, step=1):
    return save(folder, whole(model=nn.Linear(width, 2).state_dict()), {"step": step})


def test_what_was_saved_is_what_is_loaded_to_the_bit(tmp_path):
    tensors = {
        "half": torch.randn(3, 2, dtype=torch.bfloat16),
        "whole": torch.arange(5),
        "one": torch.tensor(0.1, dtype=torch.float64),
        "turned": torch.randn(4, 3).T,
        "empty": torch.zeros(0),
    }
    save(tmp_path, tensors, {"step": 2, "한글": [0.1, None]})
    came, about = load(tmp_path)
    assert came.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert came[name].dtype == tensor.dtype
        assert torch.equal(came[name], tensor), name
    assert (about["step"], about["한글"]) == (2, [0.1, None])


def test_tensors_that_share_memory_are_written_once(tmp_path):
    tied = nn.ModuleDict({"token": nn.Embedding(50, 8), "head": nn.Linear(8, 50)})
    tied["head"].weight = tied["token"].weight
    file = save(tmp_path, whole(model=tied.state_dict()), {})
    with safe_open(file, "pt") as stored:
        assert sorted(stored.keys()) == ["model.head.bias", "model.token.weight"]
    other = nn.ModuleDict({"token": nn.Embedding(50, 8), "head": nn.Linear(8, 50)})
    load_weights(tmp_path, other)
    assert torch.equal(other["head"].weight, tied["token"].weight)


def test_an_optimizer_goes_on_where_it_was():
    def steps(count, layer, adamw):
        for i in range(count):
            layer(torch.ones(1, 3) * (i + 1)).square().sum().backward()
            adamw.step()
            adamw.zero_grad()

    layers = [nn.Linear(3, 2) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    first, second = (torch.optim.AdamW(layer.parameters()) for layer in layers)
    steps(3, layers[0], first)
    layers[1].load_state_dict(layers[0].state_dict())
    tensors, groups = optimizer_parts(first)
    tensors = {name: tensor.clone() for name, tensor in tensors.items()}
    put_optimizer(tensors, json.loads(json.dumps(groups)), second)
    steps(3, layers[0], first)
    steps(3, layers[1], second)
    assert torch.equal(layers[0].weight, layers[1].weight)


def test_the_folder_holds_one_checkpoint_and_nothing_else(tmp_path):
    for step in (1, 2, 3):
        file = saved(tmp_path, step=step)
    assert sorted(p.name for p in tmp_path.iterdir()) == [INDEX, file.name]
    assert file.name.startswith("step-000003-")


@pytest.mark.parametrize("cut", ["save_file", "os.replace", "second os.replace"])
def test_killed_at_any_moment_the_folder_holds_a_whole_checkpoint(tmp_path, cut):
    # a process of its own is killed inside save, at three places
    saved(tmp_path, step=1)
    script = f"""
import os, signal, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.training.test_checkpoint import saved
from lib.training import checkpoint
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
real, count = os.replace, []
def replace(a, b):
    count.append(a)
    if {cut!r} == "os.replace" or len(count) == 2:
        die()
    real(a, b)
if {cut!r} == "save_file":
    checkpoint.save_file = lambda tensors, file: (open(file, "wb").write(b"x"), die())
else:
    os.replace = replace
saved({str(tmp_path)!r}, step=2)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    assert load(tmp_path)[1]["step"] == 1
    saved(tmp_path, step=3)
    assert load(tmp_path)[1]["step"] == 3
    assert len(list(tmp_path.iterdir())) == 2  # what the dead one left is gone


def damage(folder, how):
    file = saved(folder)
    index = folder / INDEX
    if how == "missing":
        index.unlink()
    elif how == "cut off":
        file.write_bytes(file.read_bytes()[:-3])
    elif how == "one bit":
        data = bytearray(file.read_bytes())
        data[-1] ^= 1
        file.write_bytes(data)
    elif how == "no tensors":
        file.unlink()
    elif how == "index cut":
        index.write_text(index.read_text()[:20])
    elif how == "index empty":
        index.write_text("{}")
    elif how == "index changed":
        index.write_text(index.read_text().replace('"step": 1,', '"step": 9,'))
    elif how == "newer":
        index.write_text(json.dumps(json.loads(index.read_text()) | {"format": 9}))


@pytest.mark.parametrize(
    "how, sentence",
    [
        ("missing", "there is no checkpoint in .* train first, or name a folder"),
        ("cut off", "is damaged: its sha256 is .* wants .*; train again, or name"),
        ("one bit", "is damaged: its sha256 is"),
        ("no tensors", f"{INDEX} names step-.* which is not there; train again"),
        ("index cut", f"{INDEX} is damaged .*; train again, or name another"),
        ("index empty", f"{INDEX} is damaged .KeyError"),
        ("index changed", f"{INDEX} is damaged: its own sha256 is not the one it"),
        ("newer", "has format 9 and this code reads format 1"),
    ],
)
def test_a_checkpoint_that_cannot_be_read_says_why_in_a_sentence(
    tmp_path, how, sentence
):
    damage(tmp_path, how)
    with pytest.raises(CheckpointError, match=sentence):
        load(tmp_path)


@pytest.mark.parametrize(
    "model, sentence",
    [
        (nn.Linear(5, 2), "holds weight as 2×3 and the model wants 2×5; build the"),
        (nn.Linear(3, 2, bias=False), "holds bias, which the model has not; build"),
        (nn.ModuleDict({"a": nn.Linear(3, 2)}), "has no a.weight, which the model"),
    ],
)
def test_weights_of_another_model_are_refused_and_leave_it_as_it_was(
    tmp_path, model, sentence
):
    saved(tmp_path)
    before = [p.clone() for p in model.parameters()]
    with pytest.raises(CheckpointError, match=sentence):
        load_weights(tmp_path, model)
    assert all(map(torch.equal, before, model.parameters()))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match=r"cannot be written .*name another"):
        saved(tmp_path / "file" / "inside")


def test_an_index_of_before_it_had_a_sha256_is_read(tmp_path):
    saved(tmp_path, step=4)
    index = json.loads((tmp_path / INDEX).read_text())
    del index["index_sha256"]
    (tmp_path / INDEX).write_text(json.dumps(index))
    assert load(tmp_path)[1]["step"] == 4


def test_what_stands_beside_the_tensors_comes_back_as_json_has_it(tmp_path):
    told = {"step": 1, "nan": float("nan"), "sizes": (1, 2), 10: "ten", 9: "nine"}
    save(tmp_path, {}, told)
    assert repr(describe(tmp_path)["nan"]) == "nan"
    assert describe(tmp_path)["sizes"] == [1, 2]
    assert describe(tmp_path)["10"] == "ten"


def test_of_several_the_first_whole_one_is_taken_and_the_others_are_told_of(
    tmp_path, capsys
):
    places = [tmp_path / name for name in ("none", "cut", "good", "later")]
    damage(places[1], "cut off")
    saved(places[2], step=2)
    saved(places[3], step=3)
    place, _, about = load_first(places)
    assert (place, about["step"]) == (places[2], 2)
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert all(line.endswith(f"; going on from {places[2]}") for line in said)
    assert "there is no checkpoint in" in said[0]
    assert "is damaged" in said[1]
    with pytest.raises(CheckpointError, match=r"none .*checkpoint.json is missing"):
        load_first(places[:2])
    assert capsys.readouterr().err == ""


def test_describing_reads_no_tensors(tmp_path):
    saved(tmp_path, step=4).unlink()
    assert describe(tmp_path)["step"] == 4
    assert os.listdir(tmp_path) == [INDEX]
