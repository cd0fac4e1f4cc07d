"""The checks of chapter 08: right answers of any shape pass, wrong ones get a hint."""

import math

import pytest
import torch
import torch.nn.functional as F

from lib.exercises.distance import check_hard_gate, check_hidden_mass, check_reach

CHECKS = (check_hidden_mass, check_reach, check_hard_gate)


def masses_as_written(keys):
    return (keys.square().sum(-1) / (2 * math.sqrt(keys.shape[-1]))).exp()


def masses_by_softmax(keys):
    return ((keys @ keys.T).diagonal() / 2 / keys.shape[1] ** 0.5).softmax(0)


def reach_by_formula(share, p, eps):
    return math.sqrt(eps * (share ** (-1 / p) - 1))


def reach_by_bisection(share, p, eps):
    low, high = 0.0, 1e6
    for _ in range(200):
        middle = (low + high) / 2
        if (middle**2 + eps) ** -p > share * eps**-p:
            low = middle
        else:
            high = middle
    return low


def gate_by_detach(r2, radius):
    x = 1 - r2 / radius**2
    smooth = torch.sigmoid(4 * x)
    return (x > 0).double() + smooth - smooth.detach()


class Cliff(torch.autograd.Function):
    @staticmethod
    def forward(r2, radius):
        return (r2 < radius**2).to(r2)

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context, grad):
        r2, radius = context.saved_tensors
        return None, (grad * 2 * r2 / radius**3 / (1 + r2) ** 2).sum()


def test_masses_of_the_exercise_turn_a_gaussian_into_the_dot_product():
    q, k = torch.randn(2, 5, 8, dtype=torch.float64).unbind()
    gamma = 1 / (2 * math.sqrt(8))
    pull = masses_as_written(k) * (-gamma * torch.cdist(q, k) ** 2).exp()
    dot = (q @ k.T / math.sqrt(8)).softmax(-1)
    assert torch.allclose(pull / pull.sum(-1, keepdim=True), dot, atol=1e-12)


@pytest.mark.parametrize("check, answer", [
    (check_hidden_mass, masses_as_written),
    (check_hidden_mass, masses_by_softmax),
    (check_reach, reach_by_formula),
    (check_reach, reach_by_bisection),
    (check_hard_gate, gate_by_detach),
    (check_hard_gate, Cliff.apply),
])
def test_different_right_answers_are_accepted(check, answer):
    verdict = check(answer)
    assert verdict.accepted, verdict.en


@pytest.mark.parametrize("check, answer, hint", [
    (check_hidden_mass, lambda k: masses_as_written(k).log(), "logarithm"),
    (check_hidden_mass, lambda k: 1 / masses_as_written(k), "sign"),
    (check_hidden_mass,
     lambda k: (k.norm(dim=-1) / 2 / k.shape[1] ** 0.5).exp(), "square"),
    (check_hidden_mass, lambda k: k.square().sum(-1).exp(), "γ is missing"),
    (check_hidden_mass, lambda k: masses_as_written(k) ** 2, "twice"),
    (check_hidden_mass,
     lambda k: (k.square().sum(-1) / 2 / k.shape[1]).exp(), "by √d"),
    (check_hidden_mass, lambda k: k.norm(dim=-1), "expand"),
    (check_hidden_mass, lambda k: masses_as_written(k)[:, None], "shape"),
    (check_reach, lambda s, p, e: reach_by_formula(s, p, e) ** 2, "r²"),
    (check_reach, lambda s, p, e: (e * s ** (-1 / p)) ** 0.5, "subtracted"),
    (check_reach, lambda s, p, e: max(s ** (-1 / p) - e, 0) ** 0.5, "Divide"),
    (check_reach, lambda s, p, e: s, "solve"),
    (check_hard_gate, lambda r2, R: (r2 < R**2).double(), "cuts the gradient"),
    (check_hard_gate, lambda r2, R: (1 - r2 / R**2).sigmoid(), "between"),
    (check_hard_gate, lambda r2, R: 1 - gate_by_detach(r2, R), "swapped"),
    (check_hard_gate, lambda r2, R: gate_by_detach(r2, R**0.5 / 2), "elsewhere"),
    (check_hard_gate, lambda r2, R: 2 * (r2 < R**2).double()
     - gate_by_detach(r2, R), "wrong sign"),
    (check_hard_gate, lambda r2, R: (r2 < R**2).double()
     + F.relu(1 - r2 / R**2) - F.relu(1 - r2 / R**2).detach(), "outside"),
    (check_hard_gate, lambda r2, R: gate_by_detach(r2, R).sum(), "shape"),
])
def test_typical_mistakes_are_turned_down_with_a_hint_that_fits(check, answer, hint):
    verdict = check(answer)
    assert not verdict.accepted
    assert hint in verdict.en
    assert any("가" <= letter <= "힣" for letter in verdict.ko)


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("stub", [lambda *given: ..., lambda *given: None, None, ...])
def test_the_stub_is_not_accepted(check, stub):
    verdict = check(stub)
    assert not verdict.accepted
    assert verdict.en == "There is no answer yet."


@pytest.mark.parametrize("check", CHECKS)
def test_an_answer_that_raises_becomes_a_verdict(check):
    verdict = check(lambda *given: 1 / 0)
    assert not verdict.accepted
    assert "ZeroDivisionError" in verdict.en
