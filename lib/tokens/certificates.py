"""What a sum of scores can never do, shown with integers and fractions.

A word asks of the scores that its gold path beat every rival. Two words can ask
for opposite things; then no scores satisfy both, whatever they are.

>>> ab = Demand((b"a", b"b"), (b"ab",))
>>> str(ab), dict(ab.terms())
('s(a) + s(b) > s(ab)', {b'a': 1, b'b': 1, b'ab': -1})
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

__all__ = ["Demand", "all_cuts", "certificates", "demands", "is_tie", "opposite",
           "total"]

Cut = tuple[bytes, ...]


def all_cuts(word: bytes, pieces: Collection[bytes]) -> list[Cut]:
    """Every sequence of pieces that spells the word, shortest pieces first.

    There can be 2ⁿ⁻¹ of them: for short words only.

    >>> all_cuts(b"aba", {b"a", b"b", b"ab"})
    [(b'a', b'b', b'a'), (b'ab', b'a')]
    """
    found: list[list[Cut]] = [[] for _ in range(len(word) + 1)]
    found[0].append(())
    for j in range(1, len(word) + 1):
        for i in reversed(range(j)):
            if word[i:j] in pieces:
                found[j].extend((*cut, word[i:j]) for cut in found[i])
    return sorted(found[-1], key=lambda cut: [len(piece) for piece in cut])


def _lengths_from_the_end(cut: Cut) -> list[int]:
    return [len(piece) for piece in reversed(cut)]


@dataclass(frozen=True)
class Demand:
    """That the path ``gold`` of a word win against the path ``rival``.

    ``strict``: an equal sum is not enough, because of equal sums the Viterbi of
    `tokenizers` keeps the path whose last piece is longer.
    """

    gold: Cut
    rival: Cut

    @property
    def strict(self) -> bool:
        return _lengths_from_the_end(self.rival) > _lengths_from_the_end(self.gold)

    def terms(self) -> dict[bytes, int]:
        """How often each piece stands in gold, less how often in rival."""
        counts = Counter(self.gold)
        counts.subtract(self.rival)
        return {piece: n for piece, n in counts.items() if n}

    def __str__(self) -> str:
        def side(sign: int) -> str:
            parts = [
                f"{'' if abs(n) == 1 else abs(n)}s({piece.decode('utf-8', 'replace')})"
                for piece, n in self.terms().items() if n * sign > 0
            ]
            return " + ".join(parts) or "0"

        return f"{side(1)} {'>' if self.strict else '≥'} {side(-1)}"


def demands(gold: Cut, pieces: Collection[bytes]) -> list[Demand]:
    """What a word asks for: that its gold path beat each of its rivals."""
    cuts = all_cuts(b"".join(gold), pieces)
    return [Demand(gold, cut) for cut in cuts if cut != gold]


def is_tie(demand: Demand) -> bool:
    """Whether no scores can meet the demand: the same pieces in another order.

    >>> is_tie(Demand((b"pp", b"p"), (b"p", b"pp")))
    True
    """
    return demand.strict and not demand.terms()


def opposite(first: Iterable[Demand], second: Iterable[Demand]
             ) -> tuple[Demand, Demand] | None:
    """A demand of each side that add up to 0 > 0, or None."""
    known = {frozenset(demand.terms().items()): demand for demand in second}
    for demand in first:
        turned = frozenset((piece, -n) for piece, n in demand.terms().items())
        other = known.get(turned)
        if other and turned and (demand.strict or other.strict):
            return demand, other
    return None


def total(chosen: Sequence[Demand], weights: Sequence[Fraction | int]
          ) -> tuple[dict[bytes, Fraction], bool]:
    """The weighted sum of demands: what is left of each piece, and ``strict``.

    Nothing left and strict reads 0 > 0: no scores meet all the demands.

    >>> both = [Demand((b"a", b"b"), (b"ab",)), Demand((b"ab",), (b"a", b"b"))]
    >>> total(both, [1, 1])
    ({}, True)

    Raises
    ------
    ValueError
        If a weight is not positive: it would turn a demand round.
    """
    if any(weight <= 0 for weight in weights):
        raise ValueError(
            f"weights {list(weights)} came; only positive ones keep the direction of "
            "a demand."
        )
    left: dict[bytes, Fraction] = {}
    for demand, weight in zip(chosen, weights, strict=True):
        for piece, n in demand.terms().items():
            left[piece] = left.get(piece, Fraction(0)) + Fraction(weight) * n
    strict = any(demand.strict for demand in chosen)
    return {piece: value for piece, value in left.items() if value}, strict


Terms = frozenset[tuple[bytes, int]]


def _sum(first: Terms, second: Terms) -> dict[bytes, int]:
    left = dict(first)
    for piece, n in second:
        left[piece] = left.get(piece, 0) + n
    return {piece: n for piece, n in left.items() if n}


def certificates(
    lost: Iterable[Demand], others: Iterable[Demand], most: int = 300
) -> list[tuple[Demand, ...]]:
    """Small groups of demands that add up to 0 > 0, one for each of ``lost`` at most.

    By Farkas' lemma, demands that no scores meet always have positive weights under
    which they add up to nothing. Looked for are groups of one (a tie), two (opposite
    demands) and three, all of weight 1, with ``others`` for company.

    Parameters
    ----------
    lost
        Demands that scores failed to meet.
    others
        Demands to add; those that are barely met are worth having.
    most
        Second demands tried for each of ``lost``.

    >>> ab = Demand((b"a", b"b"), (b"ab",))
    >>> len(certificates([ab], [Demand((b"ab",), (b"a", b"b"))])[0])
    2
    """
    lost = list(lost)
    terms: dict[Demand, Terms] = {
        demand: frozenset(demand.terms().items()) for demand in (*lost, *others)}
    known: dict[Terms, Demand] = {}
    asking: dict[tuple[bytes, bool], list[Demand]] = defaultdict(list)
    for demand, own in terms.items():
        if own not in known or demand.strict:
            known[own] = demand
        for piece, n in own:
            asking[piece, n > 0].append(demand)

    def closing(left: dict[bytes, int]) -> Demand | None:
        return known.get(frozenset((piece, -n) for piece, n in left.items()))

    found: list[tuple[Demand, ...]] = []
    for demand in lost:
        own = terms[demand]
        if is_tie(demand):
            found.append((demand,))
            continue
        if not own:
            continue
        other = closing(dict(own))
        groups: list[tuple[Demand, ...]] = [(demand, other)] if other else []
        piece, n = min(own, key=lambda term: len(asking[term[0], term[1] < 0]))
        for second in asking[piece, n < 0][:most] if not groups else []:
            third = closing(_sum(own, terms[second]))
            if third is not None:
                groups.append((demand, second, third))
                break
        found += [group for group in groups
                  if total(group, [1] * len(group)) == ({}, True)][:1]
    return found
