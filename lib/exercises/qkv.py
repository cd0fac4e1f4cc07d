"""Checks of the exercises of chapter 02.

Each check asks for what the answer does, never for how: every convention that keeps
the promise is accepted.
"""

import math

import torch
import torch.nn.functional as F

from lib.exercises import Verdict, correct, exercise, not_yet


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@exercise
def check_attention(answer) -> Verdict:
    """Causal attention of one head: `(n, d)` three times in, `(n, d)` out."""
    for n, d in ((5, 8), (1, 4), (9, 16)):
        q, k, v = 2 * _draw(3, n, d, seed=n)
        output = answer(q, k, v)
        if output is None or output is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        if tuple(output.shape) != (n, d):
            return not_yet(
                f"출력의 모양이 {tuple(output.shape)}입니다. {(n, d)}이어야 합니다.",
                f"The output has shape {tuple(output.shape)}; it should be {(n, d)}.",
            )
        right = F.scaled_dot_product_attention(q[None], k[None], v[None],
                                               is_causal=True)[0]
        if torch.allclose(output.double(), right, atol=1e-5):
            continue
        for hint, wrong in _typical(q, k, v):
            if torch.allclose(output.double(), wrong, atol=1e-5):
                return not_yet(*hint)
        return not_yet(
            "값이 다릅니다. 로짓, 마스크, 소프트맥스, 값의 순서로 확인해 보십시오.",
            "The values differ; go through logits, mask, softmax, values in order.",
        )
    return correct()


def _typical(q, k, v):
    """Typical wrong outputs, each with its hint."""
    logits, d = q @ k.T, q.shape[-1]
    future = torch.ones_like(logits).triu(1).bool()
    closed = (logits / math.sqrt(d)).masked_fill(future, -torch.inf)
    yield (("미래가 가려지지 않았습니다.", "The future is not hidden."),
           (logits / math.sqrt(d)).softmax(-1) @ v)
    yield (("√d로 나누지 않았습니다.", "The division by √d is missing."),
           logits.masked_fill(future, -torch.inf).softmax(-1) @ v)
    yield (("d가 아니라 √d로 나눕니다.", "Divide by √d, not by d."),
           (logits / d).masked_fill(future, -torch.inf).softmax(-1) @ v)
    yield (("마스크는 소프트맥스 앞에 씌웁니다. 뒤에 씌우면 합이 1이 아닙니다.",
            "The mask comes before the softmax; after it, rows no longer sum to 1."),
           (logits / math.sqrt(d)).softmax(-1).masked_fill(future, 0) @ v)
    yield (("소프트맥스는 키 방향(마지막 축)으로 합니다.",
            "The softmax runs over the keys, the last axis."),
           closed.softmax(0).nan_to_num() @ v)


@exercise
def check_kv_head(answer) -> Verdict:
    """Which key/value head a query head uses."""
    for n_heads, n_kv_heads in ((9, 3), (8, 8), (32, 4), (6, 1)):
        group = n_heads // n_kv_heads
        for head in range(n_heads):
            found = answer(head, n_heads, n_kv_heads)
            if found is None or found is Ellipsis:
                return not_yet("아직 답이 없습니다.", "There is no answer yet.")
            if int(found) == found == head // group:
                continue
            hint = (("이웃한 쿼리 헤드들이 키 헤드 하나를 나누어 씁니다.",
                     "Neighbouring query heads share one key head.")
                    if found == head % n_kv_heads else ("", ""))
            return not_yet(
                f"쿼리 헤드 {n_heads}개, 키·값 헤드 {n_kv_heads}개일 때 {head}번의 "
                f"답이 {found}입니다. {hint[0]}".strip(),
                f"With {n_heads} query and {n_kv_heads} key/value heads the answer "
                f"for head {head} is {found}. {hint[1]}".strip(),
            )
    return correct()


@exercise
def check_previous_head(answer) -> Verdict:
    """The head with the largest mean weight on the token before."""
    for seed, (layers, heads, n) in enumerate(((4, 3, 7), (2, 5, 12), (3, 3, 5))):
        weights, place = _planted(layers, heads, n, seed)
        found = answer(weights.clone())
        if found is None or found is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        try:
            layer, head = (int(index) for index in found)
        except (TypeError, ValueError):
            return not_yet(
                f"(layer, head) 두 수가 필요한데 {found!r}만 나왔습니다. 번호 하나를 "
                "찾았다면 divmod(번호, 헤드의 수)로 두 수가 됩니다.",
                f"Two numbers (layer, head) are needed and {found!r} came; divmod of "
                "an index by the number of heads gives both.",
            )
        if (layer, head) == place:
            continue
        here = weights[layer, head]
        if here.diagonal().mean() > 0.5:
            return not_yet("그 헤드는 자기 자신을 봅니다. 대각선 바로 아래를 보십시오.",
                           "That head looks at itself; go one below the diagonal.")
        if here[1:, 0].mean() > 0.5:
            return not_yet("그 헤드는 첫 토큰을 봅니다. 보는 자리가 쿼리를 따라 "
                           "움직이는 헤드를 찾으십시오.",
                           "That head looks at the first token; the place must move "
                           "with the query.")
        return not_yet(
            f"({layer}, {head})보다 바로 앞을 더 많이 보는 헤드가 있습니다.",
            f"Some head looks one back more than ({layer}, {head}) does.",
        )
    return correct()


def _planted(layers: int, heads: int, n: int, seed: int):
    """Causal weights with one head each for before, itself, first and after."""
    mask = torch.ones(n, n).tril().bool()
    logits = _draw(layers, heads, n, n, seed=seed)
    order = torch.randperm(layers * heads, generator=torch.Generator()
                           .manual_seed(seed)).tolist()
    places = [divmod(index, heads) for index in order]
    logits[places[0]].diagonal(-1).add_(4)
    logits[places[1]].diagonal().add_(6)
    logits[places[2]][:, 0].add_(6)
    logits[places[3]].diagonal(-2).add_(6)
    return logits.masked_fill(~mask, -torch.inf).softmax(-1), places[0]


@exercise
def check_temperature(answer) -> Verdict:
    """The temperature that gives a row of logits a wanted entropy, in bits."""
    for seed, (n, bits) in enumerate(((8, 2.0), (20, 1.0), (20, 4.0), (5, 0.3))):
        logits = 3 * _draw(n, seed=seed)
        tau = answer(logits.clone(), bits)
        if tau is None or tau is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        tau = float(tau)
        if not tau > 0:
            return not_yet(f"온도는 양수여야 합니다. {tau}가 나왔습니다.",
                           f"A temperature is positive; {tau} came.")
        got = _bits(logits / tau)
        if abs(got - bits) < 0.01:
            continue
        if abs(_bits(logits * tau) - bits) < 0.01:
            return not_yet("곱하지 말고 나누어야 합니다. 답의 역수를 취하십시오.",
                           "Logits are divided by τ, not multiplied: take 1/τ.")
        if abs(got * math.log(2) - bits) < 0.01:
            return not_yet("엔트로피를 비트로 재십시오. 밑이 2인 로그입니다.",
                           "Measure entropy in bits: logarithms to base 2.")
        return not_yet(
            f"τ = {tau:.3g}이면 엔트로피가 {got:.2f}비트입니다. "
            f"목표는 {bits}비트입니다.",
            f"With τ = {tau:.3g} the entropy is {got:.2f} bits; {bits} is wanted.",
        )
    return correct()


def _bits(logits: torch.Tensor) -> float:
    p = logits.softmax(-1)
    return torch.special.entr(p).sum().item() / math.log(2)


@exercise
def check_rotation(answer) -> Verdict:
    """Turn a vector by its position: keep lengths, know distance only."""
    for d in (2, 8, 64):
        x, y = _draw(2, d, seed=d)
        turned = answer(x.clone(), 7)
        if turned is None or turned is Ellipsis:
            return not_yet("아직 답이 없습니다.", "There is no answer yet.")
        if tuple(turned.shape) != (d,):
            return not_yet(
                f"길이 {d}인 벡터를 넣었는데 모양이 {tuple(turned.shape)}입니다.",
                f"A vector of length {d} went in, one of shape "
                f"{tuple(turned.shape)} came out.",
            )
        if abs(turned.norm() - x.norm()) > 1e-4 * x.norm():
            return not_yet("벡터의 길이가 바뀌었습니다. 회전은 길이를 지킵니다.",
                           "The length has changed; a rotation keeps it.")

        def dot(s: int, t: int, x=x, y=y) -> float:
            return float(answer(x.clone(), s) @ answer(y.clone(), t))

        tolerance = 1e-4 * float(x.norm() * y.norm())
        for s, t, by in ((0, 3, 5), (4, 1, 20), (2, 2, 11)):
            if abs(dot(s, t) - dot(s + by, t + by)) > tolerance:
                return not_yet(
                    f"자리 {s}, {t}와 자리 {s + by}, {t + by}는 거리가 같은데 내적이 "
                    "다릅니다.",
                    f"Places {s}, {t} and {s + by}, {t + by} are equally far apart, "
                    "but the dot products differ.",
                )
        values = [dot(0, t) for t in range(4)]
        if max(values) - min(values) < 10 * tolerance:
            return not_yet("거리가 달라져도 내적이 그대로입니다. 자리를 쓰지 "
                           "않았습니다.",
                           "Another distance gives the same dot product: the position "
                           "is not used.")
    return correct()
