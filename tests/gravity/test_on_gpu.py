"""benchmarks/on_gpu.py on a CPU: all of its code, tiny."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import quality
from benchmarks.on_gpu import ARMS, PARTS, main
from lib.page.gpu import NOT_MEASURED, gpu_figure

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.on_gpu", *map(str, words)], cwd=ROOT,
        check=False, capture_output=True, text=True, encoding="utf-8")


def test_the_smoke_run_fills_every_part_and_no_page_takes_it_for_a_gpu(tmp_path):
    out = tmp_path / "on_gpu.json"
    done = run("--smoke", "--keep", tmp_path / "keep", "--out", out)
    assert done.returncode == 0, done.stderr
    file = json.loads(out.read_text("utf-8"))
    rows = {part: file[part]["rows"] for part in PARTS}
    assert {entry["failed"] for entry in file.values()} == {None}
    assert {(row["form"], row["n"]) for row in rows["attention"]} == {
        (form, n) for form in ("sdpa", "gaussian", "newton") for n in (64, 128)}
    assert {row["form"] for row in rows["flex"]} == {"newton_flex"}
    assert {row["size"] for row in rows["step"]} == {"tinyshakespeare", "wikitext103"}
    assert {(row["name"], row["seed"]) for row in rows["characters"]} == {
        (arm, seed) for arm in ARMS for seed in (0, 1)}
    assert len({row["steps"] for row in rows["characters"]}) == 1
    assert [(row["arm"], row["steps"]) for row in rows["tuning"]] == [
        (arm, steps) for steps in (4, 8) for arm in ("unswapped", "swapped")]
    assert gpu_figure("attention", "ratio_to_sdpa", out) == NOT_MEASURED


def test_a_part_that_fails_is_named_and_leaves_the_others(tmp_path):
    out, file_in_the_way = tmp_path / "on_gpu.json", tmp_path / "keep"
    file_in_the_way.touch()
    out.write_text('{"flex": {"rows": [1]}}', encoding="utf-8")  # of another run
    done = run("--smoke", "--parts", "tuning", "step", "--keep", file_in_the_way,
               "--out", out)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("tuning failed, the rest is in")
    file = json.loads(out.read_text("utf-8"))
    assert "FileExistsError" in file["tuning"]["failed"]
    assert file["step"]["rows"] and not file["step"]["failed"]
    assert file["flex"] == {"rows": [1]}


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_without_a_gpu_it_says_what_works_and_measures_nothing(tmp_path, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["--out", str(tmp_path / "on_gpu.json")])
    told = capsys.readouterr().err
    assert "no CUDA GPU" in told and "--smoke" in told
    assert not (tmp_path / "on_gpu.json").exists()


def test_its_arms_are_those_of_the_quality_benchmark(capsys):
    assert set(ARMS) <= set(quality.ARMS)
    with pytest.raises(SystemExit, match="2"):
        main(["--smoke", "--arms", "no such arm"])
    assert "'dot, rotary'" in capsys.readouterr().err
