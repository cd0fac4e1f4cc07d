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
    sentence = says.format(met=met, every=len(every), teachers=len(judged))
    assert sentence in (ROOT / readme).read_text("utf-8")


def test_all_documents_that_were_learned_from_are_the_same():
    ruled = [row for row in rows() if row["form"] == "rules"]
    assert ruled
    for row in ruled:
        assert row["train_documents_same"] == row["train_documents"] > 100
        assert row["same_vocabulary"] and row["train_decoded_same"]
