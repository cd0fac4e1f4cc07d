"""What an atlas shows, in numbers: ranks, neighbours, shares of variance, moves."""

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

SHARES = ("position", "token", "together", "context")


def rank_correlation(
    x: Iterable, y: Iterable, groups: Iterable[str] | None = None
) -> tuple[float, float, float]:
    r"""Spearman's ρ and its 95% interval: ρ, low, high.

    ρ is the correlation of the ranks, ties taking their mean rank. The interval is
    tanh(atanh ρ ± 1.96 √((1 + ρ²/2) / (n − 3))) (Bonett & Wright 2000, eq. 4), for
    pairs drawn independently. groups: one name a pair; the mean rank of each group is
    taken out first, so that only differences within groups count, and n is lowered by
    their number less one. Where fewer than 5 pairs are left, or all x or all y are
    equal, all three are nan.

    >>> [round(v, 2) for v in rank_correlation(range(20), [v**3 for v in range(20)])]
    [1.0, 1.0, 1.0]
    """
    ranks = pd.DataFrame({"x": list(x), "y": list(y)}, dtype=float).rank()
    n = len(ranks)
    if groups is not None:
        names = pd.Series(list(groups))
        ranks -= ranks.groupby(names).transform("mean")
        n -= names.nunique() - 1
    a, b = (side - side.mean() for side in (ranks.loc[:, "x"], ranks.loc[:, "y"]))
    size = math.sqrt((a @ a) * (b @ b))
    if n < 5 or size < 1e-12:
        return math.nan, math.nan, math.nan
    rho = float(a @ b) / size
    wide = 1.96 * math.sqrt((1 + rho**2 / 2) / (n - 3))
    if abs(rho) > 1 - 1e-9:
        return rho, rho, rho
    return rho, math.tanh(math.atanh(rho) - wide), math.tanh(math.atanh(rho) + wide)


def nearest(table: Float[Tensor, "token coord"], k: int = 1) -> Int[Tensor, "token k"]:
    """The k nearest other rows of each row, by Euclidean distance, nearest first.

    >>> nearest(torch.tensor([[0.0], [1.0], [3.0]])).flatten().tolist()
    [1, 0, 1]
    """
    if not 1 <= k < len(table):
        raise ValueError(f"k is {k}; use 1 to {len(table) - 1} for {len(table)} tokens")
    far = torch.cdist(table.double(), table.double())
    far.fill_diagonal_(torch.inf)
    return far.topk(k, largest=False).indices


def agreement(near: Int[Tensor, "token k"], kinds: Sequence[str]) -> float:
    """The share of neighbours that are of the token's own kind.

    >>> agreement(torch.tensor([[1], [0], [1]]), ["a", "a", "b"])
    0.6666666666666666
    """
    return _agreement(near, _codes(kinds)).item()


def shuffled(
    near: Int[Tensor, "token k"], kinds: Sequence[str], draws: int,
    generator: torch.Generator,
) -> Float[Tensor, " draws"]:
    """`agreement` with the kinds dealt out at random: chance alone, `draws` times."""
    code = _codes(kinds)
    return torch.stack([
        _agreement(near, code[torch.randperm(len(code), generator=generator)])
        for _ in range(draws)])


def _codes(kinds: Sequence[str]) -> Tensor:
    return torch.as_tensor(pd.factorize(np.asarray(kinds))[0])


def _agreement(near: Tensor, code: Tensor) -> Tensor:
    return (code[near] == code[:, None]).double().mean()


def variance_shares(
    z: Float[Tensor, "point coord"], position: Int[Tensor, " point"],
    token: Int[Tensor, " point"], first: str = "position",
) -> dict[str, float]:
    r"""How much of the variance of coordinates position, token and context explain.

    Four least-squares models of z, each holding the one before, with n points:

        the mean;  a mean for each position;  position plus token (additive);
        a mean for each pair (position, token)

    With s_M = RSS_M / (n − p_M) the residual variance of a model of p_M parameters a
    coordinate (RSS summed over coordinates), the shares are differences of s_M / s_0:

        position = 1 − s_1/s_0      token   = s_1/s_0 − s_2/s_0
        together = s_2/s_0 − s_3/s_0   context = s_3/s_0

    They sum to 1. Dividing by n − p_M, as the adjusted R² does, keeps a model from
    looking good by its number of parameters alone; a share of nothing can come out
    slightly negative. Context is what differs between equal tokens at equal positions.
    first: which of position and token is counted first; where they are independent, as
    in windows cut anywhere, it hardly matters.

    >>> z = torch.tensor([[0.0], [0.0], [1.0], [1.0]])
    >>> shares = variance_shares(z, torch.tensor([0, 0, 1, 1]), torch.zeros(4).long())
    >>> shares["position"]
    1.0
    """
    if first not in ("position", "token"):
        raise ValueError(f"first is {first!r}; use position or token")
    z = z.double()
    z = z - z.mean(0)
    one, two = (torch.unique(v, return_inverse=True)[1] for v in (position, token))
    if first == "token":
        one, two = two, one
    pair = torch.unique(one * (two.max() + 1) + two, return_inverse=True)[1]
    n, cells = len(z), int(pair.max()) + 1
    if n == cells:
        raise ValueError(
            f"among {n} tokens none stands twice at the same position, so that context "
            "cannot be told apart; use a longer text"
        )
    ones, twos = int(one.max()) + 1, int(two.max()) + 1
    graph = coo_array((np.ones(n), (one.numpy(), (two + ones).numpy())),
                      shape=(ones + twos, ones + twos))
    additive = ones + twos - connected_components(graph)[0]
    whole = z.square().sum() / (n - 1)
    if whole < 1e-20:
        raise ValueError("all coordinates are equal, so that there is nothing to share")
    left = [1.0]
    for residual, p in ((_centred(z, one), ones), (_additive(z, one, two), additive),
                        (_centred(z, pair), cells)):
        rest = residual.square().sum() / (n - p) if n > p else whole * 0
        left.append((rest / whole).item())
    values = [*(a - b for a, b in pairwise(left)), left[-1]]
    names = SHARES if first == "position" else ("token", "position", *SHARES[2:])
    return {name: dict(zip(names, values, strict=True))[name] for name in SHARES}


def _centred(z: Tensor, group: Tensor) -> Tensor:
    """z less the mean of its group."""
    count = torch.bincount(group).to(z.dtype)[:, None]
    total = torch.zeros(len(count), z.shape[1], dtype=z.dtype).index_add(0, group, z)
    return z - (total / count)[group]


def _additive(z: Tensor, one: Tensor, two: Tensor, rounds: int = 1000) -> Tensor:
    """The residual of the least-squares fit a[one] + b[two]: taking out the one mean
    and the other in turn converges to the projection on both."""
    for _ in range(rounds):
        before = z
        z = _centred(_centred(z, one), two)
        if (z - before).abs().max() < 1e-12:
            break
    return z


def moves(z: Float[Tensor, "layer point coord"]) -> Float[Tensor, " step"]:
    """How far points move from layer to layer, in units of how far apart they lie.

    √mean‖z^{l+1} − z^l‖² over √mean‖z_i^l − z_j^l‖², the latter over all pairs i, j
    drawn with replacement (twice the total variance). Where a layer only shifts or
    turns all points together it counts as a move as well.
    """
    z = z.double()
    step = (z[1:] - z[:-1]).square().sum(-1).mean(-1)
    apart = 2 * (z - z.mean(1, keepdim=True)).square().sum(-1).mean(-1)
    return (step / apart[:-1].clamp_min(1e-30)).sqrt().float()
