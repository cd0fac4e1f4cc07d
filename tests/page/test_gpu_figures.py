"""Figures of a GPU on a page: what the file has, else that nothing was measured."""

import json

import pytest

from lib.page.gpu import (
    NOT_MEASURED,
    gpu_device,
    gpu_figure,
    gpu_rows,
    gpu_table,
    in_each_language,
)

ROWS = [{"form": form, "n": n, "ratio": ratio} for form, n, ratio in [
    ("gaussian", 1024, 1.25), ("gaussian", 2048, 1.5), ("newton", 1024, 3.0)]]
ENTRY = {"device": "A GPU", "torch": "2.13.0", "date": "2026-12-01", "smoke": False,
         "rows": ROWS}


@pytest.fixture
def file(tmp_path):
    def write(**changes):
        path = tmp_path / "on_gpu.json"
        path.write_text(json.dumps({"attention": ENTRY | changes}), encoding="utf-8")
        return path
    return write


def test_a_figure_is_the_mean_of_the_rows_with_these_settings(file):
    path = file()
    assert gpu_figure("attention", "ratio", path, form="newton", n=1024) == "3"
    assert gpu_figure("attention", "ratio", path, form="gaussian") == "1.38"
    assert gpu_rows("attention", path, n=2048) == [ROWS[1]]
    assert gpu_figure("attention", "n", path, form="newton") == "1,024"
    assert gpu_device("attention", path) == "A GPU, PyTorch 2.13.0, 2026-12-01"


@pytest.mark.parametrize("missing", ["file", "part", "row", "smoke"])
def test_what_is_not_there_was_not_measured(file, missing):
    path = file(smoke=missing == "smoke")
    part = "flex" if missing == "part" else "attention"
    wanted = {"form": "potential"} if missing == "row" else {}
    if missing == "file":
        path.unlink()
    assert gpu_figure(part, "ratio", path, **wanted) == NOT_MEASURED
    if missing != "row":
        assert gpu_device(part, path) == NOT_MEASURED
        assert gpu_table([part], "form", "n", "ratio", path).to_numpy() == [
            [NOT_MEASURED]]


def test_a_table_has_a_cell_for_each_row_and_names_the_device(file):
    table = gpu_table(["flex", "attention"], "form", "n", "ratio", file())
    assert table.columns.tolist() == ["n = 1,024", "n = 2,048"]
    assert table.loc["gaussian"].tolist() == ["1.25", "1.5"]
    assert table.loc["newton"].tolist() == ["3", "–"]
    exact = gpu_table(["attention"], "form", "n", "ratio", file(), "{:.4f}".format)
    assert exact.loc["newton"].tolist() == ["3.0000", "–"]
    assert table.index.name == "A GPU, PyTorch 2.13.0, 2026-12-01"


def test_prose_of_each_language_has_its_own_words():
    assert in_each_language(gpu=NOT_MEASURED) == {
        "gpu_ko": "재지 못함", "gpu_en": "not measured"}
