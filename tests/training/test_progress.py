"""The bar of a training says what a step costs before the first one, then the loss."""

import io

import pytest
import torch
from torch import nn

from lib.training import loop as train
from lib.training.loop import Recipe, fit
from lib.training.progress import Bar


@pytest.fixture
def shown(monkeypatch):
    """What the bars of `fit` print."""
    out = io.StringIO()
    monkeypatch.setattr(train, "Bar", lambda *given, **options: Bar(
        *given, **options | {"file": out, "mininterval": 0}))
    return out


def test_a_training_says_its_cost_first_and_its_losses_while_it_runs(shown):
    def loss(model, batch):
        return model(batch).pow(2).sum(), torch.tensor(batch.numel())

    fit(nn.Linear(3, 3), [torch.ones(2, 3)] * 4, Recipe(steps=4, warmup=0, batch=2),
        loss=loss, evaluate=lambda model: 1.5, name="little")
    lines = [line for line in shown.getvalue().split("\r") if line.strip()]
    assert "0/4" in lines[0] and "loss" not in lines[0]
    assert lines[0].endswith(", 2 × 3 tokens a step, 12 parameters]")
    assert "4/4" in lines[-1] and "loss=" in lines[-1] and "valid=1.500" in lines[-1]


def test_only_what_learns_is_counted_and_rows_alone_are_called_rows():
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    bar = Bar("training", 9, file=io.StringIO())
    bar.costs(model, 1600)
    assert bar.words == "1,600 rows a step, 4 parameters"
    bar.close()
