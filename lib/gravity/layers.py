"""Gravity attention with weights to learn: masses, coordinates, one attention layer."""

import copy
import math
from typing import cast

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.attention.rotary import apply_rotary, rotary_angles
from lib.gravity.attention import CUTOFFS, KERNELS, Points, Pull, attend, causal
from lib.gravity.fast import fast_attend
from lib.options import one_of

Ids = Int[Tensor, "batch seq"]
Stream = Float[Tensor, "batch seq d_model"]
Places = Float[Tensor, "batch seq d_coord"]
Mass = Float[Tensor, "batch seq"]
COORDINATES = ("token+position", "position", "token")
THETA = 10_000.0  # of `turned`
UNIT_MASS = math.log(math.e - 1)  # softplus of it is 1


def width_of_head(d_model: int, n_heads: int) -> int:
    """d_model / n_heads; ValueError where it is no whole number."""
    if d_model % n_heads:
        raise ValueError(
            f"d_model {d_model} is not a multiple of n_heads {n_heads}; "
            f"use for example d_model {n_heads * max(1, d_model // n_heads)}"
        )
    return d_model // n_heads


def in_heads(
    x: Float[Tensor, "batch seq wide"], n_heads: int
) -> Float[Tensor, "batch head seq d_head"]:
    """The heads of a stream, each with its own part of the width."""
    return x.unflatten(-1, (n_heads, -1)).transpose(1, 2)


def turned(x: Points, first: int = 0) -> Points:
    """Vectors of every head turned by their tokens' positions, counted from `first`.

    A dot product or a distance of two of them depends on how far apart the tokens
    stand and not on where (`lib.attention.rotary`): angles are taken in 64 bits, so
    that this holds far from the first token too.

    >>> x = turned(torch.tensor([1.0, 0.0]).expand(1, 1, 3, 2))
    >>> (x @ x.mT)[0, 0, 0].round(decimals=4)  # the cosines of 0, 1 and 2
    tensor([ 1.0000,  0.5403, -0.4161])
    """
    seq, axes = x.shape[-2:]
    pairs = torch.arange(0, axes, 2, dtype=torch.float64)
    cos, sin = rotary_angles(
        torch.arange(first, first + seq), axes, frequencies=THETA ** (-pairs / axes))
    return apply_rotary(x, cos.to(x.device, x.dtype), sin.to(x.device, x.dtype))


class Masses(nn.Module):
    """One learned mass a vocabulary entry: m = softplus(μ[token]) > 0, first 1.

    >>> Masses(vocab=5)(torch.tensor([[0, 4]]))
    tensor([[1., 1.]], grad_fn=<SoftplusBackward0>)
    """

    def __init__(self, vocab: int):
        super().__init__()
        self.mu = nn.Parameter(torch.full((vocab,), UNIT_MASS))

    def forward(self, ids: Ids) -> Mass:
        return F.softplus(self.mu[ids])


class Coordinates(nn.Module):
    """z⁰ = LN(token[id] + position[t]), LN(position[t]) as in the original, or
    LN(token[id]).

    >>> Coordinates(vocab=5, context=8, d_coord=3)(torch.tensor([[0, 4]])).shape
    torch.Size([1, 2, 3])
    """

    def __init__(
        self, vocab: int, context: int, d_coord: int, kind: str = "token+position"
    ):
        super().__init__()
        one_of("coordinates", kind, COORDINATES)
        self.position = nn.Embedding(context, d_coord) if "position" in kind else None
        self.token = nn.Embedding(vocab, d_coord) if "token" in kind else None
        self.norm = nn.LayerNorm(d_coord)

    def forward(self, ids: Ids) -> Places:
        if self.position is None:
            return self.norm(cast(nn.Embedding, self.token)(ids))
        z = self.position.weight[: ids.shape[1]].expand(*ids.shape, -1)
        if self.token is not None:
            z = z + self.token(ids)
        return self.norm(z)


class GravityAttention(nn.Module):
    """Causal attention whose logits come from masses and distances.

    Each head projects the shared coordinates to its own C axes, reads r² there, and
    averages the values with the weights of the kernel. It learns a strength
    softplus(γ_h)·√d_head, a mass exponent (β_h; softplus(β_h) for newton and gaussian)
    and a radius softplus(ρ_h) a head.

    looking: whether each head also projects the place from which a token looks, which
    starts as the place where it lies: the nearest thing to a token need not be itself.
    rotary: whether both places are turned by the token's position before distances are
    taken (`turned`). massive: whether masses have a say.
    place: C; None takes d_head/2 − 2, so that the exact 16-bit form of the Gaussian
    kernel, 2C + 3 wide, fits into a head.

    forward(x, z, mass) takes the normalised stream and returns the output with a dict
    of what it went through; with `traced=False` it takes the form of `lib.gravity.fast`
    and the dict is empty.
    """

    def __init__(
        self, d_model: int, n_heads: int, d_coord: int, kernel: str = "newton",
        cutoff: str = "none", radius: float = 2.0, strength: float = 0.5,
        eps: float = 0.1, sign: int = 1, place: int | None = None,
        mass_in_value: bool = False, looking: bool = False, form: str = "auto",
        rotary: bool = False, massive: bool = True,
    ):
        super().__init__()
        d_head = width_of_head(d_model, n_heads)
        self.kernel = one_of("kernel", kernel, KERNELS)
        self.cutoff = one_of("cutoff", cutoff, CUTOFFS)
        self.n_heads, self.eps, self.sign = n_heads, eps, sign
        self.mass_in_value, self.form, self.rotary = mass_in_value, form, rotary
        axes = place or max(2, d_head // 2 - 2)
        self.place = nn.Linear(d_coord, n_heads * axes, bias=False)
        self.look = copy.deepcopy(self.place) if looking else None
        self.value = nn.Linear(d_model, d_model, bias=False)
        self.output = nn.Linear(d_model, d_model, bias=False)
        raw = math.log(math.expm1(strength / math.sqrt(d_head)))
        self.gamma = nn.Parameter(torch.full((n_heads,), raw))
        unit = 0.0 if kernel == "potential" else UNIT_MASS
        self.beta = nn.Parameter(torch.full((n_heads,), unit))
        raw = math.log(math.expm1(radius))
        self.rho = nn.Parameter(torch.full((n_heads,), raw))
        if cutoff == "none":
            self.rho.requires_grad_(False)
        # it would be one constant a row, which softmax does not see, or nothing
        if mass_in_value or not massive:
            self.beta.requires_grad_(False)

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

    @property
    def pull(self) -> Pull:
        """The kernel with this layer's strength, mass exponent and radius."""
        strength, beta, radius = (
            x[:, None, None] for x in (self.strength, self.mass_exponent, self.radius)
        )
        return Pull(self.kernel, strength, beta, self.eps, self.sign, self.cutoff,
                    radius, self.mass_in_value)

    def heads(self, x: Float[Tensor, "batch seq wide"]) -> Tensor:
        return in_heads(x, self.n_heads)

    def forward(
        self, x: Stream, z: Places, mass: Mass, traced: bool = True
    ) -> tuple[Stream, dict[str, Tensor | None]]:
        place, looking = self.heads(self.place(z)), None
        if self.look is not None:
            looking = self.heads(self.look(z))
        if self.rotary:
            place = turned(place)
            looking = None if looking is None else turned(looking)
        given = place, mass, self.heads(self.value(x)), self.pull
        if traced:
            mixed, seen = attend(*given, looking=looking)
        else:
            mixed, seen = fast_attend(*given, self.form, looking), {}
        return self.output(mixed.transpose(1, 2).flatten(2)), seen


@torch.no_grad()
def statistics(
    attention: GravityAttention, seen: dict[str, Tensor]
) -> dict[str, Float[Tensor, " head"]]:
    """What one layer's heads do: strength, radius, distance, entropy, share cut off.

    seen: the dict that its forward returned. `distance` is the mean r over pairs j < i,
    `entropy` the mean of −Σ w ln w over queries in nats, and `cut_off` the share of
    pairs j < i with r ≥ R (zero without a cutoff).
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
