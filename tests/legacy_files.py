"""Files of the original NGT, written from the description of their format.

`write` makes a file as the original's versions did; `reference` computes its logits in
float64, one token after the other, from the formulas of that description alone.
"""

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

SIZES = {"vocab_size": 7, "max_seq_len": 12, "hidden_dim": 8, "num_layers": 2,
         "num_heads": 2, "mlp_dim": 12}
CHARACTERS = "abcdefg"
PLACE = 16  # axes of the coordinates of a head
SPARSE = (96, 128, 192, 256)  # beside itself and the 64 before it
#: The versions, as their files tell of them.
OFF = {"use_radius_cutoff": False, "use_rsqrt": False, "mass_in_value": False,
       "use_soft_cutoff": False}
VERSIONS: dict[str, dict[str, Any]] = {
    "ngt_soft": OFF | {"use_radius_cutoff": True, "use_soft_cutoff": True},
    "ngt_hard_rsqrt": OFF | {"use_radius_cutoff": True, "use_rsqrt": True},
    "ngt_without_mass": OFF | {"use_radius_cutoff": True, "use_rsqrt": True},
    "ngt_mass_in_value": OFF | {"mass_in_value": True},
    "ngt_january": {"use_radius_cutoff": False},
    "ngt_sparse": OFF | {"use_sparse_pattern": True},
    "ngt_sparse_soft": OFF | {"use_sparse_pattern": True, "use_radius_cutoff": True,
                              "use_soft_cutoff": True},
    "vanilla": {},
}


def config_of(name: str, **sizes: Any) -> dict[str, Any]:
    """The `config` of a version's file."""
    config = SIZES | {"dropout": 0.1, "dataset": "shakespeare", "seed": 42} | sizes
    if name != "vanilla":
        config |= {"coord_dim": 6} | VERSIONS[name]
    if name not in ("ngt_without_mass", "ngt_january", "vanilla"):
        config["model_type"] = "ngt"
    return config


def weights_of(name: str, config: dict[str, Any], seed: int = 5) -> dict[str, Tensor]:
    """Random weights with the names and shapes of a version, all of them far from 0."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return 0.5 * torch.randn(shape, generator=generator)

    d, d_coord = config["hidden_dim"], config.get("coord_dim")
    heads, wide = config["num_heads"], config["mlp_dim"]
    vocab, length = config["vocab_size"], config["max_seq_len"]
    state = {"token_emb.weight": normal(vocab, d), "head.bias": normal(vocab)}
    state["head.weight"] = state["token_emb.weight"]  # tied
    norms, maps = {"norm": d}, {}
    if name == "vanilla":
        state["pos_emb.weight"] = normal(length, d)
    else:
        state["coord_emb.weight"] = normal(length, d_coord)
        if name not in ("ngt_without_mass", "ngt_january"):
            state["mass_emb.weight"] = normal(vocab, 1)
    for n in range(config["num_layers"]):
        at = f"layers.{n}."
        norms |= {at + "norm1": d, at + "norm2": d}
        maps |= {at + "attn.v_proj": (d, d), at + "attn.out_proj": (d, d),
                 at + "ffn.net.0": (wide, d), at + "ffn.net.3": (d, wide)}
        if name == "vanilla":
            maps |= {at + "attn.q_proj": (d, d), at + "attn.k_proj": (d, d)}
            continue
        norms[at + "coord_norm"] = d_coord
        maps |= {at + "attn.coord_proj_attn": (PLACE * heads, d_coord),
                 at + "attn.coord_proj_next": (d_coord, d)}
        state[at + "attn.gamma"] = normal(1, heads, 1, 1)
        state[at + "attn.radius_param"] = torch.tensor(2.0)
        if name != "ngt_january":
            state[at + "attn.gravity_bias"] = normal(1, heads, 1, 1)
    for norm, size in norms.items():
        state |= {norm + ".weight": 1 + normal(size), norm + ".bias": normal(size)}
    for linear, shape in maps.items():
        state[linear + ".weight"] = normal(*shape)
        state[linear + ".bias"] = normal(shape[0])
    return state


def write(
    file: Path, name: str = "ngt_mass_in_value", state: dict[str, Tensor] | None = None,
    vocab: dict[str, Any] | None = None, **config: Any,
) -> Path:
    """Write a file of a version; state, vocab, config: other than it would hold."""
    config = config_of(name) | config
    content = {
        "model_state": weights_of(name, config) if state is None else state,
        "iter": 50, "best_val": 3.0, "config": config,
        "vocab": vocab or {"type": "char", "stoi": {c: i for i, c in enumerate(
            CHARACTERS)}},
    }
    torch.save(content, file)
    return file


def reference(
    name: str, config: dict[str, Any], state: dict[str, Tensor], ids: list[int]
) -> tuple[Tensor, list[Tensor]]:
    """The logits of a version, (seq, vocab), and the coordinates before each layer."""
    state = {key: value.double() for key, value in state.items()}
    d, heads, n = config["hidden_dim"], config["num_heads"], len(ids)

    def linear(which: str, x: Tensor) -> Tensor:
        return state[which + ".weight"] @ x + state[which + ".bias"]

    def normed(which: str, x: Tensor) -> Tensor:
        centred = x - x.mean()
        scaled = centred / (centred.square().mean() + 1e-5).sqrt()
        return state[which + ".weight"] * scaled + state[which + ".bias"]

    def part(x: Tensor, h: int) -> Tensor:
        return x.reshape(heads, -1)[h]

    def softplus(x: Tensor) -> Tensor:
        return (1 + x.exp()).log()

    hidden = [state["token_emb.weight"][i] for i in ids]
    z, coordinates, mass = None, [], [torch.ones((), dtype=torch.float64)] * n
    if name == "vanilla":
        hidden = [x + state["pos_emb.weight"][p] for p, x in enumerate(hidden)]
    else:
        z = list(state["coord_emb.weight"][:n])
        if "mass_emb.weight" in state:
            mass = [softplus(state["mass_emb.weight"][i, 0]) for i in ids]
    for layer in range(config["num_layers"]):
        at = f"layers.{layer}."
        read = [normed(at + "norm1", x) for x in hidden]
        values = [linear(at + "attn.v_proj", x) for x in read]
        if z is None:
            queries = [linear(at + "attn.q_proj", x) for x in read]
            keys = [linear(at + "attn.k_proj", x) for x in read]
        else:
            coordinates.append(torch.stack(z))
            places = [linear(at + "attn.coord_proj_attn", p) for p in z]
            gamma = softplus(state[at + "attn.gamma"].flatten())
            bias = state.get(at + "attn.gravity_bias", torch.zeros(heads)).flatten()
            radius = softplus(state[at + "attn.radius_param"])
        outputs = []
        for i in range(n):
            pulled = []
            for h in range(heads):
                scores, carried = [], []
                for j in range(i + 1):
                    value = part(values[j], h)
                    if z is None:
                        score = part(queries[i], h) @ part(keys[j], h)
                        score = score / math.sqrt(d // heads)
                    else:
                        d2 = (part(places[i], h) - part(places[j], h)).square().sum()
                        score = -gamma[h] / (d2 + 1e-6) + bias[h]
                        if config.get("mass_in_value"):
                            value = value * mass[j]
                        else:
                            score = score * mass[i] * mass[j]
                        if config.get("use_radius_cutoff", True):
                            if config.get("use_soft_cutoff"):
                                score = score * F.relu(1 - d2 / radius**2)
                            elif d2 > radius**2:
                                continue
                        far = i - j > 64 and i - j not in SPARSE
                        if config.get("use_sparse_pattern") and far:
                            continue
                    scores.append(score)
                    carried.append(value)
                weights = torch.stack(scores).softmax(0)
                pulled.append(weights @ torch.stack(carried))
            outputs.append(linear(at + "attn.out_proj", torch.cat(pulled)))
        hidden = [x + output for x, output in zip(hidden, outputs, strict=True)]
        for i, x in enumerate(hidden):
            wide = F.gelu(linear(at + "ffn.net.0", normed(at + "norm2", x)))
            hidden[i] = x + linear(at + "ffn.net.3", wide)
        if z is not None:
            movers = read if name == "ngt_january" else outputs
            z = [normed(at + "coord_norm", p + linear(at + "attn.coord_proj_next", by))
                 for p, by in zip(z, movers, strict=True)]
    logits = [linear("head", normed("norm", x)) for x in hidden]
    return torch.stack(logits), coordinates
