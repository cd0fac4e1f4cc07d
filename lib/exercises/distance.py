"""Checks for the exercises of chapter 08: hidden masses, reach, a gate that learns."""

import math

import torch

from lib.exercises import Verdict, correct, exercise, require
from lib.exercises.compare import close, compare, draw, number, share, tensor


@exercise
def check_hidden_mass(answer) -> Verdict:
    """answer(keys): masses m_j ∝ exp(γ‖k_j‖²) with γ = 1 / (2√d), for keys (n, d).

    With them the Gaussian kernel m_j exp(−γ‖q − k_j‖²) gives the weights of
    softmax(q·k_j / √d) for every query q.
    """
    for n, d in ((5, 4), (7, 9)):
        keys = draw(n, d, seed=n)
        square = keys.square().sum(-1)
        gamma = 1 / (2 * math.sqrt(d))
        got = tensor(answer(keys), (n,), "키마다 하나입니다.", "One mass a key.")
        compare(share(got), share((gamma * square).exp()), [
            (share(gamma * square),
             "이것은 질량의 로그입니다. 지수 함수를 한 번 더 지나야 합니다.",
             "This is the logarithm of the mass; one exponential is missing."),
            (share((-gamma * square).exp()),
             "부호가 반대입니다. 긴 키가 무거워야 합니다.",
             "The sign is the other way: long keys are the heavy ones."),
            (share((gamma * square.sqrt()).exp()),
             "길이가 아니라 길이의 제곱입니다.", "Not the length but its square."),
            (share(square.exp()), "γ가 빠졌습니다.", "γ is missing."),
            (share((2 * gamma * square).exp()),
             "두 배가 되었습니다. γ는 1/(2√d)입니다.",
             "That is twice too much: γ is 1/(2√d)."),
            (share((square / (2 * d)).exp()),
             "d가 아니라 √d로 나눕니다.", "Divide by √d, not by d."),
        ], "값이 다릅니다. −γ‖q − k‖²을 펼쳐 내적에 없는 키만의 항을 찾으십시오.",
           "The values differ: expand −γ‖q − k‖² and look for the key's own term, "
           "which the dot product does not have.")
        require((got > 0).all(), "부호가 반대입니다. 질량은 양수입니다.",
                "The sign is the other way: a mass is positive.")
    return correct(
        "맞았습니다. 공통의 배수는 행마다 합을 1로 맞출 때 사라집니다.",
        "Correct. A common factor goes away when every row is made to sum to one.")


@exercise
def check_reach(answer) -> None:
    """answer(share, p, eps): r at which (r²/ε + 1)^(−p) = share, the Newton kernel."""
    cases = [(0.5, 1.0, 0.1), (0.01, 1.0, 0.1), (0.01, 2.5, 1.0), (0.2, 0.5, 3.0)]
    right = [math.sqrt(eps * (share ** (-1 / p) - 1)) for share, p, eps in cases]
    got = [number(answer(*case)) for case in cases]
    share, p, eps = cases[0]
    compare(got, right, [
        ([r * r for r in right],
         "그것은 r²입니다. 물은 것은 r입니다.",
         "That is r²; the question asks for r."),
        ([math.sqrt(eps * share ** (-1 / p)) for share, p, eps in cases],
         "ε을 빼지 않았습니다. r²+ε이 아니라 r²을 구합니다.",
         "ε was not subtracted: you want r², not r² + ε."),
        ([math.sqrt(max(share ** (-1 / p) - eps, 0)) for share, p, eps in cases],
         "겹쳐 있을 때의 몫이 1이 되도록 ε^(−p)로 나누어야 합니다.",
         "Divide by ε^(−p), so that the pull of a coinciding token is 1."),
    ], f"share={share:g}, p={p:g}, ε={eps:g}에서 {got[0]:.4g}이(가) 나왔습니다. "
       "((r²+ε)/ε)^(−p) = share를 r에 대해 풀어 보십시오.",
       f"For share={share:g}, p={p:g}, ε={eps:g} it gives {got[0]:.4g}; solve "
       "((r² + ε)/ε)^(−p) = share for r.", atol=1e-12)


@exercise
def check_hard_gate(answer) -> Verdict:
    """answer(r2, radius): 1 inside, 0 outside, with a derivative by the radius > 0."""
    for seed, reach in ((1, 1.0), (2, 1.7)):
        r2 = draw(4, 6, seed=seed).square()
        radius = torch.tensor(reach, dtype=torch.float64, requires_grad=True)
        gate = answer(r2, radius)
        require(isinstance(gate, torch.Tensor) and gate.shape == r2.shape,
                f"`r2`와 같은 모양의 텐서 {tuple(r2.shape)}을(를) 돌려주십시오.",
                f"Return a tensor of the shape of `r2`, {tuple(r2.shape)}.")
        inside, value = (r2 < reach**2).double(), gate.detach().double()
        compare(value, inside, [
            (bool(((value > 1e-6) & (value < 1 - 1e-6)).any()),
             ("값이 0과 1 사이에 있습니다. 매끄러운 함수의 값은 빼고 기울기만 "
              "남기십시오."),
             ("Some values lie between 0 and 1: keep the gradient of the smooth "
              "function and take its value away again.")),
            (close(value, 1 - inside, atol=1e-6),
             "안과 밖이 바뀌었습니다.", "Inside and outside are swapped."),
        ], "경계가 다릅니다. r2는 제곱이므로 R²과 견주어야 합니다.",
           "The edge is elsewhere: r2 is a square, compare it with R².", atol=1e-6)
        require(gate.requires_grad,
                "값은 맞지만 radius로 미분할 수 없습니다. 비교는 기울기를 끊습니다.",
                "The values are right, but nothing leads back to radius: a comparison "
                "cuts the gradient.")
        pieces = gate[r2 > 0.05]
        slopes = torch.stack([
            torch.autograd.grad(x, radius, retain_graph=True)[0] for x in pieces])
        require(slopes.isfinite().all(),
                "기울기가 유한하지 않습니다.", "A gradient is not finite.")
        require((slopes >= 0).all(),
                "기울기의 부호가 반대입니다. 반지름이 커지면 문이 열려야 합니다.",
                "The gradient has the wrong sign: a larger radius opens the gate.")
        require((slopes[pieces < 0.5] != 0).all(),
                "밖에 있는 토큰에서 기울기가 0입니다. 끊긴 토큰도 반지름을 넓혀 "
                "달라고 할 수 있어야 합니다.",
                "The gradient is 0 for tokens outside; what was cut off should be able "
                "to ask for a larger radius.")
    return correct("맞았습니다. 값은 절벽인데 기울기는 흐릅니다.",
                   "Correct: the value is a cliff, and the gradient flows.")
