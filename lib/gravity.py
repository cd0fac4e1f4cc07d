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
than one (seq, seq) table a head. `lib.gravity_model` builds language models on it.
"""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

KERNELS = ("newton", "gaussian", "potential")
CUTOFFS = ("none", "hard", "soft", "compact")
COORDINATES = ("token+position", "position")
UNIT_MASS = math.log(math.e - 1)  # softplus of it is 1


def known(what: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` when it is one of `choices`, else say what would be.

    >>> known("kernel", "newton", KERNELS)
    'newton'
    """
    if value not in choices:
        raise ValueError(
            f"{what} {value!r} is not known; use one of {', '.join(choices)}"
        )
    return value


def squared_distances(
    z: Float[Tensor, "*lead seq coord"],
) -> Float[Tensor, "*lead seq seq"]:
    """r²_ij = (‖z_i‖² + ‖z_j‖² − 2 z_i·z_j) / C, in float32 or wider.

    z: coordinates, any unit; the result has that unit squared, per coordinate.
    The first token is moved to the origin beforehand: distances do not change, the
    rounding shrinks, and a causal model stays causal since all queries see token 0.

    >>> squared_distances(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    tensor([[ 0.0000, 12.5000],
            [12.5000,  0.0000]])
    """
    z = z.to(torch.promote_types(z.dtype, torch.float32))
    z = z - z[..., :1, :]
    norm = z.square().sum(-1)
    r2 = norm[..., :, None] + norm[..., None, :] - 2 * z @ z.mT
    r2 = r2 / z.shape[-1]
    same = torch.eye(z.shape[-2], dtype=torch.bool, device=z.device)
    return r2.clamp_min(0).masked_fill(same, 0)


def log_mass(mass: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """log m in float32 or wider; masses below 1e-6 count as 1e-6.

    >>> log_mass(torch.tensor([1.0, 0.0]))
    tensor([  0.0000, -13.8155])
    """
    mass = mass.to(torch.promote_types(mass.dtype, torch.float32))
    return mass.clamp_min(1e-6).log()


def newton(
    r2: Float[Tensor, "*lead seq seq"],
    mass: Float[Tensor, "*#lead seq"],
    strength: Float[Tensor, "*#lead 1 1"] | float,
    beta: Float[Tensor, "*#lead 1 1"] | float = 1.0,
    eps: float = 0.1,
) -> Float[Tensor, "*lead seq seq"]:
    """Logits β log m_j − p log(r²_ij + ε); p = β = 1 is the inverse-square law.

    r2: `squared_distances`; mass: m > 0; strength: the exponent p, one a head;
    beta: the mass exponent β; eps: softening, in the unit of r². Bounded above by
    β log m_j − p log ε, whatever the coordinates.

    >>> r2 = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    >>> newton(r2, torch.ones(2), 1.0, eps=1.0).exp()
    tensor([[1.0000, 0.5000],
            [0.5000, 1.0000]])
    """
    return beta * log_mass(mass)[..., None, :] - strength * torch.log(r2 + eps)


def gaussian(
    r2: Float[Tensor, "*lead seq seq"],
    mass: Float[Tensor, "*#lead seq"],
    strength: Float[Tensor, "*#lead 1 1"] | float,
    beta: Float[Tensor, "*#lead 1 1"] | float = 1.0,
) -> Float[Tensor, "*lead seq seq"]:
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
    r2: Float[Tensor, "*lead seq seq"],
    mass: Float[Tensor, "*#lead seq"],
    strength: Float[Tensor, "*#lead 1 1"] | float,
    beta: Float[Tensor, "*#lead 1 1"] | float = 0.0,
    eps: float = 0.1,
    sign: int = 1,
) -> Float[Tensor, "*lead seq seq"]:
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
    pair = mass[..., :, None] * mass[..., None, :]
    return pair * (sign * strength / (r2 + eps) + beta)


def cutoff_gate(
    r2: Float[Tensor, "*lead seq seq"],
    radius: Float[Tensor, "*#lead 1 1"] | float,
    cutoff: str,
) -> Float[Tensor, "*lead seq seq"]:
    """Factor in [0, 1] on the unnormalised weight; exactly 0 for r ≥ R, 1 on i = j.

    With x = 1 − r²/R² (1 at the token, 0 on the sphere):

        none  1      hard  [x > 0]      soft  x²(3 − 2x)      compact  x

    r2: `squared_distances`; radius: R > 0, one a head, in the unit of r. What
    lies outside has no true derivative by R, and neither has the step of `hard`.
    There the radius receives the slope of −sign(x) / (1 + |x|) instead
    (straight-through): a token that is cut off can ask for a larger radius. The
    coordinates never see that substitute.

    >>> r2 = torch.tensor([[0.0, 1.0, 9.0]] * 3)
    >>> cutoff_gate(r2, 2.0, "compact")[0]
    tensor([1.0000, 0.7500, 0.0000])
    >>> cutoff_gate(r2, 2.0, "soft")[0]
    tensor([1.0000, 0.8438, 0.0000])
    >>> cutoff_gate(r2, 2.0, "hard")[0]
    tensor([1., 1., 0.])
    """
    known("cutoff", cutoff, CUTOFFS)
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
    same = torch.eye(r2.shape[-1], dtype=torch.bool, device=r2.device)
    return gate.masked_fill(same, 1)


def causal(seq: int, device=None) -> Bool[Tensor, "seq seq"]:
    """True where query i may see key j: j ≤ i.

    >>> causal(2)
    tensor([[ True, False],
            [ True,  True]])
    """
    return torch.ones(seq, seq, dtype=torch.bool, device=device).tril()


def gated_softmax(
    logits: Float[Tensor, "*lead seq seq"],
    gate: Float[Tensor, "*lead seq seq"] | None = None,
    visible: Bool[Tensor, "seq seq"] | None = None,
) -> Float[Tensor, "*lead seq seq"]:
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


def repulsion(
    z: Float[Tensor, "*lead seq coord"],
    mass: Float[Tensor, "*lead seq"],
    min_dist: float = 0.1,
) -> Float[Tensor, ""]:
    """Mean over pairs i ≠ j of m_i m_j / max(r_ij, min_dist)²: keeps points apart.

    z, mass: as above; min_dist: below it the force stops growing, in the unit of r.
    A loss term without a side in time: it uses all pairs, also later ones.

    >>> z = torch.tensor([[0.0], [2.0]])
    >>> repulsion(z, torch.tensor([1.0, 3.0]))
    tensor(0.7500)
    """
    r2 = squared_distances(z)
    seq = r2.shape[-1]
    apart = ~torch.eye(seq, dtype=torch.bool, device=r2.device)
    pair = mass[..., :, None] * mass[..., None, :]
    energy = (pair / r2.clamp_min(min_dist**2))[..., apart]
    return energy.mean()


class Masses(nn.Module):
    """One learned mass a vocabulary entry: m = softplus(μ[token]) > 0, first 1.

    >>> Masses(vocab=5)(torch.tensor([[0, 4]]))
    tensor([[1., 1.]], grad_fn=<SoftplusBackward0>)
    """

    def __init__(self, vocab: int):
        super().__init__()
        self.mu = nn.Parameter(torch.full((vocab,), UNIT_MASS))

    def forward(self, ids: Int[Tensor, "batch seq"]) -> Float[Tensor, "batch seq"]:
        return F.softplus(self.mu[ids])


class Coordinates(nn.Module):
    """z⁰ = LN(token[id] + position[t]), or LN(position[t]) as in the original.

    ids: token ids, at most `context` long; the result is (batch, seq, d_coord).

    >>> Coordinates(vocab=5, context=8, d_coord=3)(torch.tensor([[0, 4]])).shape
    torch.Size([1, 2, 3])
    """

    def __init__(
        self, vocab: int, context: int, d_coord: int, kind: str = "token+position"
    ):
        super().__init__()
        known("coordinates", kind, COORDINATES)
        self.position = nn.Embedding(context, d_coord)
        self.token = nn.Embedding(vocab, d_coord) if "token" in kind else None
        self.norm = nn.LayerNorm(d_coord)

    def forward(
        self, ids: Int[Tensor, "batch seq"]
    ) -> Float[Tensor, "batch seq d_coord"]:
        z = self.position.weight[: ids.shape[1]].expand(*ids.shape, -1)
        if self.token is not None:
            z = z + self.token(ids)
        return self.norm(z)


class GravityAttention(nn.Module):
    """Causal attention whose logits come from masses and distances.

    Each head projects the shared coordinates to its own C = d_model / n_heads axes,
    reads r² there, and averages the values with the weights of the kernel. It learns
    a strength softplus(γ_h)·√C, a mass exponent (β_h; softplus(β_h) for newton and
    gaussian) and a radius softplus(ρ_h) a head.

    forward(x, z, mass) takes the normalised stream (batch, seq, d_model), the
    coordinates (batch, seq, d_coord) and the masses (batch, seq) and returns the
    output (batch, seq, d_model) with a dict of what it went through.
    """

    def __init__(
        self,
        d_model: int,
        n_heads: int,
        d_coord: int,
        kernel: str = "newton",
        cutoff: str = "none",
        radius: float = 2.0,
        strength: float = 0.5,
        eps: float = 0.1,
        sign: int = 1,
    ):
        super().__init__()
        if d_model % n_heads:
            raise ValueError(
                f"d_model {d_model} is not a multiple of n_heads {n_heads}; "
                f"use for example d_model {n_heads * max(1, d_model // n_heads)}"
            )
        self.kernel = known("kernel", kernel, KERNELS)
        self.cutoff = known("cutoff", cutoff, CUTOFFS)
        self.n_heads, self.eps, self.sign = n_heads, eps, sign
        self.place = nn.Linear(d_coord, d_model, bias=False)
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        raw = math.log(math.expm1(strength / math.sqrt(d_model // n_heads)))
        self.gamma = nn.Parameter(torch.full((n_heads,), raw))
        unit = 0.0 if kernel == "potential" else UNIT_MASS
        self.beta = nn.Parameter(torch.full((n_heads,), unit))
        raw = math.log(math.expm1(radius))
        self.rho = nn.Parameter(torch.full((n_heads,), raw))
        if cutoff == "none":
            self.rho.requires_grad_(False)

    @property
    def strength(self) -> Float[Tensor, " head"]:
        """p or γ of each head, positive."""
        return F.softplus(self.gamma) * math.sqrt(self.d_head)

    @property
    def mass_exponent(self) -> Float[Tensor, " head"]:
        """β of each head; positive except for `potential`, where it is a bias."""
        return self.beta if self.kernel == "potential" else F.softplus(self.beta)

    @property
    def radius(self) -> Float[Tensor, " head"]:
        """R of each head, positive, in the unit of r."""
        return F.softplus(self.rho)

    @property
    def d_head(self) -> int:
        return self.value.out_features // self.n_heads

    def heads(
        self, x: Float[Tensor, "batch seq d_model"]
    ) -> Float[Tensor, "batch head seq d_head"]:
        return x.unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2)

    def logits(
        self,
        r2: Float[Tensor, "batch head seq seq"],
        mass: Float[Tensor, "batch seq"],
    ) -> Float[Tensor, "batch head seq seq"]:
        """The kernel's logits with this layer's strength and mass exponent."""
        mass = mass[:, None, :]
        given = (r2, mass, self.strength[:, None, None])
        beta = self.mass_exponent[:, None, None]
        if self.kernel == "newton":
            return newton(*given, beta, self.eps)
        if self.kernel == "gaussian":
            return gaussian(*given, beta)
        return potential(*given, beta, self.eps, self.sign)

    def forward(
        self,
        x: Float[Tensor, "batch seq d_model"],
        z: Float[Tensor, "batch seq d_coord"],
        mass: Float[Tensor, "batch seq"],
    ) -> tuple[Float[Tensor, "batch seq d_model"], dict[str, Tensor]]:
        r2 = squared_distances(self.heads(self.place(z)))
        logits = self.logits(r2, mass)
        gate = None
        if self.cutoff != "none":
            gate = cutoff_gate(r2, self.radius[:, None, None], self.cutoff)
        weights = gated_softmax(logits, gate, causal(x.shape[1], x.device))
        mixed = weights.to(x.dtype) @ self.heads(self.value(x))
        output = self.output(mixed.transpose(1, 2).flatten(2))
        return output, {"r2": r2, "logits": logits, "gate": gate, "weights": weights}


@torch.no_grad()
def statistics(
    attention: GravityAttention, seen: dict[str, Tensor]
) -> dict[str, Float[Tensor, " head"]]:
    """What one layer's heads do: strength, radius, distance, entropy, share cut off.

    attention: the layer; seen: the dict its forward returned. `distance` is the mean
    r over pairs j < i, `entropy` the mean of −Σ w ln w over queries in nats, and
    `cut_off` the share of pairs j < i with r ≥ R (zero without a cutoff).
    """
    r2, weights = seen["r2"], seen["weights"]
    earlier = causal(r2.shape[-1], r2.device).tril(-1)
    pairs = r2[..., earlier]  # batch head pair
    entropy = -(weights * weights.clamp_min(1e-30).log()).sum(-1)
    cut = torch.zeros_like(pairs)
    if attention.cutoff != "none":
        cut = (pairs >= attention.radius[:, None] ** 2).to(pairs)
    return {
        "strength": attention.strength.clone(),
        "radius": attention.radius.clone(),
        "distance": pairs.sqrt().mean((0, 2)),
        "entropy": entropy.mean((0, 2)),
        "cut_off": cut.mean((0, 2)),
    }
