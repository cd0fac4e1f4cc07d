"""Models of the original Newton Gravity Transformer, computed as it computes them.

With ⟨m⟩ = softplus(mass_emb), d² the squared distance of two tokens on the axes of a
head, γ = softplus(gamma) and R = softplus(radius), its attention is

    logit_ij = m_i m_j (−γ / (d²_ij + 10⁻⁶) + β)      softmax over j ≤ i

so that near tokens score lowest. A hard cutoff leaves out d² > R²; a soft one
multiplies the logit by relu(1 − d²/R²), which lifts far tokens to 0, above all others.
With mass in the value, the logit has no masses and v_j is multiplied by m_j.
Coordinates start as an embedding of the position and move, z ← LN(z + W a), where a is
the output of the attention. Three things differ between the program's versions, and a
file tells which one wrote it:

    W acts on z itself               where W takes as many numbers as z has
    W acts on LN(h), β = 0           where there is no gravity_bias (January)
    j is i, one of the 64 before it, or 96, 128, 192 or 256 before it
                                     where use_sparse_pattern is set (the newest)

The modules have the names that its files have (`lib.gravity.original_files` reads
them), and the interface of `lib.gravity.model`.

Source of the format: leetae9yu/newton-gravity-transformer (MIT).
"""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from lib.gravity.attention import causal, squared_distances
from lib.gravity.layers import Ids, Mass, Places, Stream, in_heads
from lib.gravity.model import Layers, Logits

EPS = 1e-6  # beside d²
FIRST_RADIUS = 4.0  # what a file without a radius stands for
NEAR, FAR = 64, (96, 128, 192, 256)  # how far back the sparse pattern looks


@dataclass(frozen=True)
class LegacyConfig:
    """Sizes and switches of a model of the original."""

    vocab: int
    context: int
    d_model: int
    n_layers: int
    n_heads: int
    d_ff: int
    d_coord: int | None = None  # None: vanilla
    place: int = 16  # axes of the coordinates of a head
    cutoff: str = "none"  # none, hard or soft
    mass_in_value: bool = False
    moved_by: str = "output"  # of the attention, or its input, or coordinates
    sparse: bool = False  # whether a token sees some of those before it only

    @property
    def attention(self) -> str:
        """The kind of attention: `dot`, or `potential` for the gravity of the file."""
        return "dot" if self.d_coord is None else "potential"


class LegacyAttention(nn.Module):
    """Attention of the original; forward(x, z, mass) → the output, the next z."""

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.config, d_model = config, config.d_model
        self.v_proj, self.out_proj = (nn.Linear(d_model, d_model) for _ in range(2))
        if config.d_coord is None:
            self.q_proj, self.k_proj = (nn.Linear(d_model, d_model) for _ in range(2))
            return
        heads = (1, config.n_heads, 1, 1)
        self.gamma = nn.Parameter(torch.zeros(heads))
        self.gravity_bias = nn.Parameter(torch.zeros(heads))
        self.radius_param = nn.Parameter(torch.tensor(FIRST_RADIUS))
        axes = config.n_heads * config.place
        self.coord_proj_attn = nn.Linear(config.d_coord, axes)
        moving = config.d_coord if config.moved_by == "coordinates" else d_model
        self.coord_proj_next = nn.Linear(moving, config.d_coord)

    def logits(self, z: Places, mass: Mass) -> Float[Tensor, "batch head seq seq"]:
        """What the softmax is taken of, beside the future."""
        place = in_heads(self.coord_proj_attn(z), self.config.n_heads)
        d2 = squared_distances(place) * place.shape[-1]
        force = -F.softplus(self.gamma) / (d2 + EPS) + self.gravity_bias
        if not self.config.mass_in_value:
            force = force * (mass[:, None, :, None] * mass[:, None, None, :])
        reach = F.softplus(self.radius_param).square()
        if self.config.cutoff == "soft":
            force = force * F.relu(1 - d2 / reach)
        elif self.config.cutoff == "hard":
            force = force.masked_fill(d2 > reach, -torch.inf)
        return force

    def seen(self, length: int, device: torch.device) -> Bool[Tensor, "query key"]:
        """Which tokens a token looks at: those before it, or some of them."""
        before = causal(length, device)
        if not self.config.sparse:
            return before
        places = torch.arange(length, device=device)
        back = places[:, None] - places
        far = (back[..., None] == torch.tensor(FAR, device=device)).any(-1)
        return before & ((back <= NEAR) | far)

    def forward(self, x: Stream, z: Any, mass: Any) -> tuple[Stream, Places | None]:
        n_heads = self.config.n_heads
        value = in_heads(self.v_proj(x), n_heads)
        if z is None:
            q, k = (in_heads(part(x), n_heads) for part in (self.q_proj, self.k_proj))
            pulled = F.scaled_dot_product_attention(q, k, value, is_causal=True)
            return self.out_proj(pulled.transpose(1, 2).flatten(2)), None
        if self.config.mass_in_value:
            value = value * mass[:, None, :, None]
        seen = self.seen(x.shape[1], x.device)
        weights = self.logits(z, mass).masked_fill(~seen, -torch.inf).softmax(-1)
        output = self.out_proj((weights @ value).transpose(1, 2).flatten(2))
        mover = {"output": output, "input": x, "coordinates": z}[self.config.moved_by]
        return output, self.coord_proj_next(mover)


class LegacyBlock(nn.Module):
    """h ← h + attention(LN h), h ← h + feed-forward(LN h), z ← LN(z + W a)."""

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.attn = LegacyAttention(config)
        wide = nn.Linear(config.d_model, config.d_ff)
        narrow = nn.Linear(config.d_ff, config.d_model)
        net = nn.Sequential(wide, nn.GELU(), nn.Identity(), narrow)
        self.ffn = nn.Sequential(OrderedDict(net=net))  # the names in the files
        self.norm1, self.norm2 = (nn.LayerNorm(config.d_model) for _ in range(2))
        if config.d_coord is not None:
            self.coord_norm = nn.LayerNorm(config.d_coord)

    def forward(self, x: Stream, z, mass) -> tuple[Stream, Places | None]:
        pulled, moved = self.attn(self.norm1(x), z, mass)
        x = x + pulled
        x = x + self.ffn(self.norm2(x))
        return x, None if z is None else self.coord_norm(z + moved)


class LegacyModel(nn.Module):
    """A model of the original, for reading: without dropout.

    model.trace(ids) returns the logits and, for each layer, the coordinates `z` that it
    reads and the `mass` of each token (both None for vanilla).

    >>> tiny = LegacyConfig(7, 8, d_model=8, n_layers=2, n_heads=2, d_ff=16, d_coord=4)
    >>> LegacyModel(tiny)(torch.tensor([[1, 2, 3]])).shape
    torch.Size([1, 3, 7])
    """

    def __init__(self, config: LegacyConfig):
        super().__init__()
        self.config = config
        self.token_emb = nn.Embedding(config.vocab, config.d_model)
        if config.d_coord is None:
            self.pos_emb = nn.Embedding(config.context, config.d_model)
        else:
            self.mass_emb = nn.Embedding(config.vocab, 1)
            self.coord_emb = nn.Embedding(config.context, config.d_coord)
        self.layers = nn.ModuleList(
            LegacyBlock(config) for _ in range(config.n_layers)
        )
        self.norm = nn.LayerNorm(config.d_model)
        self.head = nn.Linear(config.d_model, config.vocab)

    def trace(self, ids: Ids) -> tuple[Logits, Layers]:
        length, config = ids.shape[1], self.config
        if length > config.context:
            raise ValueError(
                f"{length} tokens came, the model was built for {config.context}; "
                "pass fewer"
            )
        x, z, mass = self.token_emb(ids), None, None
        if config.d_coord is None:
            x = x + self.pos_emb.weight[:length]
        else:
            mass = F.softplus(self.mass_emb(ids)[..., 0])
            z = self.coord_emb.weight[:length].expand(len(ids), -1, -1)
        layers = []
        for layer in self.layers:
            layers.append({"z": z, "mass": mass})
            x, z = layer(x, z, mass)
        return self.head(self.norm(x)), layers

    def forward(self, ids: Ids) -> Logits:
        return self.trace(ids)[0]
