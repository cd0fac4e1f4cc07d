"""Checks of the exercises of chapter 03.

Each check asks for what the answer does, never for how: every shape that broadcasts,
and every choice the task leaves open, is accepted.
"""

import torch
import torch.nn.functional as F

from lib.attention.masks import causal_mask
from lib.exercises import exercise, require
from lib.exercises.compare import Slip, compare, draw, tensor
from lib.trace.head_types import earlier_same, share


@exercise
def check_mask(answer) -> None:
    """Causal and padding in one mask: real tokens in, `(batch, …, n, n)` out."""
    for sentences in (("11111", "00111"), ("0111", "1110", "1111"), ("111111",)):
        real = torch.tensor([[cell == "1" for cell in row] for row in sentences])
        batch, n = real.shape
        mask = answer(real.clone())
        require(mask.dtype == torch.bool,
                f"마스크의 dtype이 {mask.dtype}입니다. torch.bool이어야 합니다.",
                f"The mask has dtype {mask.dtype}; it should be torch.bool.")
        if mask.shape[-2:] == (n, n) and mask.numel() == batch * n * n:
            mask = mask.reshape(batch, n, n)
        tensor(mask, (batch, n, n))
        past, keys = causal_mask(n), real[:, None]
        rows = real[:, :, None]  # what a query of padding sees is left open
        right = past & keys
        for where, query, key in ((mask != right) & rows).nonzero().tolist():
            shown = real[where].int().tolist()
            compare(mask & rows, right & rows, [
                (~right & rows, "뜻이 뒤집혔습니다. 보아도 되는 칸이 True입니다.",
                 "It is turned around: True is where a query may look."),
                (past & rows,
                 "패딩이 가려지지 않았습니다.", "The padding is not hidden."),
                (keys & rows,
                 "미래가 가려지지 않았습니다.", "The future is not hidden."),
                (right.tril(-1) & rows, "자기 자신은 보아도 됩니다.",
                 "A token may look at itself."),
                ((past | keys) & rows,
                 "둘 다 허락한 칸만 남겨야 합니다. |가 아니라 &로 합치십시오.",
                 "Keep what both allow: join them with &, not with |."),
            ], f"진짜 토큰이 {shown}인 문장에서 쿼리 {query}, 키 {key} 칸이 다릅니다.",
               f"In the sentence with real tokens {shown} the cell of query {query} "
               f"and key {key} differs.")


@exercise
def check_heads(answer) -> None:
    """Attention in several heads: `(n, width)` three times and a number of heads in."""
    for n, width, heads in ((5, 12, 3), (4, 4, 4), (3, 8, 1), (6, 16, 2)):
        q, k, v = 2 * draw(3, n, width, seed=n)
        cut = [x.view(n, heads, -1).transpose(0, 1) for x in (q, k, v)]
        rough = [x.reshape(heads, n, -1) for x in (q, k, v)]
        joined, mixed = _attend(cut), _attend(rough)
        view = (
            "view만으로는 토큰이 섞입니다. (n, heads, d)로 나눈 다음 축을 바꾸십시오.",
            "view alone mixes up the tokens: cut into (n, heads, d), then swap axes.")
        slips: list[Slip] = [
            (_attend((q[None], k[None], v[None]))[0],
             "헤드를 나누지 않았습니다.", "The heads were not cut."),
            (joined.reshape(n, width),
             "이어 붙이기 전에 토큰 축을 앞으로 되돌리십시오(transpose).",
             "Bring the token axis back to the front (transpose) before joining."),
            (mixed.reshape(n, width), *view),
            (_join(mixed), *view),
            (_join(_attend(cut, width**-0.5)),
             "전체 폭이 아니라 헤드 하나의 폭의 제곱근으로 나눕니다.",
             "Divide by the root of one head's width, not of the whole width."),
        ]
        compare(tensor(answer(q, k, v, heads), (n, width)), _join(joined), slips,
                f"헤드 {heads}개에서 값이 다릅니다. 나누기, 어텐션, 이어 붙이기의 "
                "순서로 확인해 보십시오.",
                f"The values differ with {heads} heads; go through cutting, attention, "
                "joining in order.", rtol=1e-5, atol=1e-5)


def _attend(parts, scale=None):
    q, k, v = parts
    return F.scaled_dot_product_attention(q, k, v, scale=scale)


def _join(z):
    return z.transpose(0, 1).flatten(1)


@exercise
def check_same_share(answer) -> None:
    """The mean weight of every head on earlier places of the query's token."""
    for seed, tokens in enumerate(([3, 5, 3, 3, 9, 5], [1, 2, 1, 4, 2, 1, 4])):
        n, ids = len(tokens), torch.tensor(tokens)
        logits = 2 * draw(2, 3, n, n, seed=seed)
        weights = logits.masked_fill(~causal_mask(n), -torch.inf).softmax(-1)
        same = ids[:, None] == ids[None]
        earlier = same.tril(-1)
        rows = earlier.any(-1)
        on, with_itself = (weights * earlier).sum(-1), (weights * same).sum(-1)
        itself = ("자기 자신은 빼야 합니다. 앞에 나온 것만 셉니다.",
                  "Leave out the token itself; only earlier places count.")
        got = tensor(answer(weights.clone(), ids.clone()), (2, 3),
                     "(layer, head)마다 수 하나입니다.",
                     "It holds one number for each (layer, head).")
        compare(got, on[..., rows].mean(-1), [
            (with_itself[..., rows].mean(-1), *itself),
            (with_itself.mean(-1), *itself),
            (on.mean(-1),
             "앞에 같은 토큰이 있는 쿼리만 평균하십시오.",
             "Average over the queries that have such a place, not over all."),
            (weights[..., earlier].mean(-1),
             "쿼리마다 모두 더한 다음 평균하십시오. 칸을 평균하면 안 됩니다.",
             "Add up within each query, then average; do not average the cells."),
            (on.sum(-1), "평균이 아니라 합입니다. 쿼리의 수로 나누십시오.",
             "That is a sum, not a mean: divide by the number of queries."),
            (share(weights, earlier_same(ids)),
             "바로 앞 자리나 첫 자리도 여기서는 빼지 않습니다.",
             "Here the place just before and the first place count too."),
        ], "값이 다릅니다. 토큰이 같고 쿼리보다 앞인 칸만 남기고 더해 보십시오.",
           "The values differ; keep only cells with the same token and before the "
           "query, and add them up.", rtol=1e-5, atol=1e-5)


@exercise
def check_other_weights(answer) -> None:
    """Other weights with the same output: one row and its values in, a row out."""
    for seed, (n, d) in enumerate(((12, 4), (30, 8), (80, 64))):
        weights = (0.5 * draw(n, seed=seed)).softmax(-1)
        values = draw(n, d, seed=seed + 100)
        other = tensor(answer(weights.clone(), values.clone()), (n,))
        require(abs(other.sum() - 1) <= 1e-6,
                f"가중치의 합이 {other.sum():.4f}입니다. 방향의 합이 0이어야 합이 "
                "1로 남습니다.",
                f"The weights sum to {other.sum():.4f}; the direction must sum to 0.")
        require(other.min() >= -1e-9,
                f"음수인 가중치({other.min():.2g})가 있습니다. 걸음을 줄이십시오.",
                f"There is a negative weight ({other.min():.2g}); take a shorter step.")
        gap = ((other - weights) @ values).norm() / (weights @ values).norm()
        require(gap <= 1e-6,
                f"출력이 달라졌습니다(상대 차이 {gap:.1e}). 값과 곱해서 0이 되는 "
                "방향으로 움직이십시오.",
                f"The output has changed (relative difference {gap:.1e}); move along "
                "a direction that the values send to 0.")
        moved = (other - weights).abs().sum() / 2
        require(moved >= 0.02,
                f"가중치가 {moved:.1%}밖에 움직이지 않았습니다. 0에 닿는 가중치가 "
                "생길 때까지 가십시오.",
                f"Only {moved:.1%} of the weight has moved; go on until some weight "
                "reaches 0.")
