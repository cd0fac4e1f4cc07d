"""What the READMEs say of distilled tokenizers follows from the rows."""

import json
from pathlib import Path

import pytest

from benchmarks.texts_apart import APART

ROOT = Path(__file__).resolve().parents[2]
WRONG, SAME = 0.05, 97  # the aims, in %


def cells(rows) -> list[tuple[float, float]]:
    """% of words wrong and % of documents the same, by teacher and kind of text."""
    return [(row[f"wrong_{kind}"],
             100 * row[f"{kind}_documents_same"] / row[f"{kind}_documents"])
            for row in rows if row["form"] == "rules"
            for kind in APART if f"{kind}_documents" in row]


def rows() -> list[dict]:
    file = ROOT / "benchmarks" / "results" / "tokenizers.jsonl"
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(("readme", "says"), [
    ("README.md", "In {met} of {every} measurements ({teachers} tokenizers"),
    ("README_KO.md", "측정 {every}개 가운데 {met}개에서 (토크나이저 {teachers}개"),
])
def test_the_readmes_count_what_reaches_the_aim_as_the_rows_do(readme, says):
    every = cells(rows())
    met = sum(wrong <= WRONG and same >= SAME for wrong, same in every)
    judged = {row["tokenizer"] for row in rows() if "wrong_random_bytes" in row}
    text = (ROOT / readme).read_text("utf-8")
    assert says.format(met=met, every=len(every), teachers=len(judged)) in text
    ruled = [row for row in rows() if row["form"] == "rules"]
    for field in ("train_documents_same", "train_documents"):
        assert f"{sum(row[field] for row in ruled):,}" in text


def test_documents_learned_from_differ_only_by_words_that_no_rule_reaches():
    ruled = [row for row in rows() if row["form"] == "rules"]
    assert ruled
    for row in ruled:
        missed = row["train_documents"] - row["train_documents_same"]
        assert row["same_vocabulary"] and (row["train_decoded_same"] or missed)
        assert (missed == 0) == (row["unmended"] == 0)
        assert missed < row["train_documents"] / 500
