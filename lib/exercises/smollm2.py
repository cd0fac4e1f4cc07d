"""Checks of the exercises of chapter 07: the parts of a model that writes."""

import torch

from lib.exercises import Verdict, correct, exercise, not_yet


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _unanswered(found: object) -> bool:
    return found is None or found is Ellipsis


NOTHING = not_yet("아직 답이 없습니다.", "There is no answer yet.")


@exercise
def check_rmsnorm(answer) -> Verdict:
    """Root mean square normalisation of `(…, d)` with a gain of length `d`."""
    for seed, (shape, eps) in enumerate((((4, 8), 1e-5), ((2, 3, 16), 0.5), ((6,), 0))):
        x = 3 * _draw(*shape, seed=seed) + 1
        g = 1 + 0.5 * _draw(shape[-1], seed=seed + 10)
        found = answer(x.clone(), g.clone(), eps)
        if _unanswered(found):
            return NOTHING
        if tuple(found.shape) != shape:
            return not_yet(
                f"모양이 {shape}인 입력에서 모양이 {tuple(found.shape)}인 답이 "
                "나왔습니다. 모양은 그대로여야 합니다.",
                f"Input of shape {shape} gave an answer of shape "
                f"{tuple(found.shape)}; the shape must stay.",
            )
        square = x.pow(2).mean(-1, keepdim=True)
        if torch.allclose(found.double(), g * x / (square + eps).sqrt(), atol=1e-5):
            continue
        for hint, wrong in _typical_norms(x, g, eps):
            if torch.allclose(found.double(), wrong, atol=1e-5):
                return not_yet(*hint)
        return not_yet(
            "값이 다릅니다. 제곱, 평균, eps, 제곱근, 나눗셈, 배율의 순서로 확인해 "
            "보십시오.",
            "The values differ; go through square, mean, eps, root, division, gain.",
        )
    return correct()


def _typical_norms(x, g, eps):
    """Typical wrong results, each with its hint."""
    square = x.pow(2).mean(-1, keepdim=True)
    centred = x - x.mean(-1, keepdim=True)
    spread = centred.pow(2).mean(-1, keepdim=True)
    total = x.pow(2).sum(-1, keepdim=True)
    yield (("배율 g를 곱하지 않았습니다.", "The gain g is missing."),
           x / (square + eps).sqrt())
    yield (("평균을 빼는 것은 LayerNorm입니다. RMSNorm은 빼지 않습니다.",
            "Taking off the mean is LayerNorm; RMSNorm does not."),
           g * centred / (spread + eps).sqrt())
    yield (("제곱을 더하지 말고 평균하십시오.",
            "Take the mean of the squares, not their sum."),
           g * x / (total + eps).sqrt())
    yield (("eps는 제곱근 안에서 더합니다.", "Add eps inside the root."),
           g * x / (square.sqrt() + eps))
    yield (("제곱근을 씌우지 않았습니다.", "The square root is missing."),
           g * x / (square + eps))
    if x.dim() > 1:
        yield (("평균은 마지막 축을 따라, 벡터마다 따로 구합니다.",
                "The mean runs over the last axis, for each vector by itself."),
               g * x / (x.pow(2).mean() + eps).sqrt())
        first = x.pow(2).mean(0, keepdim=True)
        yield (("평균은 마지막 축을 따라 구합니다.",
                "The mean runs over the last axis."), g * x / (first + eps).sqrt())


@exercise
def check_step(answer) -> Verdict:
    """Positions of new tokens after a cache, and what they may look at."""
    for cached, new in ((0, 4), (5, 1), (3, 4), (0, 1)):
        found = answer(cached, new)
        if _unanswered(found):
            return NOTHING
        t, mask = (torch.as_tensor(part) for part in found)
        case = (f"캐시 {cached}개, 새 토큰 {new}개", f"{cached} cached, {new} new")
        if t.tolist() != list(range(cached, cached + new)):
            hint = (("캐시에 든 것 다음부터 세십시오.", "Count on from the cache.")
                    if t.tolist() == list(range(new)) and cached else ("", ""))
            return not_yet(
                f"{case[0]}일 때 자리가 {t.tolist()}입니다. {hint[0]}".strip(),
                f"With {case[1]}, the positions are {t.tolist()}. {hint[1]}".strip(),
            )
        if tuple(mask.shape) != (new, cached + new):
            return not_yet(
                f"{case[0]}일 때 마스크의 모양이 {tuple(mask.shape)}입니다. "
                f"{(new, cached + new)}이어야 합니다.",
                f"With {case[1]}, the mask has shape {tuple(mask.shape)}; it should "
                f"be {(new, cached + new)}.",
            )
        if mask.dtype != torch.bool:
            return not_yet("마스크는 True와 False로 돌려주십시오.",
                           "Return a mask of True and False.")
        places = torch.arange(cached + new)
        right = places <= places[cached:, None]
        if torch.equal(mask, right):
            continue
        if torch.equal(mask, ~right):
            return not_yet("뒤집혔습니다. 보아도 되는 곳이 True입니다.",
                           "It is the wrong way round: True means may look.")
        if bool((mask & ~right).any()):
            return not_yet(f"{case[0]}일 때 뒤에 오는 토큰이 보입니다.",
                           f"With {case[1]}, a token sees what comes after it.")
        return not_yet(
            f"{case[0]}일 때 보아야 할 토큰이 가려졌습니다. 캐시에 든 것과 자기 "
            "자신은 보입니다.",
            f"With {case[1]}, something is hidden that should be seen: all of the "
            "cache, and the token itself.",
        )
    return correct()


@exercise
def check_top_p(answer) -> Verdict:
    """The distribution of the smallest set of likely tokens that reaches p."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3], dtype=torch.float64).log()
    cases = [(logits, p) for p in (0.6, 0.45, 0.9, 1.0)]
    cases += [(2 * _draw(12, seed=seed), p) for seed, p in ((1, 0.7), (2, 0.2))]
    for scores, p in cases:
        found = answer(scores.clone(), p)
        if _unanswered(found):
            return NOTHING
        share, order = scores.softmax(-1).sort(descending=True)
        keep = share.cumsum(-1) - share < p
        cut = share.masked_fill(~keep, 0)
        right = torch.zeros_like(cut).scatter(-1, order, cut / cut.sum())
        found = torch.as_tensor(found).double()
        if found.shape != right.shape:
            return not_yet(
                f"토큰 {len(scores)}개를 넣었는데 답의 모양이 "
                f"{tuple(found.shape)}입니다. 뽑히지 않을 토큰은 빼지 말고 0으로 "
                "두십시오.",
                f"{len(scores)} tokens went in and the answer has shape "
                f"{tuple(found.shape)}; give those left out a 0.",
            )
        if torch.allclose(found, right, atol=1e-5):
            continue
        return not_yet(*_hint_top_p(found, share, order, cut, p))
    return correct()


def _hint_top_p(found, share, order, cut, p):
    """Say what is wrong with a distribution that is not the right one."""
    back = torch.zeros_like(cut)
    if torch.allclose(found, back.scatter(-1, order, cut), atol=1e-5):
        return ("남은 확률의 합이 1이 되도록 다시 나누십시오.",
                "Divide what is kept by its sum, so that it sums to 1.")
    if torch.allclose(found, cut / cut.sum(), atol=1e-5):
        return ("토큰이 정렬된 차례로 나왔습니다. 받은 차례로 되돌려 놓으십시오.",
                "The tokens came out sorted; put them back in the order they came in.")
    kept, wanted = int((found > 0).sum()), int((cut > 0).sum())
    if kept == wanted - 1 and bool((found[order[:kept]] > 0).all()):
        return (f"p = {p}에 이르게 한 토큰이 빠졌습니다. 그 토큰도 남습니다.",
                f"The token that makes the sum reach p = {p} is missing; it stays.")
    if kept == len(share) and wanted < kept:
        return (f"p = {p}인데 아무것도 빠지지 않았습니다.",
                f"With p = {p} nothing was left out.")
    return (f"p = {p}이면 {wanted}개가 남아야 하는데 {kept}개가 남았습니다.",
            f"With p = {p}, {wanted} tokens should stay, and {kept} did.")


@exercise
def check_capacity(answer) -> Verdict:
    """How many tokens a KV cache of so many bytes holds."""
    cases = ((10**9, 30, 9, 3, 64, 4), (10**8, 32, 32, 8, 128, 2), (999, 2, 4, 4, 8, 4),
             (46_079, 30, 9, 3, 64, 4))
    for budget, n_layers, n_heads, n_kv_heads, d_head, number in cases:
        found = answer(budget, n_layers, n_heads, n_kv_heads, d_head, number)
        if _unanswered(found):
            return NOTHING
        token = 2 * n_layers * n_kv_heads * d_head * number
        if found == budget // token and int(found) == found:
            continue
        typical = (
            (token / 2, "키와 값을 둘 다 담아야 합니다.",
             "Keys and values are both kept."),
            (token * n_heads / n_kv_heads,
             "캐시에는 쿼리 헤드가 아니라 키·값 헤드의 수만큼 담습니다.",
             "A cache holds key/value heads, not query heads."),
            (token / number, "수 하나가 몇 바이트인지 빠졌습니다.",
             "The bytes of a number are missing."),
            (token / n_layers, "층마다 캐시가 따로 있습니다.",
             "Every layer has a cache of its own."),
        )
        hint = next(((ko, en) for wrong, ko, en in typical if found == budget // wrong),
                    ("", ""))
        if not hint[0] and found in (budget / token, -(-budget // token)):
            hint = ("다 담기는 토큰만 셉니다. 아래로 자르십시오.",
                    "Count whole tokens only: round down.")
        return not_yet(
            f"{budget:,}바이트, 토큰 하나에 {token:,}바이트일 때 답이 {found}입니다. "
            f"{hint[0]}".strip(),
            f"With {budget:,} bytes and {token:,} for a token the answer is {found}. "
            f"{hint[1]}".strip(),
        )
    return correct()
