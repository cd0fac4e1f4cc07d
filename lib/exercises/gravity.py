"""Checks for the exercises of chapter 09: weights, distances, cutoffs, kernels."""

import torch

from lib.exercises import Verdict, correct, exercise, require
from lib.exercises.compare import close, cloud, compare, number, share, tensor
from lib.gravity.attention import gaussian, squared_distances

_ROUND = {"rtol": 1e-5, "atol": 1e-7}


@exercise
def check_newton_weights(answer) -> Verdict:
    """answer(z, mass, eps): weights m_j / (r²_ij + ε), each row summing to one."""
    z, mass = cloud(1)
    eps, r2 = 0.1, squared_distances(z)
    right = share(mass / (r2 + eps))
    got = tensor(answer(z, mass, eps), right.shape,
                 "쿼리마다 한 행입니다.", "One row a query.")
    compare(got, right, [
        (mass / (r2 + eps),
         "행의 합을 1로 만들지 않았습니다.", "The rows do not sum to one yet."),
        (share(mass / (r2 * z.shape[-1] + eps)),
         "r²을 좌표축의 수 C로 나누지 않았습니다.",
         "r² is not divided by the number of axes C."),
        (share(mass / (r2.sqrt() + eps)),
         "거리를 제곱하지 않았습니다.", "The distance is not squared."),
        (share(1 / (r2 + eps)), "질량이 빠졌습니다.", "The masses are missing."),
        (right.mT,
         "행과 열이 바뀌었습니다. 행이 쿼리입니다.",
         "Rows and columns are swapped; a row is a query."),
        ((mass / (r2 + eps)).softmax(-1),
         "이미 지수 함수를 지난 값입니다. 소프트맥스 대신 행의 합으로 나누십시오.",
         "These are past the exponential: divide by the sum, use no softmax."),
    ], "값이 다릅니다. 가중치는 m_j / (r²_ij + ε)에 비례합니다.",
       "The values differ: weights go with m_j / (r²_ij + ε).", **_ROUND)
    z, mass = cloud(2)
    again = share(mass / (squared_distances(z) + 1.0))
    require(close(answer(z, mass, 1.0), again, **_ROUND),
            "한 경우에만 맞습니다. `eps`를 인자로 받아 쓰는지 보십시오.",
            "Right in one case only: does it use the `eps` it is given?")
    return correct("맞았습니다. 역제곱 법칙을 한 줄로 옮겼습니다.",
                   "Correct: the inverse-square law, in one line.")


@exercise
def check_same_pull(answer) -> None:
    """answer(mass, p, beta): where a mass pulls as much as mass 1 at r = 1, ε = 0."""
    cases = [(4.0, 1.0, 1.0), (4.0, 2.0, 1.0), (0.5, 1.0, 3.0), (9.0, 0.7, 0.4)]
    right = [mass ** (beta / (2 * p)) for mass, p, beta in cases]
    got = [number(answer(*case)) for case in cases]
    square = close(got, [r * r for r in right])
    for (mass, p, beta), came, wanted in zip(cases, got, right, strict=True):
        compare(came, wanted, [
            (square, "그것은 r²입니다. 물은 것은 r입니다.",
             "That is r²; the question asks for r."),
        ], f"m={mass:g}, p={p:g}, β={beta:g}에서 {came:.4g}이(가) 나왔습니다. "
           "m^β / r^(2p) = 1을 r에 대해 풀어 보십시오.",
           f"For m={mass:g}, p={p:g}, β={beta:g} it gives {came:.4g}; "
           "solve m^β / r^(2p) = 1 for r.")


@exercise
def check_mended_cutoff(answer) -> Verdict:
    """answer(logits, r2, radius): weights, x = relu(1 − r²/R²) inside the softmax."""
    for seed, radius in ((3, 1.1), (4, 1.6)):
        z, mass = cloud(seed, seq=7)
        r2 = squared_distances(z)
        logits = -mass[:, None] * mass / (r2 + 0.1)
        x = (1 - r2 / radius**2).clamp_min(0)
        got = tensor(answer(logits, r2, radius), r2.shape)
        compare(got, share(x * logits.exp()), [
            ((logits * x).softmax(-1),
             "원본의 식 그대로입니다. 반지름 밖의 로짓이 0이 되어 가장 큽니다.",
             "This is the original's rule: outside, the logit is 0, the largest."),
            (x * logits.softmax(-1),
             "거의 다 왔습니다. 곱한 다음 행의 합을 다시 1로 맞추십시오.",
             "Nearly: after multiplying, make the rows sum to one again."),
            (bool(got.isnan().any()),
             "NaN이 생겼습니다. log 0은 -inf이고, -inf에 0을 곱하면 NaN입니다.",
             "There are NaNs: log 0 is -inf, and -inf times 0 is NaN."),
            (bool((got[r2 >= radius**2] > 0).any()),
             "반지름 밖에 아직 가중치가 남아 있습니다.",
             "There is still weight outside the radius."),
        ], "가중치는 x·exp(로짓)에 비례하고 행의 합은 1입니다.",
           "Weights go with x·exp(logit), and rows sum to one.", **_ROUND)
    return correct(
        "맞았습니다. 반지름 밖은 정확히 0이고, 자기 자신은 언제나 남습니다.",
        "Correct: exactly zero outside, and the token itself always stays.")


def same_width(query: torch.Tensor, key: torch.Tensor) -> None:
    """Turn down queries and keys that have no dot product."""
    require(query.shape[-1] == key.shape[-1],
            f"쿼리는 {query.shape[-1]}차원, 키는 {key.shape[-1]}차원입니다. 같아야 "
            "합니다.",
            f"Queries are {query.shape[-1]} wide, keys {key.shape[-1]}; "
            "they must agree.")


@exercise
def check_gaussian_as_dot(answer) -> Verdict:
    """answer(z, mass, gamma, beta): (query, key) whose dot products give `gaussian`."""
    gamma, beta = 0.9, 1.3
    for seed in (5, 6):
        z, mass = cloud(seed)
        query, key = answer(z, mass, gamma, beta)
        same_width(query, key)
        r2 = squared_distances(z)

        def weights(r2, mass):
            return gaussian(r2, mass, gamma, beta).softmax(-1)

        compare((query @ key.mT).softmax(-1), weights(r2, mass), [
            (weights(r2, torch.ones_like(mass)),
             "질량이 빠졌습니다. 키의 마지막 성분에 β log m을 더하십시오.",
             "The mass is missing: add β log m to the last entry of the key."),
            (weights(r2 * z.shape[-1], mass),
             "r²은 좌표 수 C로 나눈 값입니다.", "r² is per coordinate: divide by C."),
        ], "−γ‖z_i − z_j‖²/C를 펼치십시오. 쿼리만의 항은 소프트맥스에서 사라집니다.",
           "Expand −γ‖z_i − z_j‖²/C; what is the query's alone cancels in a softmax.",
           **_ROUND)
    return correct(
        "맞았습니다. 가우스 커널은 내적 어텐션으로 정확히 계산할 수 있습니다.",
        "Correct: dot-product attention computes the Gaussian kernel exactly.")
