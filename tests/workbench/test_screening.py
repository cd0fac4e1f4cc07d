"""A screening: what is finished stays, what fails loses nothing, the report adds up."""

import csv
import json
import math
import os
import signal
import subprocess
import sys
import zipfile
from dataclasses import replace

import pytest

from lib.data import ROOT, text
from lib.workbench.ngt.screening import (
    BUDGETS,
    COLUMNS,
    VARIANTS,
    finished,
    main,
    markdown,
    plan,
    screen,
    size_of,
)

TINY = {"bpe_vocab_size": 270, "block_size": 16, "device": "cpu"}


@pytest.fixture(scope="module")
def excerpt(tmp_path_factory):
    file = tmp_path_factory.mktemp("texts") / "excerpt.txt"
    file.write_text(text("tinyshakespeare")[:30_000], encoding="utf-8")
    return str(file)


@pytest.fixture(scope="module")
def whole(excerpt, tmp_path_factory):
    """All six variants, once."""
    folder = tmp_path_factory.mktemp("whole")
    plans = plan("smoke", None, folder, data_path=excerpt, **TINY)
    return plans, screen(plans, "Trial")


@pytest.mark.slow
def test_every_variant_has_a_row_whose_perplexity_is_that_of_its_loss(whole):
    _, found = whole
    assert [row["variant"] for row in found.rows] == list(VARIANTS)
    assert not found.failed
    for row in found.rows:
        assert row["perplexity"] == pytest.approx(math.exp(row["valid"]))
        assert 0 < row["valid"] < 8 and row["steps_per_second"] > 0


def test_the_variants_differ_in_what_they_are_named_for(whole):
    plans, found = whole
    base = plans["default"]
    for name, changed in VARIANTS.items():
        same = replace(base, **changed, checkpoint_path=plans[name].checkpoint_path,
                       run_name=plans[name].run_name)
        assert plans[name] == same
    losses = [row["valid"] for row in found.rows]
    assert len(set(losses)) == len(losses)  # no option was without effect


def test_all_variants_have_the_parameters_of_vanilla_within_two_percent():
    for budget in ("small", "full"):
        plans = plan(budget, device="cpu")
        vanilla = size_of(plans["vanilla"])
        for options in plans.values():
            assert abs(size_of(options) / vanilla - 1) < 0.02


def test_the_reports_and_the_archive_hold_the_same_rows(whole):
    _, found = whole
    with open(found.folder / "report.csv", encoding="utf-8", newline="") as table:
        rows = list(csv.DictReader(table))
    assert [row["variant"] for row in rows] == [row["variant"] for row in found.rows]
    assert tuple(rows[0]) == COLUMNS
    words = (found.folder / "report.md").read_text()
    for row, ours in zip(rows, found.rows, strict=True):
        assert float(row["valid"]) == ours["valid"]
        assert f"| {ours['variant']} |" in words and f"{ours['valid']:.4f}" in words
    with zipfile.ZipFile(found.folder / "home.zip") as home:
        assert home.testzip() is None
        assert set(home.namelist()) == {"report.md", "report.csv"} | {
            f"{name}/result.json" for name in VARIANTS}
        assert home.read("report.md").decode() == words


def test_what_is_finished_is_not_run_again(whole):
    plans, found = whole
    before = (plans["default"].folder / "last").stat().st_mtime_ns
    again = screen(plans, "Trial")
    assert again.kept == list(VARIANTS) and again.rows == found.rows
    assert (plans["default"].folder / "last").stat().st_mtime_ns == before


def test_a_screening_of_one_variant_keeps_the_rows_of_the_others(whole, excerpt):
    _, found = whole
    one = plan("smoke", "no_radius", found.folder, data_path=excerpt, **TINY)
    again = screen(one, "Trial")
    assert again.kept == ["no_radius"] and again.rows == found.rows
    other = plan("smoke", "no_radius", found.folder, data_path=excerpt, seed=5, **TINY)
    (found.folder / "no_radius/result.json").rename(found.folder / "kept.json")
    alone = screen(other, "Trial")
    assert [row["variant"] for row in alone.rows] == ["no_radius"]
    (found.folder / "kept.json").rename(found.folder / "no_radius/result.json")


def test_losses_on_different_texts_are_not_put_into_one_table(excerpt, tmp_path):
    """As when canonical data came after a stand-in: nothing is trained."""
    tmp_path = tmp_path / "out"
    of = {"data_path": excerpt, **TINY}
    screen(plan("smoke", "vanilla", tmp_path, **of), "Trial")
    result = tmp_path / "vanilla" / "result.json"
    kept = json.loads(result.read_text("utf-8"))
    result.write_text(json.dumps(kept | {"text": "a stand-in"}), encoding="utf-8")
    for variants in ("no_radius", "no_radius,vanilla"):
        with pytest.raises(ValueError) as caught:
            screen(plan("smoke", variants, tmp_path, **of), "Trial")
        assert str(caught.value) == (
            f"{tmp_path} and this run would mix losses on different texts (a stand-in; "
            "excerpt.txt); name another output, or remove that folder")
        assert not (tmp_path / "no_radius").exists()


def test_other_options_are_another_run(whole):
    plans, _ = whole
    assert finished(plans["vanilla"]) is not None
    for change in ({"seed": 1}, {"max_steps": 5}, {"learning_rate": 1e-3}):
        assert finished(replace(plans["vanilla"], **change)) is None


def test_a_variant_that_fails_does_not_lose_the_others(excerpt, tmp_path):
    plans = plan("smoke", "vanilla,default,no_radius", tmp_path, data_path=excerpt,
                 **TINY)
    (tmp_path / "default").write_text("a file where the folder should be")
    found = screen(plans, "Trial")
    assert list(found.failed) == ["default"]
    assert [row["variant"] for row in found.rows] == ["vanilla", "no_radius"]
    assert "**default** failed" in (tmp_path / "report.md").read_text()
    (tmp_path / "default").unlink()
    mended = screen(plans, "Trial")
    assert mended.kept == ["vanilla", "no_radius"] and not mended.failed
    assert len(mended.rows) == 3


def test_the_command_fails_when_a_variant_does(excerpt, tmp_path, monkeypatch):
    monkeypatch.setitem(BUDGETS, "smoke",
                        replace(BUDGETS["smoke"], data_path=excerpt, **TINY))
    words = ["smoke", "--variants", "vanilla", "--output", str(tmp_path)]
    (tmp_path / "vanilla").write_text("a file where the folder should be")
    assert main(words) == 1
    (tmp_path / "vanilla").unlink()
    assert main(words) == 0


@pytest.mark.slow
def test_a_screening_that_was_killed_goes_on_and_gives_the_same_losses(
    excerpt, tmp_path
):
    steps = {"max_steps": 60, "eval_interval": 10, "data_path": excerpt, **TINY}
    script = (
        "import json, sys; from lib.workbench.ngt.screening import plan, screen\n"
        "screen(plan('smoke', 'vanilla', sys.argv[1], **json.loads(sys.argv[2])))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "cut"), json.dumps(steps)],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    index = tmp_path / "cut/vanilla/last"
    while not index.exists() and child.poll() is None:
        pass  # until the first checkpoint
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    plans = plan("smoke", "vanilla", tmp_path / "cut", **steps)
    assert finished(plans["vanilla"]) is None
    found = screen(plans)
    straight = screen(plan("smoke", "vanilla", tmp_path / "straight", **steps))
    assert found.resumed == ["vanilla"] and straight.resumed == []
    assert found.rows[0]["valid"] == straight.rows[0]["valid"]
    assert found.curves == straight.curves
    # cut off after the last step: nothing is left to train, and no speed to tell
    (tmp_path / "straight/vanilla/result.json").unlink()
    again = screen(plan("smoke", "vanilla", tmp_path / "straight", **steps))
    assert again.rows[0]["valid"] == straight.rows[0]["valid"]
    assert again.rows[0]["steps_per_second"] is None
    shown = [markdown(each, "Screening") for each in (again, found)]
    assert " – " in shown[0] and " – " not in shown[1]


@pytest.mark.parametrize("given, said", [
    ({"budget": "huge"}, r"budget 'huge' is not known; use one of smoke, small, full"),
    ({"budget": "small", "variants": "vanilla,no_mass"}, "variant 'no_mass' is not"),
    ({"budget": "small", "variants": []}, "no variant was named"),
    ({"budget": "small", "hidden_dim": 65}, "hidden_dim 65 does not divide"),
])
def test_wrong_use_is_told_in_one_sentence(given, said):
    with pytest.raises(ValueError, match=said):
        plan(**given)


@pytest.mark.slow
def test_without_wikitext103_the_sentence_names_the_mirror(tmp_path):
    mirror, cache = tmp_path / "mirror", tmp_path / "cache"
    mirror.mkdir()
    done = subprocess.run(
        [sys.executable, "-m", "lib.workbench.ngt.screening", "full",
         "--variants", "vanilla",
         "--device", "cpu", "--output", str(tmp_path / "out")],
        cwd=ROOT, capture_output=True, text=True, check=False,
        env=os.environ | {"BOOK_DATA_MIRROR": str(mirror), "BOOK_DATA_CACHE":
                          str(cache), "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if "wikitext103" in line]
    assert str(mirror) in line and "BOOK_DATA_MIRROR" in line
    assert "Traceback" not in done.stderr
