"""Going on after a kill, after damage and with a full disk: nothing is lost.

The campaign below runs in a process of its own, which imports torch once and forks a
new process for every attempt. An attempt tells its parent before each part of a batch
and before each operation on the disk, and waits: the parent lets it go on or kills it.
"""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import pytest
import torch

from lib.gravity.model import LMConfig, build
from lib.training.batches import Epochs
from lib.training.checkpoint import INDEX, CheckpointError, describe, load, part, save
from lib.training.loop import Recipe, fit, token_loss
from lib.training.process import random_state, set_random_state
from lib.training.resume import KEPT, Keep

ROOT = Path(__file__).parents[2]
CONFIG = LMConfig(vocab=11, context=8, d_model=8, n_layers=2, n_heads=2, d_coord=4,
                  dropout=0.1)
RECIPE = Recipe(steps=60, batch=4, learning_rate=1e-2, warmup=3, evaluations=12,
                accumulation=2)
SHORT = Recipe(steps=12, batch=4, learning_rate=1e-2, warmup=3, evaluations=3,
               accumulation=2)
KILLS = 20


def rows(seed=1):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randint(0, 11, (32, 9), generator=generator),)


def loss(model, batch):
    (ids,) = batch
    return token_loss(model(ids[:, :-1]), ids[:, 1:])


@torch.no_grad()
def validation(model):
    model.eval()
    total, tokens = loss(model, rows(seed=2))
    return (total / tokens).item()


def train(folder, recipe=RECIPE, resume=True, objective=loss, **options):
    """Train the tiny model from the first step or on; the keep and the history."""
    keep = Keep(folder, every=3, configuration={"model": asdict(CONFIG)})
    history = fit(build(CONFIG, seed=1), Epochs(rows(), recipe.batch, recipe.seed),
                  recipe, loss=objective, evaluate=validation, keep=keep,
                  resume=resume, **options)
    return keep, history


def hashes(place):
    """SHA-256 of weights, optimizer and loss log of a checkpoint, and of the file."""
    tensors, about = load(place)
    told = {"step": about["step"], "file": about["sha256"],
            "valid": about["history"]["valid"]}
    for name in ("model", "optimizer", "log"):
        digest = hashlib.sha256()
        for key, tensor in sorted(part(tensors, name).items()):
            digest.update(key.encode() + tensor.numpy().tobytes())
        told[name] = digest.hexdigest()
    return told


# ---- kill -9


def attempt(folder, ask, answer):
    """Train in this process, asking before whatever may be the last thing done."""
    parts = 0

    def event(kind):
        os.write(ask, kind)
        os.read(answer, 1)

    def objective(model, batch):
        nonlocal parts
        event(b"12"[parts % 2 : parts % 2 + 1])  # first or second part of a batch
        parts += 1
        return loss(model, batch)

    def asking(call):
        def asked(*args, **options):
            event(b"d")
            return call(*args, **options)
        return asked

    for module, name in ((os, "fsync"), (os, "replace"), (os, "rename"),
                         (shutil, "rmtree")):
        setattr(module, name, asking(getattr(module, name)))
    train(folder, objective=objective)


def forked(work):
    """A new process that does `work` and no more."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def killed_at(folder, count):
    """Kill an attempt at its event `count`; the kind of it, None if it got through."""
    (asked, ask), (answer, answers) = os.pipe(), os.pipe()

    def work():
        os.close(asked)
        os.close(answers)
        attempt(folder, ask, answer)

    child, kind = forked(work), None
    os.close(ask)
    os.close(answer)
    for n in range(count):
        kind = os.read(asked, 1)
        if not kind:
            break
        if n + 1 == count:
            os.kill(child, signal.SIGKILL)
        else:
            os.write(answers, b"!")
    os.close(asked)
    os.close(answers)
    status = os.waitpid(child, 0)[1]
    if kind:
        assert os.WTERMSIG(status) == signal.SIGKILL
        return kind.decode()
    assert status == 0, status
    return None


def newest(folder):
    """The step of the newest whole checkpoint, 0 if there is none."""
    steps = [0]
    for name in KEPT:
        with suppress(CheckpointError):
            steps.append(load(folder / name)[1]["step"])
    return max(steps)


def campaign(folder, seed):
    """Twenty kills, the rest without one, and the run without any: what came."""
    import torch._dynamo  # an optimizer's first step does: here once, for all attempts

    torch.set_num_threads(1)
    chance, kinds, steps = random.Random(seed), [], [0]
    for _ in range(KILLS):
        kinds.append(killed_at(folder / "killed", chance.randint(1, 45)))
        steps.append(newest(folder / "killed"))
    assert killed_at(folder / "killed", 10**6) is None
    assert os.waitpid(forked(lambda: train(folder / "whole")), 0)[1] == 0
    return {"kinds": kinds, "steps": steps,
            "killed": hashes(folder / "killed" / "last"),
            "whole": hashes(folder / "whole" / "last")}


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no "
                    "processes; run it on Linux or macOS")
def test_killed_twenty_times_the_run_is_the_one_without_a_kill(tmp_path):
    script = f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from tests.training.test_resume import campaign
print("told", json.dumps(campaign(Path({str(tmp_path)!r}), seed=4)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.split("told ")[1])
    kinds, steps = told["kinds"], told["steps"]
    # twenty kills: before a batch, between its two parts, and while saving
    assert len(kinds) == KILLS
    assert set(kinds) == {"1", "2", "d"}, kinds
    # nothing that was once whole is ever lost
    assert steps == sorted(steps)
    assert 20 < steps[-1] < RECIPE.steps, steps
    assert told["killed"]["step"] == RECIPE.steps
    assert told["killed"] == told["whole"]


# ---- damage


class PowerCut(Exception):
    pass


def cut_at(step):
    def hook(seen):
        if seen.step == step:
            raise PowerCut
    return hook


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The folder of a short run that nothing befell."""
    folder = tmp_path_factory.mktemp("whole")
    train(folder, SHORT)
    return folder


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """The folder of a run cut off at step 11: last 9, before 6, best 4 or 8."""
    folder = tmp_path_factory.mktemp("cut")
    with pytest.raises(PowerCut):
        train(folder, SHORT, on_step=cut_at(11))
    assert [describe(folder / name)["step"] for name in ("last", "before")] == [9, 6]
    assert describe(folder / "best")["step"] in (4, 8)
    return folder


def damage(place, how):
    index = place / INDEX
    (file,) = place.glob("*.safetensors")
    if how == "truncated":
        file.write_bytes(file.read_bytes()[:-7])
    elif how == "bit-flipped":
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 4
        file.write_bytes(data)
    elif how == "missing":
        shutil.rmtree(place)
    elif how == "tensors missing":
        file.unlink()
    elif how == "index missing":
        index.unlink()
    elif how == "index truncated":
        index.write_bytes(index.read_bytes()[:-9])
    elif how == "index bit-flipped":  # another number, and still JSON
        text = index.read_text(encoding="utf-8")
        assert '"step": 9,' in text
        index.write_text(text.replace('"step": 9,', '"step": 8,', 1), encoding="utf-8")


WAYS = {
    "truncated": "is damaged: its sha256 is",
    "bit-flipped": "is damaged: its sha256 is",
    "missing": f"({INDEX} is missing)",
    "tensors missing": "which is not there",
    "index missing": f"({INDEX} is missing)",
    "index truncated": f"{INDEX} is damaged",
    "index bit-flipped": f"{INDEX} is damaged: its own sha256",
}


@pytest.mark.parametrize("how", WAYS)
def test_with_last_damaged_it_says_so_and_goes_on_from_the_one_before(
    tmp_path, whole, cut, how, capsys
):
    folder = shutil.copytree(cut, tmp_path / "run")
    damage(folder / "last", how)
    steps = []
    keep, _ = train(folder, SHORT, on_step=lambda seen: steps.append(seen.step))
    said = [line for line in capsys.readouterr().err.splitlines() if "going on" in line]
    assert len(said) == 1
    assert WAYS[how] in said[0]
    assert said[0].endswith(f"; going on from {folder / 'before'}")
    assert "last" in said[0]
    assert steps == list(range(7, 13))
    assert hashes(folder / "last") == hashes(whole / "last")
    assert keep.losses() == load(whole / "last")[0]["log.losses"].tolist()
    assert len(keep.losses()) == 12
    # what was damaged has not pushed out what was whole
    assert describe(folder / "before")["step"] == 9
    load(folder / "before")


def test_found_describes_the_newest_that_can_be_read(tmp_path, cut):
    folder = shutil.copytree(cut, tmp_path / "run")
    for how, name in (("", "last"), ("index truncated", "before"), ("missing", "best")):
        if how:
            damage(folder / ("last" if name == "before" else "before"), how)
        place, about = Keep(folder).found()
        assert (place, about["step"]) == (folder / name, describe(place)["step"])
    damage(folder / "best", "index missing")
    assert Keep(folder).found() is None
    assert Keep(folder).there()  # there is something, and restoring says what


def test_the_damaged_one_never_takes_the_place_of_the_one_before(tmp_path, cut):
    folder = shutil.copytree(cut, tmp_path / "run")
    damage(folder / "last", "truncated")
    with pytest.raises(PowerCut):
        train(folder, SHORT, on_step=cut_at(10))  # one save, at step 9
    assert load(folder / "last")[1]["step"] == 9
    assert load(folder / "before")[1]["step"] == 6


def test_with_both_damaged_it_goes_on_from_the_best(tmp_path, whole, cut, capsys):
    folder = shutil.copytree(cut, tmp_path / "run")
    damage(folder / "last", "bit-flipped")
    damage(folder / "before", "truncated")
    train(folder, SHORT)
    said = [line for line in capsys.readouterr().err.splitlines() if "going on" in line]
    assert len(said) == 2
    assert all(line.endswith(f"going on from {folder / 'best'}") for line in said)
    assert hashes(folder / "last") == hashes(whole / "last")


def test_the_bare_folder_of_one_checkpoint_can_be_gone_on_with(
    tmp_path, whole, cut, capsys
):
    folder = shutil.copytree(cut / "last", tmp_path / "bare")
    train(folder, SHORT)
    assert "going on" not in capsys.readouterr().err
    assert hashes(folder / "last") == hashes(whole / "last")


def test_with_all_damaged_it_is_one_sentence_and_nothing_is_trained(tmp_path, cut):
    folder = shutil.copytree(cut, tmp_path / "run")
    for name in KEPT:
        damage(folder / name, "truncated")
    with pytest.raises(CheckpointError, match=r"last.* is damaged: .*; train again"):
        train(folder, SHORT)


def test_a_new_run_takes_the_place_of_an_old_one_once_it_is_whole(tmp_path, cut):
    folder = shutil.copytree(cut, tmp_path / "run")
    with pytest.raises(PowerCut):
        train(folder, SHORT, resume=False, on_step=cut_at(2))  # before its first save
    assert describe(folder / "last")["step"] == 9
    with pytest.raises(PowerCut):
        train(folder, SHORT, resume=False, on_step=cut_at(4))
    assert sorted(p.name for p in folder.iterdir()) == ["last"]
    assert describe(folder / "last")["step"] == 3


# ---- a full disk


@contextmanager
def largest_file(size):
    """Let the system refuse to write files beyond a size."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


FULL = r"cannot be written \(.*\); free some space there or name another folder"


@pytest.mark.parametrize("size", [0, 500, 2000])
def test_with_no_room_the_old_checkpoint_survives(tmp_path, size):
    old = {"weight": torch.arange(3.0)}
    save(tmp_path, old, {"step": 1})
    before = sorted(tmp_path.iterdir())
    # the tensors do not fit; or they do and the index does not
    for tensors, note in ((torch.ones(9000), ""), (torch.ones(4), "n" * 9000)):
        with largest_file(size), pytest.raises(CheckpointError, match=FULL) as said:
            save(tmp_path, {"weight": tensors}, {"step": 2, "note": note})
        assert "\n" not in str(said.value)
        assert sorted(tmp_path.iterdir()) == before
        tensors, about = load(tmp_path)
        assert (tensors["weight"].tolist(), about["step"]) == ([0, 1, 2], 1)


def test_a_training_that_meets_a_full_disk_can_be_gone_on_with(tmp_path, whole):
    limit = []

    def fill(seen):
        if seen.step == 8:
            limit.append(largest_file(3000))
            limit[0].__enter__()

    try:
        with pytest.raises(CheckpointError, match=FULL):
            train(tmp_path, SHORT, on_step=fill)
    finally:
        limit[0].__exit__(None, None, None)
    assert load(tmp_path / "last")[1]["step"] == 6
    assert load(tmp_path / "before")[1]["step"] == 3
    train(tmp_path, SHORT)
    assert hashes(tmp_path / "last") == hashes(whole / "last")


def test_a_disk_that_is_really_full_is_one_sentence(tmp_path):
    # a file system of 300 kB that this process alone sees
    script = f"""
import sys
sys.path[:0] = [{str(ROOT)!r}]
import torch
from lib.training.checkpoint import CheckpointError, load, save
save("disk", {{"weight": torch.ones(20_000)}}, {{"step": 1}})
try:
    save("disk", {{"weight": torch.zeros(60_000)}}, {{"step": 2}})
except CheckpointError as error:
    print(error)
assert load("disk")[1]["step"] == 1
save("disk", {{"weight": torch.zeros(30_000)}}, {{"step": 3}})
print(load("disk")[1]["step"])
"""
    (tmp_path / "disk").mkdir()
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = "mount -t tmpfs -o size=300k none disk"
    can = shutil.which("unshare") and subprocess.run(
        [*alone, "sh", "-c", mount], cwd=tmp_path, capture_output=True, check=False
    ).returncode == 0
    if not can:
        pytest.skip("this system lets no process mount a small file system; run as "
                    "root where `unshare -m` works")
    done = subprocess.run(
        [*alone, "sh", "-c", f'{mount} && exec "$0" -c "$1"', sys.executable, script],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    sentence, last = done.stdout.splitlines()
    assert "No space left on device" in sentence
    assert "free some space there" in sentence
    assert last == "3"


def test_the_random_state_of_any_process_is_put_back():
    device, states, drawn = torch.device("cpu"), [], []
    for seed in range(3):
        torch.manual_seed(seed)
        states.append(random_state(device)["cpu"])
        drawn.append(torch.rand(2))
    for row, expected in zip(torch.stack(states), drawn, strict=True):
        set_random_state({"cpu": row}, device)
        assert torch.equal(torch.rand(2), expected)
