"""Which of two ways of training is better, and how sure one may be: paired runs.

A row is one run: a dictionary with at least `name`, `size`, `seed`, `learning_rate` and
`valid` (a loss, lower is better), as benchmarks/quality.py writes them. One without
`text` is of TinyShakespeare.
"""

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scipy import stats

from lib.commands import module_command

Row = dict[str, Any]
TEXT = "tinyshakespeare"  # of rows that name none


@dataclass(frozen=True)
class Interval:
    """A mean of n paired differences, with the ends of its confidence interval."""

    mean: float
    low: float
    high: float
    n: int

    @property
    def settled(self) -> bool:
        """Whether the interval leaves 0 out, so that the sign is known."""
        return self.low > 0 or self.high < 0


def t_quantile(level: float, df: int) -> float:
    """The t within which Student's distribution has `level` of its mass, ±t.

    >>> [round(t_quantile(0.95, df), 3) for df in (1, 2, 4, 9)]
    [12.706, 4.303, 2.776, 2.262]
    """
    if not 0 < level < 1 or df < 1:
        raise ValueError(
            f"level {level} with {df} degrees of freedom has no quantile; use a level "
            "between 0 and 1 and at least 2 pairs")
    return float(stats.t.ppf((1 + level) / 2, df))


def paired_interval(differences: Sequence[float], level: float = 0.95) -> Interval:
    """Mean d̄ of paired differences with its interval d̄ ± t·s/√n.

    s is the standard deviation with n − 1 below; t leaves 1 − level outside. A single
    pair gives no interval: its ends are infinite.

    >>> found = paired_interval([-0.06, -0.05, -0.07])
    >>> round(found.mean, 3), round(found.low, 3), round(found.high, 3), found.settled
    (-0.06, -0.085, -0.035, True)
    """
    n = len(differences)
    if n == 0:
        raise ValueError("no pairs came; run both models with at least one same seed")
    mean = math.fsum(differences) / n
    if n == 1:
        return Interval(mean, -math.inf, math.inf, 1)
    spread = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (n - 1))
    reach = t_quantile(level, n - 1) * spread / math.sqrt(n)
    return Interval(mean, mean - reach, mean + reach, n)


def read_rows(path: Path | str) -> list[Row]:
    """The rows of a JSON-lines file; where it is not there, how to make it is said."""
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"{path} is not there; run {module_command('benchmarks.quality', 'small')}"
            ", which writes one line a run")
    lines = path.read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines if line.strip()]


def by_rate(rows: Iterable[Row]) -> dict[float, dict[int, float]]:
    """Learning rate → seed → loss."""
    found: dict[float, dict[int, float]] = defaultdict(dict)
    for row in rows:
        found[row["learning_rate"]][row["seed"]] = row["valid"]
    return dict(found)


def best_rate(rows: Iterable[Row]) -> float:
    """The learning rate with the lowest mean loss over seeds.

    Only rates that were run with as many seeds as any other take part, so that a rate
    does not win by one lucky seed. NaN (a run that blew up) counts as infinite.

    >>> rows = [{"learning_rate": rate, "seed": seed, "valid": loss} for
    ...         rate, seed, loss in [(1e-3, 0, 2.0), (1e-3, 1, 2.2), (2e-3, 0, 1.9),
    ...                              (2e-3, 1, 2.0), (4e-3, 0, 1.8)]]
    >>> best_rate(rows)
    0.002
    """
    rates = by_rate(rows)
    most = max(map(len, rates.values()))

    def mean(rate: float) -> float:
        losses = rates[rate].values()
        return math.inf if any(map(math.isnan, losses)) else sum(losses) / most

    return min((rate for rate in rates if len(rates[rate]) == most), key=mean)


@dataclass(frozen=True)
class Standing:
    """One way of training at its best learning rate, beside the one it is held to."""

    name: str
    rate: float
    rates: tuple[float, ...]  # the candidates: those that both were tried with
    losses: dict[int, float]  # seed → loss
    parameters: int
    difference: Interval | None  # its losses minus those of `against`; None for itself

    @property
    def mean(self) -> float:
        return sum(self.losses.values()) / len(self.losses)


def standings(rows: Iterable[Row], size: str, against: str = "dot",
              level: float = 0.95, text: str = TEXT) -> list[Standing]:
    """Each name of one size and text at its best learning rate, in the file's order.

    Candidates are the rates with which both it and `against` were run, so that neither
    has more chances; both then take their own best of these. Raises ValueError if the
    text or the size is not in the rows, or `against` was not run at this size.
    """
    rows = [{"text": TEXT, **row} for row in rows]
    texts = sorted({row["text"] for row in rows})
    rows = [row for row in rows if row["text"] == text]
    if not rows and texts:
        raise ValueError(
            f"text {text!r} is not in the rows; there is {', '.join(texts)}")
    here = [row for row in rows if row["size"] == size]
    if not here:
        sizes = sorted({row["size"] for row in rows})
        raise ValueError(
            f"size {size!r} is not in the rows; there is {', '.join(sizes) or 'none'}")
    names = list(dict.fromkeys(row["name"] for row in here))
    if against not in names:
        raise ValueError(
            f"{against!r} was not run at size {size}; there is {', '.join(names)}")
    parts = {name: [row for row in here if row["name"] == name] for name in names}
    twin = parts[against]
    found = []
    for name, part in parts.items():
        both = by_rate(part).keys() & by_rate(twin).keys()
        rates = tuple(sorted(both or by_rate(part)))
        rate = best_rate(row for row in part if row["learning_rate"] in rates)
        losses, difference = by_rate(part)[rate], None
        if both and name != against:
            other = best_rate(row for row in twin if row["learning_rate"] in rates)
            theirs = by_rate(twin)[other]
            gaps = [losses[seed] - theirs[seed] for seed in losses.keys() & theirs]
            difference = paired_interval(gaps, level) if gaps else None
        found.append(Standing(name, rate, rates, losses, part[0]["parameters"],
                              difference))
    return found
