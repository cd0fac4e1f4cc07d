"""The checks of chapter 08: right answers of any shape pass, wrong ones get a hint."""

import math

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs

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


test_check_hidden_mass_accepts_what_is_right = accepts(
    check_hidden_mass, masses_as_written, masses_by_softmax)
test_check_reach_accepts_what_is_right = accepts(
    check_reach, reach_by_formula, reach_by_bisection)
test_check_hard_gate_accepts_what_is_right = accepts(
    check_hard_gate, gate_by_detach, Cliff.apply)


test_check_hidden_mass_hints_at_what_is_wrong = hints(
    check_hidden_mass,
    (lambda k: masses_as_written(k).log(), "logarithm"),
    (lambda k: 1 / masses_as_written(k), "sign"),
    (lambda k: (k.norm(dim=-1) / 2 / k.shape[1] ** 0.5).exp(), "square"),
    (lambda k: k.square().sum(-1).exp(), "γ is missing"),
    (lambda k: masses_as_written(k) ** 2, "twice"),
    (lambda k: (k.square().sum(-1) / 2 / k.shape[1]).exp(), "by √d"),
    (lambda k: k.norm(dim=-1), "expand"),
    (lambda k: masses_as_written(k)[:, None], "shape"),
)
test_check_reach_hints_at_what_is_wrong = hints(
    check_reach,
    (lambda s, p, e: reach_by_formula(s, p, e) ** 2, "r²"),
    (lambda s, p, e: (e * s ** (-1 / p)) ** 0.5, "subtracted"),
    (lambda s, p, e: max(s ** (-1 / p) - e, 0) ** 0.5, "Divide"),
    (lambda s, p, e: s, "solve"),
)
test_check_hard_gate_hints_at_what_is_wrong = hints(
    check_hard_gate,
    (lambda r2, R: (r2 < R**2).double(), "cuts the gradient"),
    (lambda r2, R: (1 - r2 / R**2).sigmoid(), "between"),
    (lambda r2, R: 1 - gate_by_detach(r2, R), "swapped"),
    (lambda r2, R: gate_by_detach(r2, R**0.5 / 2), "elsewhere"),
    (lambda r2, R: 2 * (r2 < R**2).double() - gate_by_detach(r2, R), "wrong sign"),
    (lambda r2, R: (r2 < R**2).double() + F.relu(1 - r2 / R**2)
     - F.relu(1 - r2 / R**2).detach(), "outside"),
    (lambda r2, R: gate_by_detach(r2, R).sum(), "shape"),
)


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("08_dot_to_distance", CHECKS)
