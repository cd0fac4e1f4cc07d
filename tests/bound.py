r"""How good the best set of new pieces can be: a bound that no choice gets below.

Choosing $K$ of the candidates is a minimum over sets $S$ and over cuts of every word.
For each arc $e$ of each lattice that carries a candidate $p(e)$ the cut may use it only
where $p(e) \in S$. Let an arc cost $\lambda_e \ge 0$ instead (Lagrange relaxation):

$$ L(\lambda) = \sum_w \min_{y \in \text{cuts}(w)}
   \Bigl(n_w |y| + \sum_{e \in y} \lambda_e\Bigr)
   - \max_{|S| = K} \sum_{p \in S} \mu_p, \qquad
   \mu_p = \sum_{e: p(e) = p} \lambda_e . $$

For every $\lambda$ this is at most the number of tokens of every choice: a choice with
its best cuts pays $\lambda_e$ only on arcs of its own pieces, at most the sum that is
taken off. Subgradient steps (Held and Karp, 1971; Polyak, 1969) raise it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from tqdm import tqdm

from lib.tokens.lattice import build_lattices, build_trie, compiled

__all__ = ["fewest_possible"]


def fewest_possible(
    words: Mapping[bytes, int], pieces: Sequence[bytes], candidates: Sequence[bytes],
    size: int, known: int, *, steps: int = 600, bar: bool = True,
) -> float:
    """A number of tokens below which no ``size`` of the candidates bring the words.

    Parameters
    ----------
    words, pieces, candidates, size
        As in `lib.vocabulary.search.search_pieces`.
    known
        The tokens of a choice that is known; the steps aim at it.
    steps
        How often the costs of the arcs are changed.
    bar
        Show a progress bar.
    """
    old, count = len(pieces), len(pieces) + len(candidates)
    lattices = build_lattices(build_trie([*pieces, *candidates]), list(words))
    weight = np.fromiter(words.values(), np.float64, len(words))
    edges = (lattices.length, lattices.first, lattices.start, lattices.end,
             lattices.piece)
    costs, step = np.zeros(len(lattices.piece)), np.zeros(len(lattices.piece))
    best, kept, reach, since = -np.inf, costs.copy(), 1.0, 0
    for _ in tqdm(range(steps), desc="bound", disable=not bar, leave=False):
        used, prices = np.zeros(len(costs), np.bool_), np.zeros(count)
        value = _relaxed(*edges, weight, old, costs, used, prices)
        order = np.argsort(-prices[old:], kind="stable")[:size] + old
        value -= prices[order].sum()
        if value > best:
            best, since = value, 0
            kept[:] = costs
        else:
            since += 1
            if since == 15:  # too far: back to the best, and shorter steps
                reach, since = 0.7 * reach, 0
                costs[:], step[:] = kept, 0.0
        chosen = np.zeros(count, np.bool_)
        chosen[order] = True
        _move(lattices.piece, old, used, chosen, costs, step,
              0.3 * reach * max(known - value, 1.0))
    return float(best)


@compiled
def _relaxed(length, first, start, end, piece, weight, old, costs, used, prices):
    """The words' cheapest cuts; marks their arcs and sums the costs by piece."""
    room = length.max() + 1
    best, back = np.zeros(room), np.zeros(room, np.int64)
    total = 0.0
    for w in range(len(length)):
        n = length[w]
        best[1:n + 1] = np.inf
        for e in range(first[w], first[w + 1]):
            if piece[e] >= old:
                prices[piece[e]] += costs[e]
            new = best[start[e]] + weight[w] + costs[e]
            if new < best[end[e]]:
                best[end[e]], back[end[e]] = new, e
        total += best[n]
        j = n
        while j > 0:
            used[back[j]] = True
            j = start[back[j]]
    return total


@compiled
def _move(piece, old, used, chosen, costs, step, length):
    """One step along the subgradient, 70 % of the last one in it."""
    norm = 0.0
    for e in range(len(piece)):
        if piece[e] < old:
            continue
        slope = 1.0 * used[e] - 1.0 * chosen[piece[e]]
        step[e] = 0.7 * step[e] + slope
        if costs[e] <= 0 and step[e] < 0:
            step[e] = 0.0
        norm += step[e] * step[e]
    if norm > 0:
        for e in range(len(piece)):
            if piece[e] >= old:
                costs[e] = max(costs[e] + length / norm * step[e], 0.0)
