"""Checks of the exercises of chapter 02.

Each check asks for what the answer does, never for how: every convention that keeps
the promise is accepted.
"""

import math

import torch

from lib.attention.masks import causal_mask
from lib.exercises import Hint, exercise, require
from lib.exercises.compare import compare, draw, number, tensor


@exercise
def check_attention(answer) -> None:
    """Causal attention of one head: `(n, d)` three times in, `(n, d)` out."""
    for n, d in ((5, 8), (1, 4), (9, 16)):
        q, k, v = 2 * draw(3, n, d, seed=n)
        logits, future = q @ k.T, ~causal_mask(n)
        scaled = logits / math.sqrt(d)

        def weights(logits, future=future):
            return logits.masked_fill(future, -torch.inf).softmax(-1)

        columns = scaled.masked_fill(future, -torch.inf).softmax(0).nan_to_num()
        compare(tensor(answer(q, k, v), (n, d)), weights(scaled) @ v, [
            (scaled.softmax(-1) @ v,
             "미래가 가려지지 않았습니다.", "The future is not hidden."),
            (weights(logits) @ v,
             "√d로 나누지 않았습니다.", "The division by √d is missing."),
            (weights(logits / d) @ v,
             "d가 아니라 √d로 나눕니다.", "Divide by √d, not by d."),
            (scaled.softmax(-1).masked_fill(future, 0) @ v,
             "마스크는 소프트맥스 앞에 씌웁니다. 뒤에 씌우면 합이 1이 아닙니다.",
             "The mask comes before the softmax; after it, rows no longer sum to 1."),
            (columns @ v, "소프트맥스는 키 방향(마지막 축)으로 합니다.",
             "The softmax runs over the keys, the last axis."),
        ], "값이 다릅니다. 로짓, 마스크, 소프트맥스, 값의 순서로 확인해 보십시오.",
           "The values differ; go through logits, mask, softmax, values in order.",
           rtol=1e-5, atol=1e-5)


@exercise
def check_kv_head(answer) -> None:
    """Which key/value head a query head uses."""
    for n_heads, n_kv_heads in ((9, 3), (8, 8), (32, 4), (6, 1)):
        for head in range(n_heads):
            got = answer(head, n_heads, n_kv_heads)
            ko = (f"쿼리 헤드 {n_heads}개, 키·값 헤드 {n_kv_heads}개일 때 {head}번의 "
                  f"답이 {got}입니다.")
            en = (f"With {n_heads} query and {n_kv_heads} key/value heads the answer "
                  f"for head {head} is {got}.")
            compare(got, head // (n_heads // n_kv_heads), [
                (head % n_kv_heads,
                 f"{ko} 이웃한 쿼리 헤드들이 키 헤드 하나를 나누어 씁니다.",
                 f"{en} Neighbouring query heads share one key head."),
            ], ko, en)


@exercise
def check_previous_head(answer) -> None:
    """The head with the largest mean weight on the token before."""
    for seed, (layers, heads, n) in enumerate(((4, 3, 7), (2, 5, 12), (3, 3, 5))):
        weights, place = _planted(layers, heads, n, seed)
        got = answer(weights.clone())
        try:
            layer, head = (int(index) for index in got)
        except (TypeError, ValueError):
            raise Hint(
                f"(layer, head) 두 수가 필요한데 {got!r}만 나왔습니다. 번호 하나를 "
                "찾았다면 divmod(번호, 헤드의 수)로 두 수가 됩니다.",
                f"Two numbers (layer, head) are needed and {got!r} came; divmod of "
                "an index by the number of heads gives both.") from None
        here = weights[layer, head]
        compare([layer, head], place, [
            (bool(here.diagonal().mean() > 0.5),
             "그 헤드는 자기 자신을 봅니다. 대각선 바로 아래를 보십시오.",
             "That head looks at itself; go one below the diagonal."),
            (bool(here[1:, 0].mean() > 0.5),
             ("그 헤드는 첫 토큰을 봅니다. 보는 자리가 쿼리를 따라 움직이는 헤드를 "
              "찾으십시오."),
             "That head looks at the first token; the place must move with the query."),
        ], f"({layer}, {head})보다 바로 앞을 더 많이 보는 헤드가 있습니다.",
           f"Some head looks one back more than ({layer}, {head}) does.")


def _planted(layers: int, heads: int, n: int, seed: int):
    """Causal weights with one head each for before, itself, first and after."""
    logits = draw(layers, heads, n, n, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(layers * heads, generator=generator).tolist()
    places = [divmod(index, heads) for index in order]
    logits[places[0]].diagonal(-1).add_(4)
    logits[places[1]].diagonal().add_(6)
    logits[places[2]][:, 0].add_(6)
    logits[places[3]].diagonal(-2).add_(6)
    return logits.masked_fill(~causal_mask(n), -torch.inf).softmax(-1), places[0]


@exercise
def check_temperature(answer) -> None:
    """The temperature that gives a row of logits a wanted entropy, in bits."""
    for seed, (n, bits) in enumerate(((8, 2.0), (20, 1.0), (20, 4.0), (5, 0.3))):
        logits = 3 * draw(n, seed=seed)
        tau = number(answer(logits.clone(), bits))
        require(tau > 0, f"온도는 양수여야 합니다. {tau}이(가) 나왔습니다.",
                f"A temperature is positive; {tau} came.")
        got = _bits(logits / tau)
        compare(got, bits, [
            (abs(_bits(logits * tau) - bits) < 0.01,
             "곱하지 말고 나누어야 합니다. 답의 역수를 취하십시오.",
             "Logits are divided by τ, not multiplied: take 1/τ."),
            (abs(got * math.log(2) - bits) < 0.01,
             "엔트로피를 비트로 재십시오. 밑이 2인 로그입니다.",
             "Measure entropy in bits: logarithms to base 2."),
        ], f"τ = {tau:.3g}이면 엔트로피가 {got:.2f}비트입니다. "
           f"목표는 {bits}비트입니다.",
           f"With τ = {tau:.3g} the entropy is {got:.2f} bits; {bits} is wanted.",
           rtol=0.0, atol=0.01)


def _bits(logits: torch.Tensor) -> float:
    p = logits.softmax(-1)
    return torch.special.entr(p).sum().item() / math.log(2)


@exercise
def check_rotation(answer) -> None:
    """Turn a vector by its position: keep lengths, know distance only."""
    for d in (2, 8, 64):
        x, y = draw(2, d, seed=d)
        turned = tensor(answer(x.clone(), 7), (d,), "넣은 벡터와 길이가 같습니다.",
                        "No vector of the length that went in came out.")
        require(abs(turned.norm() - x.norm()) <= 1e-4 * x.norm(),
                "벡터의 길이가 바뀌었습니다. 회전은 길이를 지킵니다.",
                "The length has changed; a rotation keeps it.")

        def dot(s: int, t: int, x=x, y=y) -> float:
            return float(answer(x.clone(), s) @ answer(y.clone(), t))

        tolerance = 1e-4 * float(x.norm() * y.norm())
        for s, t, by in ((0, 3, 5), (4, 1, 20), (2, 2, 11)):
            require(abs(dot(s, t) - dot(s + by, t + by)) <= tolerance,
                    f"자리 {s}, {t}과(와) 자리 {s + by}, {t + by}은(는) 거리가 같은데 "
                    "내적이 다릅니다.",
                    f"Places {s}, {t} and {s + by}, {t + by} are equally far apart, "
                    "but the dot products differ.")
        values = [dot(0, t) for t in range(4)]
        require(max(values) - min(values) >= 10 * tolerance,
                "거리가 달라져도 내적이 그대로입니다. 자리를 쓰지 않았습니다.",
                "Another distance gives the same dot product: the position is not "
                "used.")
