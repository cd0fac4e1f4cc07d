"""Say in numbers what an attention head looks at.

A kind of head is a Bool mask of the cells it should look at: the token before, the
first token, earlier places of the same word. The score of a head is the share of its
weight that falls on these cells,

    s(A, M) = Σ_i∈R Σ_j M_ij A_ij / Σ_i∈R Σ_j G_ij A_ij,  R = { i : some M_ij }

where the ground G is everything (the rows sum to one, so that s is a mean over the
queries that have something to look at) or leaves cells out, such as the first token on
which idle heads rest. No kind but `first_token` counts the first key, and no kind but
`previous_token` the key just before the query.
"""

import re
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from scipy.stats import rankdata
from torch import Tensor

from lib.attention.masks import causal_mask


def first_token(n: int) -> Bool[Tensor, "query key"]:
    """Mark the first key, for every query from the third on.

    The first query sees nothing else, and to the second it is also the one before.

    >>> first_token(4).int().tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]]
    """
    return _apart(n, 2) & (torch.arange(n) == 0)


def previous_token(n: int) -> Bool[Tensor, "query key"]:
    """Mark the key just before each query, from the third query on.

    >>> previous_token(4).int().tolist()
    [[0, 0, 0, 0], [0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    """
    return _apart(n, 1) & ~_apart(n, 2) & beyond_first(n)


def earlier_same(
    labels: Sequence[int] | Int[Tensor, " seq"],
    places: Sequence[int] | Int[Tensor, " seq"] | None = None,
) -> Bool[Tensor, "query key"]:
    """Mark earlier keys of one label: [ℓ_j = ℓ_i, p_j ≠ p_i, 0 < j < i − 1].

    `places` says which occurrence each token belongs to, so that the pieces of one word
    do not count as earlier occurrences of it (`None`: each token is its own); raises
    ValueError if there is not one a label.

    >>> earlier_same([7, 5, 6, 5]).nonzero().tolist()
    [[3, 1]]
    """
    n, labels = len(labels), torch.as_tensor(labels)
    places = torch.arange(n) if places is None else torch.as_tensor(places)
    if len(places) != n:
        raise ValueError(
            f"{n} labels came with {len(places)} places; give one place a token."
        )
    same = labels[:, None] == labels[None]
    other = places[:, None] != places[None]
    return same & other & _apart(n, 2) & beyond_first(n)


def after_same(
    labels: Sequence[int] | Int[Tensor, " seq"],
) -> Bool[Tensor, "query key"]:
    """Mark what followed an earlier label: [ℓ_(j−1) = ℓ_i, 0 < j < i − 1].

    Olsson et al. 2022, "Definition of induction heads".

    >>> after_same([7, 5, 6, 8, 5]).nonzero().tolist()
    [[4, 2]]
    """
    n, labels = len(labels), torch.as_tensor(labels)
    same = torch.zeros(n, n, dtype=torch.bool)
    same[:, 1:] = labels[:, None] == labels[None, :-1]
    return same & _apart(n, 2) & beyond_first(n)


def share(
    weights: Float[Tensor, "*batch query key"], mask: Bool[Tensor, "query key"],
    ground: Bool[Tensor, "query key"] | None = None,
) -> Float[Tensor, "*batch"]:
    """The share of the weight that falls on the cells of a mask, by the formula above.

    With `beyond_first(n)` as ground it is that of the weight which does not rest on the
    first token. NaN where the mask is empty or the ground holds no weight.

    >>> A = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0], [0.6, 0.3, 0.1]])
    >>> round(share(A, previous_token(3)).item(), 3)
    0.3
    >>> round(share(A, previous_token(3), beyond_first(3)).item(), 3)
    0.75
    """
    rows = mask.any(-1)
    on = weights[..., mask].double().sum(-1)
    if ground is None:
        return on / weights[..., rows, :].double().sum((-2, -1))
    return on / weights[..., ground & rows[:, None]].double().sum(-1)


def beyond_first(n: int) -> Bool[Tensor, "query key"]:
    """Mark every key but the first: the ground without the resting place."""
    return (torch.arange(n) > 0).expand(n, n)


def uniform(n: int) -> Float[Tensor, "query key"]:
    """Weights of a head that looks at everything in sight alike.

    >>> uniform(2).tolist()
    [[1.0, 0.0], [0.5, 0.5]]
    """
    seen = causal_mask(n).double()
    return seen / seen.sum(-1, keepdim=True)


def word_places(
    text: str, offsets: Sequence[tuple[int, int]]
) -> tuple[list[int], list[int]]:
    """Say for each token which word it belongs to, and which occurrence of it.

    A word is what stands between spaces, without punctuation and in lower case; equal
    labels mean the same word, equal places the same occurrence. Tokens outside words
    get numbers that no other token has. `offsets` are in characters, as
    `offset_mapping` gives them.

    >>> word_places("The cat. the", [(0, 3), (3, 7), (7, 8), (8, 12)])
    ([0, 1, -3, 0], [0, 1, -3, 2])
    """
    owner: list[int | None] = [None] * len(text)
    numbers: dict[str, int] = {}
    words = []
    for place, match in enumerate(re.finditer(r"\S+", text)):
        word = re.sub(r"\W", "", match.group()).casefold()
        words.append(numbers.setdefault(word, len(numbers)))
        for letter in range(*match.span()):
            if re.match(r"\w", text[letter]):
                owner[letter] = place
    labels, places = [], []
    for token, (start, end) in enumerate(offsets):
        place = next((place for place in owner[start:end] if place is not None), None)
        places.append(-token - 1 if place is None else place)
        labels.append(-token - 1 if place is None else words[place])
    return labels, places


def output_norms(
    weights: Float[Tensor, "*batch head query key"],
    values: Float[Tensor, "*batch head key d_head"],
    output: Float[Tensor, "*batch head d_model d_head"],
) -> Float[Tensor, "*batch head query key"]:
    """Measure how much each key really adds to what a head writes: A_ij ‖W_O,h v_j‖.

    In the unit of the residual stream; shared values are repeated for each query head,
    and `output` is the share of each head in the output matrix (Kobayashi et al. 2020).

    >>> A = torch.tensor([[[0.75, 0.25]]])  # more weight, less to hand over
    >>> v = torch.tensor([[[1.0], [8.0]]])
    >>> output_norms(A, v, torch.ones(1, 1, 1)).tolist()
    [[[0.75, 2.0]]]
    """
    written = values @ output.mT
    return weights * written.norm(dim=-1)[..., None, :]


def rank_correlation(
    first: Float[Tensor, " one"], second: Float[Tensor, " other"]
) -> float:
    """Correlate the ranks of two lists of one length (Spearman); ties share a rank.

    >>> x = torch.tensor([1.0, 2, 3])
    >>> round(rank_correlation(x, x.exp()), 6)
    1.0
    """
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} numbers came with {len(second)}; give two lists of one "
            "length."
        )
    ranks = torch.from_numpy(rankdata(torch.stack([first, second]).cpu(), axis=1))
    return torch.corrcoef(ranks)[0, 1].item()


def _apart(n: int, steps: int) -> Tensor:
    """Mark keys at least so many steps before their query."""
    return torch.ones(n, n, dtype=torch.bool).tril(-steps)
