"""Two texts, one above the other, and a line for every weight between their tokens."""

import matplotlib.pyplot as plt
from jaxtyping import Float
from matplotlib.figure import Figure
from torch import Tensor

from lib.page.figures import COLOURS, INK

FAINT = 0.02  # weights below it are not drawn


def alignment(
    reads: list[str], writes: list[str], weights: Float[Tensor, "write read"],
) -> Figure:
    """Draw what each token below looks at above: width and opacity are the weight."""
    figure, axis = plt.subplots(figsize=(7.2, 2.5))
    places = [[(i + 0.5) / len(tokens) for i in range(len(tokens))]
              for tokens in (reads, writes)]
    for write, row in zip(places[1], weights.tolist(), strict=True):
        for read, weight in zip(places[0], row, strict=True):
            if weight >= FAINT:
                axis.plot([read, write], [0.86, 0.14], color=COLOURS["attention"],
                          alpha=round(weight, 2), linewidth=0.6 + 3.2 * weight,
                          solid_capstyle="round")
    for tokens, row, height in ((reads, places[0], 0.94), (writes, places[1], 0.06)):
        for token, place in zip(tokens, row, strict=True):
            axis.text(place, height, token, ha="center", va="center", color=INK,
                      fontsize=11 if len(token) < 4 else 9)
    axis.set(xlim=(0, 1), ylim=(-0.05, 1.05))
    axis.axis("off")
    return figure
