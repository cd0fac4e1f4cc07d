"""Stages that keep what holds, name what is stale, and never leave half of anything."""

import errno
import json
import multiprocessing
import os
import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from kills import killed

from lib.commands import stage_command
from lib.workbench.ivr.artifacts import (
    EDITABLE,
    TREE,
    Room,
    StageError,
    Step,
    carry_out,
    manifest_of,
)


@dataclass(frozen=True)
class Options:
    """Of a pipeline of three: words are written, counted, and put into a folder."""

    words: str = "one two"
    times: int = 1
    aside: int = 0  # decides nothing


def write(options, room):
    room.make("words/list.txt").write_text(options.words * options.times)
    return {"written": len(options.words)}


def count(options, room):
    words = (room.root / "words/list.txt").read_text().split()
    extra = (room.root / "extra.txt")
    words += extra.read_text().split() if extra.exists() else []
    room.make("count.txt").write_text(str(len(words)))
    return {"words": len(words)}


def gather(options, room):
    folder = room.make("folder")
    folder.mkdir()
    for word in set((room.root / "words/list.txt").read_text().split()):
        (folder / word).write_text(word)
    return {}


STEPS = {step.stage: step for step in (
    Step("write", (), ("words", "times"), write),
    Step("count", ("write",), ("times",), count,
         reads=lambda options, root: [p for p in [root / "extra.txt"] if p.exists()]),
    Step("gather", ("write", "count"), (), gather),
)}


def run(root, stage, options=None, steps=STEPS, force=False):
    return carry_out(stage, steps, options or Options(), root, force)


def run_all(root, options=None):
    return [run(root, stage, options)["kept"] for stage in STEPS]


def listing(root):
    """What lies under a root, but the lock: names and bytes."""
    return {str(file.relative_to(root)): file.read_bytes()
            for file in sorted(root.rglob("*"))
            if file.is_file() and file.name != ".lock"}


def with_function(stage, function):
    return STEPS | {stage: replace(STEPS[stage], function=function)}


def test_a_finished_stage_is_kept_and_its_manifest_tells_what_it_read_and_made(
    tmp_path
):
    assert run_all(tmp_path) == [False, False, False]
    before = listing(tmp_path)
    assert run_all(tmp_path) == [True, True, True]
    assert listing(tmp_path) == before
    told = json.loads((tmp_path / "manifests/count.json").read_text())
    assert told["stage"] == "count"
    assert told["options"] == {"times": 1}
    assert list(told["inputs"]) == ["words/list.txt"]
    assert list(told["outputs"]) == ["count.txt"]
    assert told["results"] == {"words": 2}
    assert {"date", "versions", "seconds"} <= told.keys()
    assert all(len(sha256) == 64 for sha256 in [*told["inputs"].values(),
                                                *told["outputs"].values()])


@pytest.mark.parametrize("change, ran", [
    ({"words": "three"}, ["write", "count", "gather"]),
    ({"times": 2}, ["write", "count", "gather"]),
    ({"aside": 1}, []),
])
def test_what_an_option_decides_is_made_anew_and_no_more(tmp_path, change, ran):
    run_all(tmp_path)
    kept = run_all(tmp_path, Options(**change))
    assert [s for s, k in zip(STEPS, kept, strict=True) if not k] == ran


def test_force_makes_a_stage_anew(tmp_path):
    run_all(tmp_path)
    assert not run(tmp_path, "count", force=True)["kept"]
    assert run(tmp_path, "count")["kept"]


def test_a_stage_whose_result_is_the_same_again_makes_no_other_stale(tmp_path):
    run_all(tmp_path)
    run(tmp_path, "write", force=True)
    assert run_all(tmp_path) == [True, True, True]


@pytest.fixture
def plain(monkeypatch):
    """Commands without a profile, whatever the tests are run in."""
    monkeypatch.delenv("BOOK_PROFILE", raising=False)


def test_a_command_names_the_profile_whose_artifacts_it_makes(plain, monkeypatch):
    assert stage_command("init") == "./setup_and_run.sh run init"
    monkeypatch.setenv("BOOK_PROFILE", "smoke")
    assert stage_command("init") == "./setup_and_run.sh run init --profile smoke"


def test_a_missing_stage_is_named_with_its_command(plain, tmp_path):
    with pytest.raises(StageError) as missing:
        run(tmp_path, "gather")
    assert str(missing.value) == (
        "gather needs what write makes and its manifest is not there; run "
        "./setup_and_run.sh run write first"
    )
    run(tmp_path, "write")
    with pytest.raises(StageError, match=r"needs what count makes .* run count first"):
        run(tmp_path, "gather")
    assert not (tmp_path / "folder").exists()


STALE = {
    "output changed": "needs what write made and words/list.txt is not what write",
    "output gone": "needs what write made and words/list.txt is gone",
    "manifest cut": "needs what write makes and its manifest cannot be read",
    "input new": "cannot use what count made, which is stale: extra.txt is new",
    "input changed": "stale: words/list.txt has changed since",
}


@pytest.mark.parametrize("how", STALE)
def test_what_is_stale_is_named_and_not_used(tmp_path, how):
    run_all(tmp_path)
    words, manifest = tmp_path / "words/list.txt", tmp_path / "manifests/write.json"
    if how == "output changed":
        words.write_text("no two")
    elif how == "output gone":
        words.unlink()
    elif how == "manifest cut":
        manifest.write_bytes(manifest.read_bytes()[:-9])
    elif how == "input new":
        (tmp_path / "extra.txt").write_text("more")
    else:
        run(tmp_path, "write", Options(words="three"))
    before = listing(tmp_path)
    with pytest.raises(StageError) as stale:
        run(tmp_path, "gather")
    assert STALE[how] in str(stale.value)
    first = "count" if "input" in how else "write"
    assert str(stale.value).endswith(f"; run {stage_command(first)} first")
    assert listing(tmp_path) == before
    assert False in run_all(tmp_path)
    assert run_all(tmp_path) == [True, True, True]


def test_a_stage_that_fails_leaves_everything_as_it_was(tmp_path):
    run_all(tmp_path)
    before = listing(tmp_path)

    def half(options, room):
        (room.make("folder")).mkdir()
        (room.make("folder") / "half").write_text("ha")
        room.make("other/half.txt").write_text("ha")
        raise StageError("it cannot")

    with pytest.raises(StageError, match="it cannot"):
        run(tmp_path, "gather", steps=with_function("gather", half), force=True)
    assert listing(tmp_path) == before


def test_a_stage_that_forgets_an_output_is_not_done(tmp_path):
    def forgets(options, room):
        room.make("words/list.txt")
        return {}

    steps = with_function("write", forgets)
    with pytest.raises(StageError, match=r"was to make words/list\.txt and did not"):
        run(tmp_path, "write", steps=steps)
    assert manifest_of(tmp_path, "write") is None


def test_outputs_that_are_made_no_longer_go_away(tmp_path):
    run_all(tmp_path, Options(words="one two"))
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"one", "two"}
    run_all(tmp_path, Options(words="two three"))
    assert {p.name for p in (tmp_path / "folder").iterdir()} == {"two", "three"}

    def elsewhere(options, room):
        room.make("words/other.txt").write_text("x")
        return {}

    run(tmp_path, "write", steps=with_function("write", elsewhere), force=True)
    assert [p.name for p in (tmp_path / "words").iterdir()] == ["other.txt"]


def test_an_edited_output_may_be_read_and_is_kept_aside_when_written_anew(
    tmp_path, capsys
):
    (rules,) = EDITABLE

    def rule(options, room):
        room.make(rules).write_text("made")
        return {}

    def read(options, room):
        room.make("read.txt").write_text((room.root / rules).read_text())
        return {}

    steps = {"rule": Step("rule", (), (), rule),
             "read": Step("read", ("rule",), (), read)}
    for stage in steps:
        run(tmp_path, stage, steps=steps)
    (tmp_path / rules).write_text("edited")
    assert run(tmp_path, "rule", steps=steps)["kept"]
    assert not run(tmp_path, "read", steps=steps)["kept"]
    assert (tmp_path / "read.txt").read_text() == "edited"
    run(tmp_path, "rule", steps=steps, force=True)
    aside = tmp_path / rules.replace("remap_rules", "remap_rules.before")
    assert (aside.read_text(), (tmp_path / rules).read_text()) == ("edited", "made")
    assert "the edited one is remap_rules.before.yaml" in capsys.readouterr().err


def test_scratch_outlives_a_run_that_was_cut_off_and_goes_with_its_end(tmp_path):
    seen = []

    def slow(options, room):
        seen.append(sorted(p.name for p in room.scratch.iterdir()))
        (room.scratch / f"step {len(seen)}").write_text("x")
        if len(seen) < 3:
            raise KeyboardInterrupt
        return write(options, room)

    steps = with_function("write", slow)
    for options in (Options(), Options(), Options(words="other"), Options()):
        try:
            run(tmp_path, "write", options, steps)
        except KeyboardInterrupt:
            continue
    # the third has other options, and starts over
    assert seen == [[], ["step 1"], [], []]
    assert list((tmp_path / TREE.SCRATCH).iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path):
    run_all(tmp_path)
    before = listing(tmp_path)

    def fills(options, room):
        room.make("folder").mkdir()
        with open("/dev/full", "w") as disk:
            disk.write("x")

    steps = with_function("gather", fills)
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full; run it on Linux")
    with pytest.raises(StageError, match="is full; free some space and run again"):
        run(tmp_path, "gather", steps=steps, force=True)
    assert listing(tmp_path) == before
    assert os.strerror(errno.ENOSPC)


def _append(root, name):
    def slow(options, room):
        with open(root / "log", "a") as log:
            log.write(f"{name} begins\n")
            log.flush()
            for n in range(200):
                room.make(f"many/{n}.txt").write_text(name)
            log.write(f"{name} ends\n")
        return {}

    carry_out("write", with_function("write", slow), Options(), root)


def test_of_two_runs_at_once_the_second_waits_and_finds_it_done(tmp_path):
    spawn = multiprocessing.get_context("fork" if hasattr(os, "fork") else "spawn")
    both = [spawn.Process(target=_append, args=(tmp_path, name)) for name in "ab"]
    for process in both:
        process.start()
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0]
    log = (tmp_path / "log").read_text().split()
    assert log in (["a", "begins", "a", "ends"], ["b", "begins", "b", "ends"])


def test_a_room_of_a_second_process_publishes_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    run(tmp_path, "write")
    assert manifest_of(tmp_path, "write") is None
    assert not (tmp_path / "words/list.txt").exists()


# ---- kill -9


def half_written(root, finals):
    """Files at a final place whose bytes are none of the versions known to be whole."""
    return [name for name, data in listing(root).items()
            if not name.startswith((TREE.SCRATCH, TREE.MANIFESTS))
            and not any(part.startswith(".") for part in Path(name).parts)
            and data not in finals.get(name, ())]


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no "
                    "processes; run it on Linux or macOS")
def test_killed_at_any_moment_nothing_is_half_written_and_the_next_run_mends_it(
    tmp_path
):
    old, new = Options(words="one two"), Options(words="two three four")
    versions = {}
    known = tmp_path / "known"
    run_all(known, old)
    versions = {name: [data] for name, data in listing(known).items()}
    changes = killed(lambda: run_all(known, new), known, -1)
    for name, data in listing(known).items():
        versions.setdefault(name, []).append(data)
    assert changes > 40
    last = range(changes - 12, changes + 1)  # the renames of the last stage
    for moment in [*random.Random(5).sample(range(1, changes - 12), 8), *last[::3]]:
        root = tmp_path / str(moment)
        run_all(root, old)
        assert killed(lambda root=root: run_all(root, new), root, moment) == moment
        assert half_written(root, versions) == []
        told = [manifest_of(root, stage) for stage in STEPS]
        assert all((root / name).is_file() for one in told if one
                   for name in one["outputs"])
        run_all(root, new)
        assert made(root) == made(known)


def made(root):
    return {name: data for name, data in listing(root).items()
            if not name.startswith(TREE.MANIFESTS)}


def test_a_room_in_use_by_hand_finishes_with_a_manifest(tmp_path):
    room = Room(tmp_path, "select")
    room.make("a.txt").write_text("a")
    room.finish({"n": 1}, options={}, inputs={})
    assert manifest_of(tmp_path, "select")["results"] == {"n": 1}
