"""Checks of the exercises of chapter 07: the parts of a model that writes."""

import torch

from lib.exercises import exercise, require
from lib.exercises.compare import compare, draw, tensor


@exercise
def check_rmsnorm(answer) -> None:
    """Root mean square normalisation of `(…, d)` with a gain of length `d`."""
    for seed, (shape, eps) in enumerate((((4, 8), 1e-5), ((2, 3, 16), 0.5), ((6,), 0))):
        x = 3 * draw(*shape, seed=seed) + 1
        g = 1 + 0.5 * draw(shape[-1], seed=seed + 10)
        got = tensor(answer(x.clone(), g.clone(), eps), shape,
                     "입력의 모양은 그대로여야 합니다.", "The input's shape must stay.")
        square = x.pow(2).mean(-1, keepdim=True)
        total, first = x.pow(2).sum(-1, keepdim=True), x.pow(2).mean(0, keepdim=True)
        centred = x - x.mean(-1, keepdim=True)
        spread = centred.pow(2).mean(-1, keepdim=True)
        compare(got, g * x / (square + eps).sqrt(), [
            (x / (square + eps).sqrt(),
             "배율 g를 곱하지 않았습니다.", "The gain g is missing."),
            (g * centred / (spread + eps).sqrt(),
             "평균을 빼는 것은 LayerNorm입니다. RMSNorm은 빼지 않습니다.",
             "Taking off the mean is LayerNorm; RMSNorm does not."),
            (g * x / (total + eps).sqrt(), "제곱을 더하지 말고 평균하십시오.",
             "Take the mean of the squares, not their sum."),
            (g * x / (square.sqrt() + eps),
             "eps는 제곱근 안에서 더합니다.", "Add eps inside the root."),
            (g * x / (square + eps),
             "제곱근을 씌우지 않았습니다.", "The square root is missing."),
            (g * x / (x.pow(2).mean() + eps).sqrt(),
             "평균은 마지막 축을 따라, 벡터마다 따로 구합니다.",
             "The mean runs over the last axis, for each vector by itself."),
            (g * x / (first + eps).sqrt(), "평균은 마지막 축을 따라 구합니다.",
             "The mean runs over the last axis."),
        ], "값이 다릅니다. 제곱, 평균, eps, 제곱근, 나눗셈, 배율의 순서로 확인해 "
           "보십시오.",
           "The values differ; go through square, mean, eps, root, division, gain.",
           rtol=1e-5, atol=1e-5)


@exercise
def check_step(answer) -> None:
    """Positions of new tokens after a cache, and what they may look at."""
    for cached, new in ((0, 4), (5, 1), (3, 4), (0, 1)):
        t, mask = (torch.as_tensor(part) for part in answer(cached, new))
        ko = f"캐시 {cached}개, 새 토큰 {new}개일 때"
        en = f"With {cached} cached, {new} new,"
        places = torch.arange(cached + new)
        compare(t, places[cached:], [
            (places[:new],
             f"{ko} 자리가 {t.tolist()}입니다. 캐시에 든 것 다음부터 세십시오.",
             f"{en} the positions are {t.tolist()}. Count on from the cache."),
        ], f"{ko} 자리가 {t.tolist()}입니다.",
           f"{en} the positions are {t.tolist()}.")
        require(tuple(mask.shape) == (new, cached + new),
                f"{ko} 마스크의 모양이 {tuple(mask.shape)}입니다. "
                f"{(new, cached + new)}(이)어야 합니다.",
                f"{en} the mask has shape {tuple(mask.shape)}; it should be "
                f"{(new, cached + new)}.")
        require(mask.dtype == torch.bool, "마스크는 True와 False로 돌려주십시오.",
                "Return a mask of True and False.")
        right = places <= places[cached:, None]
        compare(mask, right, [
            (~right, "뒤집혔습니다. 보아도 되는 곳이 True입니다.",
             "It is the wrong way round: True means may look."),
            (bool((mask & ~right).any()), f"{ko} 뒤에 오는 토큰이 보입니다.",
             f"{en} a token sees what comes after it."),
        ], f"{ko} 보아야 할 토큰이 가려졌습니다. 캐시에 든 것과 자기 자신은 보입니다.",
           f"{en} something is hidden that should be seen: all of the cache, and the "
           "token itself.")


@exercise
def check_top_p(answer) -> None:
    """The distribution of the smallest set of likely tokens that reaches p."""
    logits = torch.tensor([0.15, 0.5, 0.05, 0.3], dtype=torch.float64).log()
    cases = [(logits, p) for p in (0.6, 0.45, 0.9, 1.0)]
    cases += [(2 * draw(12, seed=seed), p) for seed, p in ((1, 0.7), (2, 0.2))]
    for scores, p in cases:
        got = tensor(answer(scores.clone(), p), scores.shape,
                     "뽑히지 않을 토큰은 빼지 말고 0으로 두십시오.",
                     "As many came in; give those left out a 0.")
        share, order = scores.softmax(-1).sort(descending=True)
        cut = share.masked_fill(share.cumsum(-1) - share >= p, 0)
        back = torch.zeros_like(cut).scatter(-1, order, cut)
        kept, wanted = int((got > 0).sum()), int((cut > 0).sum())
        compare(got, back / back.sum(), [
            (back, "남은 확률의 합이 1이 되도록 다시 나누십시오.",
             "Divide what is kept by its sum, so that it sums to 1."),
            (cut / cut.sum(),
             "토큰이 정렬된 차례로 나왔습니다. 받은 차례로 되돌려 놓으십시오.",
             "The tokens came out sorted; put them back in the order they came in."),
            (kept == wanted - 1 and bool((got[order[:kept]] > 0).all()),
             f"p = {p}에 이르게 한 토큰이 빠졌습니다. 그 토큰도 남습니다.",
             f"The token that makes the sum reach p = {p} is missing; it stays."),
            (wanted < kept == len(share), f"p = {p}인데 아무것도 빠지지 않았습니다.",
             f"With p = {p} nothing was left out."),
        ], f"p = {p}이면 {wanted}개가 남아야 하는데 {kept}개가 남았습니다.",
           f"With p = {p}, {wanted} tokens should stay, and {kept} did.",
           rtol=1e-5, atol=1e-5)


@exercise
def check_capacity(answer) -> None:
    """How many tokens a KV cache of so many bytes holds."""
    cases = ((10**9, 30, 9, 3, 64, 4), (10**8, 32, 32, 8, 128, 2), (999, 2, 4, 4, 8, 4),
             (46_079, 30, 9, 3, 64, 4))
    for budget, n_layers, n_heads, n_kv_heads, d_head, number in cases:
        got = answer(budget, n_layers, n_heads, n_kv_heads, d_head, number)
        token = 2 * n_layers * n_kv_heads * d_head * number
        ko = f"{budget:,}바이트, 토큰 하나에 {token:,}바이트일 때 답이 {got}입니다."
        en = f"With {budget:,} bytes and {token:,} for a token the answer is {got}."
        whole = (f"{ko} 다 담기는 토큰만 셉니다. 아래로 자르십시오.",
                 f"{en} Count whole tokens only: round down.")
        compare(got, budget // token, [
            (budget // (token / 2), f"{ko} 키와 값을 둘 다 담아야 합니다.",
             f"{en} Keys and values are both kept."),
            (budget // (token * n_heads / n_kv_heads),
             f"{ko} 캐시에는 쿼리 헤드가 아니라 키·값 헤드의 수만큼 담습니다.",
             f"{en} A cache holds key/value heads, not query heads."),
            (budget // (token / number), f"{ko} 수 하나가 몇 바이트인지 빠졌습니다.",
             f"{en} The bytes of a number are missing."),
            (budget // (token / n_layers), f"{ko} 층마다 캐시가 따로 있습니다.",
             f"{en} Every layer has a cache of its own."),
            (budget / token, *whole),
            (-(-budget // token), *whole),
        ], ko, en)
