"""The road of benchmarks/quality.py, lengths.py and recall.py, with tiny models."""

import json

import pytest
import torch

from benchmarks import lengths, quality, recall
from benchmarks.characters import characters
from lib.gravity.model import LanguageModel, LMConfig, build, parameters
from lib.training.loop import Recipe, evaluate

TINY = LMConfig(vocab=65, context=16, d_model=8, n_layers=2, n_heads=1, d_ff=8, place=4)


def rows_of(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """The benchmarks with a model of 8 numbers a token, the beginnings of their texts,
    and rows in a folder apart."""
    def beginning(name):
        text, described = characters(name)
        return text[:20_000], described

    recipe = Recipe(steps=2, batch=2, context=16, warmup=1, evaluation_windows=2)
    monkeypatch.setitem(quality.SIZES, "small", (TINY, recipe))
    for module in (quality, lengths):
        monkeypatch.setattr(module, "characters", beginning)
    for module in (quality, lengths, recall):
        name = module.__name__.rsplit(".", 1)[-1]
        monkeypatch.setattr(module, "RESULTS", tmp_path / f"{name}.jsonl")
    return tmp_path


def test_a_row_says_what_was_run_and_is_not_run_again(tiny):
    asked = ["small", "--text", "python", "--arms", "dot", "rotated gaussian",
             "--seeds", "7", "--rates", "1e-3", "--keep", str(tiny / "kept")]
    assert quality.main(asked) == 0
    rows = rows_of(tiny / "quality.jsonl")
    assert [row["name"] for row in rows] == ["dot", "rotated gaussian"]
    for row in rows:
        assert (row["text"], row["size"], row["seed"]) == ("python", "small", 7)
        assert row["learning_rate"] == 1e-3
        assert row["seconds"] >= 0 and row["cpu_seconds"] >= 0
        assert "standard library of Python" in row["data"]
        assert 0 < row["valid"] < 10 and row["parameters"] > 0
    assert (rows[0]["coordinates"], rows[1]["coordinates"]) == (None, "token")
    assert quality.main(asked) == 0 and rows_of(tiny / "quality.jsonl") == rows

    # … and what was kept is judged, beyond its context where it can be
    assert lengths.main([str(tiny / "kept"), "--windows", "3"]) == 0
    judged = rows_of(tiny / "lengths.jsonl")
    assert sorted((row["name"], row["length"]) for row in judged) == [
        ("dot", 16), *(("rotated gaussian", 16 * times) for times in (1, 2, 4, 8))]
    for row in judged:
        assert row["trained"] == 16 and row["seed"] == 7
        assert (row["beyond"] is None) == (row["length"] == 16)
    assert lengths.main([str(tiny / "kept"), "--windows", "3"]) == 0
    assert rows_of(tiny / "lengths.jsonl") == judged


def test_rows_from_before_there_were_other_texts_are_of_tinyshakespeare(tiny):
    row = {"size": "small", "name": "dot", "seed": 0, "learning_rate": 1e-3}
    quality.RESULTS.write_text(json.dumps(row) + "\n")
    assert quality.finished() == [{"text": "tinyshakespeare", **row}]


def test_an_empty_folder_says_how_to_fill_it(tiny, capsys):
    assert lengths.main([str(tiny)]) == 1
    told = capsys.readouterr().err
    assert "holds no models; train some with" in told
    assert "-m benchmarks.quality small128 --keep" in told


def test_the_mean_over_positions_is_the_loss_that_training_reports():
    config = LMConfig(vocab=11, context=8, d_model=8, n_heads=1, attention="dot",
                      positions="rotary")
    model = build(config, 0).double()
    ids = torch.randint(11, (200,), generator=torch.Generator().manual_seed(0))
    for length in (8, 24):
        loss = lengths.loss_by_position(model, ids, length, tokens=50)
        assert loss.shape == (length,)
        assert loss.mean().item() == pytest.approx(evaluate(model, ids, length))
    row = lengths.judged(model, ids, 24, 8, None)
    assert row["beyond"] == pytest.approx(loss[8:].mean().item())
    with pytest.raises(ValueError, match="200 tokens and one window takes 401"):
        lengths.loss_by_position(model, ids, 400)


@pytest.mark.parametrize("size", [2, 7, 16])
def test_every_scored_token_of_a_recall_task_can_be_looked_up(size):
    generator = torch.Generator().manual_seed(size)
    for task, make in recall.MAKE.items():
        x, y = make(5, size, generator)
        assert x.shape == y.shape
        scored = 0
        for read, target in zip(x.tolist(), y.tolist(), strict=True):
            for i, answer in enumerate(target):
                if answer == recall.UNSCORED:
                    continue
                scored += 1
                assert {read[j + 1] for j in range(i) if read[j] == read[i]} == {answer}
        assert scored == 5 * (size if task == "pairs" else 64 - size)


def test_sequences_of_pairs_fill_the_context_and_no_two_keys_are_equal():
    x, _ = recall.pairs(20, recall.TASKS["pairs"].judged[-1], torch.Generator())
    assert x.shape == (20, recall.MODEL.context - 1)
    for keys in x[:, : 2 * 16 : 2].tolist():
        assert len(set(keys)) == 16 and max(keys) < recall.VOCAB // 2


def test_accuracy_is_one_where_the_answer_is_known_and_low_where_it_is_not():
    class Oracle(torch.nn.Module):
        """Looks the token up, as an induction head would."""

        def forward(self, x):
            logits = torch.zeros(*x.shape, recall.VOCAB)
            for row, read in enumerate(x.tolist()):
                for i, token in enumerate(read):
                    if token in read[:i]:
                        logits[row, i, read[read[:i].index(token) + 1]] = 1
            return logits

    assert recall.accuracy(Oracle(), "pairs", 8, rows=32) == 1
    assert recall.accuracy(Oracle(), "induction", 8, rows=32) == 1
    assert recall.accuracy(build(recall.MODEL, 0), "pairs", 8, rows=64) < 0.2


def test_every_arm_recalls_with_the_parameters_of_the_plain_twin():
    with torch.device("meta"):
        counts = {arm: parameters(LanguageModel(recall.matched(recall.MODEL, arm)))
                  for arm in quality.ARMS}
    for arm, count in counts.items():
        assert abs(count / counts["dot"] - 1) <= 0.02, arm


def test_recall_writes_a_row_for_each_size_that_an_arm_can_read(tiny, monkeypatch):
    monkeypatch.setattr(recall, "MODEL", LMConfig(
        vocab=recall.VOCAB, context=64, d_model=8, n_layers=1, n_heads=1, place=4))
    asked = ["--arms", "dot", "rotated dot", "--seeds", "3", "--steps", "2"]
    assert recall.main(asked) == 0
    rows = rows_of(tiny / "recall.jsonl")
    seen = {(task, arm): [row["items"] for row in rows
                          if (row["task"], row["name"]) == (task, arm)]
            for task in recall.TASKS for arm in ("dot", "rotated dot")}
    assert seen == {
        ("induction", "dot"): [8, 16, 31], ("pairs", "dot"): [4, 8, 12, 16],
        ("induction", "rotated dot"): [8, 16, 31, 48, 64],
        ("pairs", "rotated dot"): [4, 8, 12, 16, 24, 32]}
    assert {row["items"] for row in rows if row["beyond"]} == {12, 16, 24, 32, 48, 64}
    assert all(0 <= row["accuracy"] <= 1 for row in rows)
    assert recall.main(asked) == 0 and rows_of(tiny / "recall.jsonl") == rows
