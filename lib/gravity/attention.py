"""Gravity attention: tokens are particles, attention is a kernel of distance.

A token i has a mass m_i > 0 and, in each head, coordinates z_i that are C wide.
Everything below speaks of one squared distance, measured per coordinate so that
it does not grow with C:

    r²_ij = ‖z_i − z_j‖² / C

The weight that query i gives to key j is a softmax over j of one of three logits:

    newton      β log m_j − p log(r²_ij + ε)            weight ∝ m_j^β / (r² + ε)^p
    gaussian    β log m_j − γ r²_ij                     weight ∝ m_j^β exp(−γ r²)
    potential   m_i m_j (sign · γ / (r²_ij + ε) + β)    sign −1: the original's form

This module is the reference: it reads like the formulas and holds nothing larger
than one (seq, seq) table a head. `lib.gravity.fast` computes the same without that
table, `lib.gravity.layers` gives it weights to learn, `lib.gravity.model` builds
language models. Where a table has fewer queries than keys, the queries are the last
tokens.

A token lies at z_i. It may look from another place, y_i: then ‖y_i − z_j‖² stands for
‖z_i − z_j‖² throughout. With y = z the nearest thing to a token is always itself.
"""

import math
from dataclasses import dataclass
from typing import cast

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from lib.options import one_of

#: Coordinates of each head, and the values that are averaged …
Points = Float[Tensor, "batch head seq coord"]
Values = Float[Tensor, "batch head seq d_value"]
#: … a table of queries and keys, the masses, a number of each head.
Pairs = Float[Tensor, "*lead query seq"]
Mass = Float[Tensor, "*#lead seq"]
PerHead = Float[Tensor, "*#lead 1 1"]
KERNELS = ("newton", "gaussian", "potential")
CUTOFFS = ("none", "hard", "soft", "compact")


def squared_distances(
    z: Float[Tensor, "*lead seq coord"],
    queries: int | None = None,
    looking: Float[Tensor, "*lead seq coord"] | None = None,
) -> Float[Tensor, "*lead query seq"]:
    """r²_ij = (‖y_i‖² + ‖z_j‖² − 2 y_i·z_j) / C, in float32 or wider.

    queries: how many rows, for the last tokens; None: all. looking: y; None: y = z.
    The first token is moved to the origin beforehand: distances do not change, the
    rounding shrinks, and a causal model stays causal since all queries see token 0.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[ 0.0000, 12.5000],
            [12.5000,  0.0000]])
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    origin = z[..., :1, :]
    z, here = z - origin, (z if looking is None else looking.to(z)) - origin
    first = z.shape[-2] - (z.shape[-2] if queries is None else queries)
    here = here[..., first:, :]
    norm, own = z.square().sum(-1), here.square().sum(-1)
    r2 = own[..., None] + norm[..., None, :] - 2 * here @ z.mT
    r2 = (r2 / z.shape[-1]).clamp_min(0)
    if looking is not None:
        return r2
    return r2.masked_fill(itself(*r2.shape[-2:], device=z.device), 0)


def itself(queries: int, keys: int, device=None) -> Bool[Tensor, "query key"]:
    """True where a key is the query's own token."""
    return torch.eye(keys, dtype=torch.bool, device=device)[keys - queries :]


def log_mass(mass: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """log m in float32 or wider; masses below 1e-6 count as 1e-6."""
    mass = mass.to(torch.promote_types(mass.dtype, torch.float32))
    return mass.clamp_min(1e-6).log()


def newton(
    r2: Pairs, mass: Mass, strength: PerHead | float, beta: PerHead | float = 1.0,
    eps: float = 0.1,
) -> Pairs:
    """Logits β log m_j − p log(r²_ij + ε); p = β = 1 is the inverse-square law.

    r2: `squared_distances`; strength: p; eps: softening ε, in the unit of r². Bounded
    above by β log m_j − p log ε, whatever the coordinates.

    >>> r2 = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> newton(r2, torch.ones(2), 1.0, eps=1.0).exp()
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]])
    """
    return beta * log_mass(mass)[..., None, :] - strength * torch.log(r2 + eps)


def gaussian(
    r2: Pairs, mass: Mass, strength: PerHead | float, beta: PerHead | float = 1.0
) -> Pairs:
    """Logits β log m_j − γ r²_ij, with γ = `strength`.

    Expanding r² shows a dot product, a term of the key and a term of the query; the
    last one cancels in the softmax, so scaled dot-product attention can compute it.

    >>> r2 = torch.tensor([[0.0, 2.0], [2.0, 0.0]])
    >>> gaussian(r2, torch.ones(2), 0.5)
    tensor([[ 0., -1.],
            [-1.,  0.]])
    """
    return beta * log_mass(mass)[..., None, :] - strength * r2


def potential(
    r2: Pairs, mass: Mass, strength: PerHead | float, beta: PerHead | float = 0.0,
    eps: float = 0.1, sign: int = 1,
) -> Pairs:
    """Logits m_i m_j (sign · γ / (r²_ij + ε) + β), with γ = `strength`.

    sign +1 attracts; sign −1 is the published Newtonian Gravity Transformer
    (leetae9yu/newton-gravity-transformer), in which near tokens score lower.

    >>> r2 = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> potential(r2, torch.ones(2), 1.0, eps=1.0, sign=-1)
    tensor([[-1.0000, -0.5000],
            [-0.5000, -1.0000]])
    """
    if sign not in (1, -1):
        raise ValueError(f"sign {sign!r} is not known; use 1 (attract) or -1 (repel)")
    mass = mass.to(r2.dtype)
    pair = mass[..., -r2.shape[-2] :, None] * mass[..., None, :]
    return pair * (sign * strength / (r2 + eps) + beta)


def cutoff_gate(r2: Pairs, radius: PerHead | float, cutoff: str) -> Pairs:
    """Factor in [0, 1] on the unnormalised weight; exactly 0 for r ≥ R, 1 on i = j.

    With x = 1 − r²/R² (1 at the token, 0 on the sphere):

        none  1      hard  [x > 0]      soft  x²(3 − 2x)      compact  x

    radius: R > 0, in the unit of r. What lies outside has no true derivative by R, and
    neither has the step of `hard`.
    There the radius receives the slope of −sign(x) / (1 + |x|) instead
    (straight-through): a token that is cut off can ask for a larger radius. The
    coordinates never see that substitute.

    >>> r2 = torch.tensor([[0.0, 1.0, 9.0]] * 3)
    >>> cutoff_gate(r2, 2.0, "compact")[0]
    tensor([1.0000, 0.7500, 0.0000])
    """
    one_of("cutoff", cutoff, CUTOFFS)
    if cutoff == "none":
        return torch.ones_like(r2)
    x = 1 - r2 / radius**2
    inside = x.clamp(0, 1)
    value = {"hard": (x > 0).to(r2), "soft": inside**2 * (3 - 2 * inside)}
    gate = value.get(cutoff, inside)
    x = 1 - r2.detach() / radius**2
    slope = -x.sign() / (1 + x.abs())
    if cutoff != "hard":
        slope = slope * (x <= 0)
    gate = gate + (slope - slope.detach())
    return gate.masked_fill(itself(*r2.shape[-2:], device=r2.device), 1)


def causal(
    seq: int, device=None, queries: int | None = None
) -> Bool[Tensor, "query seq"]:
    """True where query i may see key j: j ≤ i; the last `queries` rows of it."""
    rows = seq if queries is None else queries
    return torch.ones(rows, seq, dtype=torch.bool, device=device).tril(seq - rows)


def gated_softmax(
    logits: Pairs, gate: Pairs | None = None,
    visible: Bool[Tensor, "query seq"] | None = None,
) -> Pairs:
    """Weights w_ij = g_ij exp(s_ij) / Σ_k g_ik exp(s_ik) over the visible k.

    Each row needs one visible key with a gate above zero; `cutoff_gate` and
    `causal` always leave the token itself. Equal to softmax(s + log g), but a gate
    of zero keeps its gradient.

    >>> gate = torch.tensor([[1.0, 0.0], [0.5, 1.0]])
    >>> gated_softmax(torch.zeros(2, 2), gate)
    tensor([[1.0000, 0.0000],
            [0.3333, 0.6667]])
    """
    if visible is not None:
        logits = logits.masked_fill(~visible, -math.inf)
    if gate is None:
        return logits.softmax(-1)
    top = logits.masked_fill(gate <= 0, -math.inf).amax(-1, keepdim=True).detach()
    weights = gate * (logits - top).clamp(max=0).exp()
    return weights / weights.sum(-1, keepdim=True)


@dataclass(frozen=True)
class Pull:
    """How tokens pull on each other: a kernel, its numbers for each head, a cutoff.

    strength: p or γ; beta: the mass exponent β, or for `potential` its bias; radius: R.
    With `mass_in_value` the mass leaves the logit and multiplies its token's value.
    """

    kernel: str
    strength: PerHead
    beta: PerHead
    eps: float = 0.1
    sign: int = 1
    cutoff: str = "none"
    radius: PerHead | None = None
    mass_in_value: bool = False

    def __post_init__(self):
        one_of("kernel", self.kernel, KERNELS)
        one_of("cutoff", self.cutoff, CUTOFFS)
        if self.cutoff != "none" and self.radius is None:
            raise ValueError(
                f"cutoff {self.cutoff!r} has no radius; give one, or cutoff 'none'"
            )

    def bias(self, mass: Mass) -> Float[Tensor, "*lead seq"]:
        """β log m_j, the part of a newton or gaussian logit that is the key's own."""
        return self.beta[..., 0] * log_mass(mass)

    def logits(self, r2: Pairs, mass: Mass) -> Pairs:
        """The kernel's logits."""
        if self.mass_in_value:
            mass = torch.ones_like(mass)
        if self.kernel == "newton":
            return newton(r2, mass, self.strength, self.beta, self.eps)
        if self.kernel == "gaussian":
            return gaussian(r2, mass, self.strength, self.beta)
        return potential(r2, mass, self.strength, self.beta, self.eps, self.sign)


def attend(
    z: Points, mass: Float[Tensor, "batch seq"], value: Values, pull: Pull,
    queries: int | None = None, looking: Points | None = None,
) -> tuple[Float[Tensor, "batch head query d_value"], dict[str, Tensor | None]]:
    """Causal gravity attention as it is written: distances, logits, weights, average.

    queries: how many of the last tokens ask (None: all); looking: from where they look
    (None: z). The result comes with `r2`, `logits`, `gate`, `weights`, each
    (batch, head, query, seq).
    """
    r2 = squared_distances(z, queries, looking)
    logits = pull.logits(r2, mass[:, None, :])
    gate = None
    if pull.cutoff != "none":
        gate = cutoff_gate(r2, cast(Tensor, pull.radius), pull.cutoff)
    visible = causal(r2.shape[-1], r2.device, r2.shape[-2])
    weights = gated_softmax(logits, gate, visible)
    if pull.mass_in_value:
        value = value * mass[:, None, :, None].to(value.dtype)
    mixed = (weights @ value.to(weights.dtype)).to(value.dtype)
    return mixed, {"r2": r2, "logits": logits, "gate": gate, "weights": weights}


def repulsion(
    z: Float[Tensor, "*lead seq coord"],
    mass: Float[Tensor, "*lead seq"],
    min_dist: float = 0.1,
    samples: int | None = None,
    generator: torch.Generator | None = None,
) -> Float[Tensor, ""]:
    """Mean over pairs i ≠ j of m_i m_j / max(r_ij, min_dist)²: keeps points apart.

    samples: take only pairs among that many tokens, drawn at random. A loss term
    without a side in time: it uses all pairs, also later ones.

    >>> z = torch.tensor([[0.0], [2.0]])
    >>> repulsion(z, torch.tensor([1.0, 3.0]))
    tensor(0.7500)
    """
    if samples is not None and samples < z.shape[-2]:
        drawn = torch.randperm(z.shape[-2], generator=generator)[:samples]
        drawn = drawn.to(z.device)
        z, mass = z[..., drawn, :], mass[..., drawn]
    r2 = squared_distances(z)
    apart = ~itself(*r2.shape[-2:], device=r2.device)
    pair = mass[..., :, None] * mass[..., None, :]
    return (pair / r2.clamp_min(min_dist**2))[..., apart].mean()
