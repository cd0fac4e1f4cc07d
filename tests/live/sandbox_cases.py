"""Random settings of the gravity sandbox, and what `lib` makes of them."""

import torch

from lib.attention.dot_product import attention_logits, masked_softmax
from lib.gravity.attention import (
    CUTOFFS,
    KERNELS,
    Pull,
    causal,
    cutoff_gate,
    gated_softmax,
    squared_distances,
)


def settings(count, seed=0):
    """Settings in turn of every kernel and cutoff; in every third, tokens coincide."""
    draw = torch.Generator().manual_seed(seed)

    def between(low, high, *shape):
        return low + (high - low) * torch.rand(*shape, generator=draw).double()

    def below(n):
        return int(torch.randint(n, (), generator=draw))

    for i in range(count):
        n, axes = 1 + below(24), 1 + below(4)
        places = between(-3, 3, n, axes)
        if i % 3 == 0:
            places[below(n)] = places[below(n)]
        yield {
            "places": places.tolist(), "mass": between(0.05, 6, n).tolist(),
            "values": between(-2, 2, n, 3).tolist(), "query": below(n),
            "pull": {
                "kernel": KERNELS[i % 3], "cutoff": CUTOFFS[i // 3 % 4],
                "sign": 1 if i % 2 else -1, "causal": bool(below(2)),
                "strength": between(0, 6, ()).item(), "beta": between(-2, 2, ()).item(),
                "eps": 10 ** between(-3, 0, ()).item(),
                "radius": between(0.1, 4, ()).item()}}


def exact(setting):
    """Weights and mixed values of the query by gravity and by the dot product."""
    z, mass, values = (torch.tensor(setting[name], dtype=torch.float64)
                       for name in ("places", "mass", "values"))
    pull, query = setting["pull"], setting["query"]
    number = {name: torch.tensor([[pull[name]]], dtype=torch.float64)
              for name in ("strength", "beta", "radius")}
    r2 = squared_distances(z)
    logits = Pull(pull["kernel"], **number, eps=pull["eps"], sign=pull["sign"],
                  cutoff=pull["cutoff"]).logits(r2, mass)
    visible = causal(len(z)) if pull["causal"] else None
    gate = cutoff_gate(r2, number["radius"], pull["cutoff"])
    heavy = gated_softmax(logits, gate, visible)[query]
    twin = masked_softmax(attention_logits(z, z), visible)[query]
    return [*heavy, *(heavy @ values), *twin, *(twin @ values)]
