"""Checks of the exercises of chapter 03.

Each check asks for what the answer does, never for how: every shape that broadcasts,
and every choice the task leaves open, is accepted.
"""

import torch
import torch.nn.functional as F

from lib.exercises import Verdict, correct, exercise, not_yet
from lib.trace.head_types import earlier_same, share

NO_ANSWER = "아직 답이 없습니다.", "There is no answer yet."


def _draw(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


@exercise
def check_mask(answer) -> Verdict:
    """Causal and padding in one mask: real tokens in, `(batch, …, n, n)` out."""
    for rows in (("11111", "00111"), ("0111", "1110", "1111"), ("111111",)):
        real = torch.tensor([[cell == "1" for cell in row] for row in rows])
        batch, n = real.shape
        mask = answer(real.clone())
        if mask is None or mask is Ellipsis:
            return not_yet(*NO_ANSWER)
        if mask.dtype != torch.bool:
            return not_yet(
                f"마스크의 dtype이 {mask.dtype}입니다. torch.bool이어야 합니다.",
                f"The mask has dtype {mask.dtype}; it should be torch.bool.",
            )
        if mask.numel() != batch * n * n or tuple(mask.shape[-2:]) != (n, n):
            return not_yet(
                f"모양이 {tuple(mask.shape)}입니다. {(batch, n, n)}이어야 합니다.",
                f"The shape is {tuple(mask.shape)}; it should be {(batch, n, n)}.",
            )
        verdict = _compare_masks(mask.reshape(batch, n, n), real)
        if verdict is not None:
            return verdict
    return correct()


def _compare_masks(mask, real) -> Verdict | None:
    """Compare the rows of real queries; the rows of padding are left open."""
    batch, n = real.shape
    past = torch.ones(n, n).tril().bool().expand(batch, n, n)
    keys = real[:, None, :].expand(batch, n, n)
    right = past & keys
    rows = real[:, :, None]
    wrong_cells = (mask != right) & rows
    if not wrong_cells.any():
        return None
    for hint, wrong in (
        (("뜻이 뒤집혔습니다. 보아도 되는 칸이 True입니다.",
          "It is turned around: True is where a query may look."), ~right),
        (("패딩이 가려지지 않았습니다.", "The padding is not hidden."), past),
        (("미래가 가려지지 않았습니다.", "The future is not hidden."), keys),
        (("자기 자신은 보아도 됩니다.", "A token may look at itself."),
         right.tril(-1)),
        (("둘 다 허락한 칸만 남겨야 합니다. |가 아니라 &로 합치십시오.",
          "Keep what both allow: join them with &, not with |."), past | keys),
    ):
        if not ((mask != wrong) & rows).any():
            return not_yet(*hint)
    where, query, key = wrong_cells.nonzero()[0].tolist()
    shown = real[where].int().tolist()
    return not_yet(
        f"진짜 토큰이 {shown}인 문장에서 쿼리 {query}, 키 {key} 칸이 다릅니다.",
        f"In the sentence with real tokens {shown} the cell of query {query} and "
        f"key {key} differs.",
    )


@exercise
def check_heads(answer) -> Verdict:
    """Attention in several heads: `(n, width)` three times and a number of heads in."""
    for n, width, heads in ((5, 12, 3), (4, 4, 4), (3, 8, 1), (6, 16, 2)):
        q, k, v = 2 * _draw(3, n, width, seed=n)
        output = answer(q, k, v, heads)
        if output is None or output is Ellipsis:
            return not_yet(*NO_ANSWER)
        if tuple(output.shape) != (n, width):
            return not_yet(
                f"출력의 모양이 {tuple(output.shape)}입니다. {(n, width)}이어야 "
                "합니다.",
                f"The output has shape {tuple(output.shape)}; it should be "
                f"{(n, width)}.",
            )
        right = _in_heads(q, k, v, heads)
        if torch.allclose(output.double(), right, atol=1e-5):
            continue
        for hint, wrong in _typical_heads(q, k, v, heads):
            if torch.allclose(output.double(), wrong, atol=1e-5):
                return not_yet(*hint)
        return not_yet(
            f"헤드 {heads}개에서 값이 다릅니다. 나누기, 어텐션, 이어 붙이기의 순서로 "
            "확인해 보십시오.",
            f"The values differ with {heads} heads; go through cutting, attention, "
            "joining in order.",
        )
    return correct()


def _cut(x, heads):
    return x.view(len(x), heads, -1).transpose(0, 1)


def _in_heads(q, k, v, heads):
    z = F.scaled_dot_product_attention(*(_cut(x, heads) for x in (q, k, v)))
    return z.transpose(0, 1).reshape(q.shape)


def _typical_heads(q, k, v, heads):
    """Typical wrong outputs, each with its hint."""
    cut = [_cut(x, heads) for x in (q, k, v)]
    z = F.scaled_dot_product_attention(*cut)
    yield (("헤드를 나누지 않았습니다.", "The heads were not cut."),
           F.scaled_dot_product_attention(q[None], k[None], v[None])[0])
    yield (("이어 붙이기 전에 토큰 축을 앞으로 되돌리십시오(transpose).",
            "Bring the token axis back to the front (transpose) before joining."),
           z.reshape(q.shape))
    rough = [x.reshape(heads, len(x), -1) for x in (q, k, v)]
    rough = F.scaled_dot_product_attention(*rough)
    message = (
        "view만으로는 토큰이 섞입니다. (n, heads, d)로 나눈 다음 축을 바꾸십시오.",
        "view alone mixes up the tokens: cut into (n, heads, d), then swap axes.",
    )
    yield message, rough.reshape(q.shape)
    yield message, rough.transpose(0, 1).reshape(q.shape)
    scale = q.shape[-1] ** -0.5
    yield (("전체 폭이 아니라 헤드 하나의 폭의 제곱근으로 나눕니다.",
            "Divide by the root of one head's width, not of the whole width."),
           F.scaled_dot_product_attention(*cut, scale=scale)
           .transpose(0, 1).reshape(q.shape))


@exercise
def check_same_share(answer) -> Verdict:
    """The mean weight of every head on earlier places of the query's token."""
    for seed, ids in enumerate(([3, 5, 3, 3, 9, 5], [1, 2, 1, 4, 2, 1, 4])):
        n = len(ids)
        ids = torch.tensor(ids)
        closed = torch.ones(n, n).triu(1).bool()
        logits = 2 * _draw(2, 3, n, n, seed=seed)
        weights = logits.masked_fill(closed, -torch.inf).softmax(-1)
        found = answer(weights.clone(), ids.clone())
        if found is None or found is Ellipsis:
            return not_yet(*NO_ANSWER)
        found = torch.as_tensor(found).double()
        if tuple(found.shape) != (2, 3):
            return not_yet(
                f"답의 모양이 {tuple(found.shape)}입니다. (layer, head)마다 수 "
                "하나, 곧 (2, 3)이어야 합니다.",
                f"The answer has shape {tuple(found.shape)}; it should hold one "
                "number for each (layer, head): (2, 3).",
            )
        same = ids[:, None] == ids[None]
        earlier = same & torch.ones(n, n).tril(-1).bool()
        rows = earlier.any(-1)
        on = (weights * earlier).sum(-1)
        if torch.allclose(found, on[..., rows].mean(-1), atol=1e-5):
            continue
        for hint, wrong in (
            (("자기 자신은 빼야 합니다. 앞에 나온 것만 셉니다.",
              "Leave out the token itself; only earlier places count."),
             (weights * same).sum(-1)[..., rows].mean(-1)),
            (("자기 자신은 빼야 합니다. 앞에 나온 것만 셉니다.",
              "Leave out the token itself; only earlier places count."),
             (weights * same).sum(-1).mean(-1)),
            (("앞에 같은 토큰이 있는 쿼리만 평균하십시오.",
              "Average over the queries that have such a place, not over all."),
             on.mean(-1)),
            (("쿼리마다 모두 더한 다음 평균하십시오. 칸을 평균하면 안 됩니다.",
              "Add up within each query, then average; do not average the cells."),
             weights[..., earlier].mean(-1)),
            (("평균이 아니라 합입니다. 쿼리의 수로 나누십시오.",
              "That is a sum, not a mean: divide by the number of queries."),
             on.sum(-1)),
            (("바로 앞 자리나 첫 자리도 여기서는 빼지 않습니다.",
              "Here the place just before and the first place count too."),
             share(weights, earlier_same(ids))),
        ):
            if torch.allclose(found, wrong, atol=1e-5):
                return not_yet(*hint)
        return not_yet(
            "값이 다릅니다. 토큰이 같고 쿼리보다 앞인 칸만 남기고 더해 보십시오.",
            "The values differ; keep only cells with the same token and before the "
            "query, and add them up.",
        )
    return correct()


@exercise
def check_other_weights(answer) -> Verdict:
    """Other weights with the same output: one row and its values in, a row out."""
    for seed, (n, d) in enumerate(((12, 4), (30, 8), (80, 64))):
        weights = (0.5 * _draw(n, seed=seed)).softmax(-1)
        values = _draw(n, d, seed=seed + 100)
        other = answer(weights.clone(), values.clone())
        if other is None or other is Ellipsis:
            return not_yet(*NO_ANSWER)
        other = torch.as_tensor(other).double()
        if tuple(other.shape) != (n,):
            return not_yet(
                f"가중치의 모양이 {tuple(other.shape)}입니다. {(n,)}이어야 합니다.",
                f"The weights have shape {tuple(other.shape)}; it should be {(n,)}.",
            )
        if abs(other.sum() - 1) > 1e-6:
            return not_yet(
                f"가중치의 합이 {other.sum():.4f}입니다. 방향의 합이 0이어야 합이 "
                "1로 남습니다.",
                f"The weights sum to {other.sum():.4f}; the direction must sum to 0.",
            )
        if other.min() < -1e-9:
            return not_yet(
                f"음수인 가중치({other.min():.2g})가 있습니다. 걸음을 줄이십시오.",
                f"There is a negative weight ({other.min():.2g}); take a shorter step.",
            )
        gap = ((other - weights) @ values).norm() / (weights @ values).norm()
        if gap > 1e-6:
            return not_yet(
                f"출력이 달라졌습니다(상대 차이 {gap:.1e}). 값과 곱해서 0이 되는 "
                "방향으로 움직이십시오.",
                f"The output has changed (relative difference {gap:.1e}); move along "
                "a direction that the values send to 0.",
            )
        moved = (other - weights).abs().sum() / 2
        if moved < 0.02:
            return not_yet(
                f"가중치가 {moved:.1%}밖에 움직이지 않았습니다. 0에 닿는 가중치가 "
                "생길 때까지 가십시오.",
                f"Only {moved:.1%} of the weight has moved; go on until some weight "
                "reaches 0.",
            )
    return correct()
