"""Five analyses of what a model does inside: a table, a figure, an interactive plot.

| | table | `…_figure` (matplotlib), `…_plot` (plotly) of |
|---|---|---|
| a. queries, keys, values | `qkv_table(traced)` | `qkv` |
| b. attention maps | `attention_table(traced)` | `attention` |
| c. feed-forward | `feed_forward_table(traced)` | `feed_forward` |
| d. gradient flow | `gradient_table(model)`, after backward | `gradient` |
| e. path of each token | `path_table(traced)` | `path` |

Figures and plots take the table. All work for encoders, decoders and both together,
of `lib` and of `transformers`. A table that has a `step` column (from `Snapshots`)
makes figure and plot show the evolution over training; `heads_table` says where each
head looks.

    tokens = {"encoder": source_pieces, "decoder": target_pieces}   # or one list
    with torch.no_grad(), trace(model) as traced:
        model(**batch)
    table = attention_table(traced, tokens, names=["decoder.blocks.0.cross"])
    show(attention_figure(table), table=as_matrix(table, head=3))

Over training, with the callback of either loop:

    snapshots = Snapshots(batch, tokens, every=50, loss=loss)
    fit(model, …, on_step=snapshots)            # or TracingTrainer(on_step=snapshots)
    save_png(qkv_figure(snapshots.qkv), folder / "qkv_evolution.png")
    save_png(attention_figure(snapshots.attention()), folder / "maps_evolution.png")
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor, nn

from lib.files import replaced
from lib.page.figures import PAPER, labels_as_written
from lib.trace.figures import (
    attention_figure,
    feed_forward_figure,
    gradient_figure,
    labels_along,
    path_figure,
    qkv_figure,
)
from lib.trace.flow import gradient_table, path_table
from lib.trace.layout import unwrap
from lib.trace.plots import (
    attention_plot,
    feed_forward_plot,
    gradient_plot,
    path_plot,
    qkv_plot,
)
from lib.trace.record import Record
from lib.trace.recorder import trace
from lib.trace.tables import (
    Tokens,
    attention_table,
    feed_forward_table,
    heads_table,
    qkv_table,
)

__all__ = [
    "Snapshots", "as_matrix", "attention_figure", "attention_plot", "attention_table",
    "feed_forward_figure", "feed_forward_plot", "feed_forward_table",
    "gradient_figure", "gradient_plot", "gradient_table", "heads_table", "path_figure",
    "path_plot", "path_table", "qkv_figure", "qkv_plot", "qkv_table", "save_png",
]

def as_matrix(table: pd.DataFrame, head: int = 0, **where: Any) -> pd.DataFrame:
    """Write one attention map of a table as a matrix, queries down and keys across.

    `where` chooses by further columns, such as `layer=0` or `step=100`; without them
    the last value of `step` and `attention` counts.

    >>> from lib.attention.dot_product import MultiHeadAttention
    >>> layer = MultiHeadAttention(8, n_heads=2)
    >>> with trace(layer) as traced:
    ...     output = layer(torch.zeros(1, 2, 8))
    >>> as_matrix(attention_table(traced, ["a", "b"])).to_numpy().tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    for column, value in ({"head": head} | where).items():
        if column not in table:
            raise ValueError(f"the table has no column {column!r}; choose by one of "
                             f"{', '.join(table)}.")
        if value not in (known := table[column].unique().tolist()):
            raise ValueError(f"{column} {value!r} is not there; use one of "
                             f"{', '.join(map(str, known[:20]))}.")
        table = table.loc[table[column] == value]
    for column in ("attention", "step"):
        if column in table and len(table):
            table = table.loc[table[column] == table[column].iloc[-1]]
    matrix = table.pivot(index="query", columns="key", values="weight")
    return pd.DataFrame(matrix.to_numpy(), index=labels_along(table, "query"),
                        columns=labels_along(table, "key"))


def save_png(figure: Any, path: Path | str, dpi: int = 150) -> Path:
    """Write a matplotlib figure as a PNG file, whole or not at all, and close it.
    Raises TypeError for a plotly figure, which needs a browser to draw."""
    if not isinstance(figure, Figure):
        raise TypeError(
            f"save_png writes matplotlib figures and a {type(figure).__name__} came; "
            "use the …_figure function instead of …_plot."
        )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        labels_as_written(figure)
        with replaced(path) as draft:
            figure.savefig(draft, format="png", dpi=dpi, facecolor=PAPER,
                           bbox_inches="tight")
    finally:
        plt.close(figure)
    return path


class Snapshots:
    """Trace one fixed batch every few steps of a training, and keep what is small.

    >>> from lib.attention.decoder import DecoderConfig, DecoderLM
    >>> model = DecoderLM(DecoderConfig(vocab=9, d_model=8, n_heads=2, n_layers=1))
    >>> snapshots = Snapshots({"ids": torch.tensor([[1, 2, 3]])}, ["a", "b", "c"])
    >>> for step in range(2):
    ...     snapshots(step, model)
    >>> snapshots.steps, snapshots.qkv["step"].unique().tolist()
    ([0, 1], [0, 1])

    Called as `snapshots(step, model)` or, by `lib.training.loop.fit`, with its `Step`.
    The training does not notice: the model is traced in evaluation mode, on a batch of
    its own, and modes, gradients and random numbers are afterwards what they were.

    The model is called with `batch`, keyword arguments (a mapping) or positional ones;
    `tokens` label its sequence `row`. Step 0 and the last one (where known) count as
    well. loss: `loss(model, batch)`, a scalar or the pair (sum, number of tokens); with
    it gradients are recorded. The tables `qkv` (each compared with the one before),
    `heads`, `feed_forward`, `gradients` have a column `step` in front.
    """

    def __init__(
        self, batch: Mapping[str, Tensor] | Sequence[Tensor], tokens: Tokens = None,
        every: int = 1, row: int = 0,
        loss: Callable[[nn.Module, Any], Any] | None = None,
    ) -> None:
        if every < 1:
            raise ValueError(f"every is {every}; use 1 or more steps.")
        self.batch, self.tokens, self.every = batch, tokens, every
        self.row, self.loss = row, loss
        self.steps: list[int] = []
        self._tables: dict[str, list[pd.DataFrame]] = {}
        self._weights: list[Record] = []
        self._before: Record | None = None

    def __call__(self, step: Any, model: nn.Module | None = None) -> None:
        number = getattr(step, "step", step)
        if number % self.every == 0 or number == getattr(step, "steps", None):
            self.take(number, step.model if model is None else model)

    def take(self, step: int, model: nn.Module) -> None:
        """Take a snapshot now."""
        model = unwrap(model)
        modes = {module: module.training for module in model.modules()}
        gradients = {parameter: parameter.grad for parameter in model.parameters()}
        model.eval()
        try:
            with torch.random.fork_rng():
                self._take(step, model)
        finally:
            for module, mode in modes.items():
                module.training = mode
            for parameter, gradient in gradients.items():
                parameter.grad = gradient

    def _take(self, step: int, model: nn.Module) -> None:
        device = next(model.parameters()).device
        if isinstance(self.batch, Mapping):
            batch = {name: x.to(device) for name, x in self.batch.items()}
        else:
            batch = tuple(x.to(device) for x in self.batch)
        names = ("*attn.[qkv]", "*cross.[qkv]", "*.pattern", "*mlp.pre", "*mlp.post")
        with trace(model, names) as traced, torch.set_grad_enabled(bool(self.loss)):
            if self.loss is not None:
                for parameter in model.parameters():
                    parameter.grad = None
                loss = self.loss(model, batch)
                loss = loss[0] / loss[1] if isinstance(loss, tuple) else loss
                loss.backward()
            elif isinstance(batch, dict):
                model(**batch)
            else:
                model(*batch)
        where = self.tokens, self.row
        tables = {"qkv": qkv_table(traced, *where, self._before),
                  "heads": heads_table(traced, *where)}
        if any(name.endswith("mlp.pre") for name in traced):
            tables["feed_forward"] = feed_forward_table(traced, *where)
        if self.loss is not None:
            tables["gradients"] = gradient_table(model)
        for name, table in tables.items():
            table.insert(0, "step", step)
            self._tables.setdefault(name, []).append(table)
        self._weights.append(Record(traced.blocks, traced.leaves, traced.computed, {
            name: traced[name][self.row, None].float().cpu().clone()
            for name in traced.only("*.pattern")
        }))
        self._before = traced.only("*.[qkv]")
        self.steps.append(step)

    def _table(self, name: str) -> pd.DataFrame:
        if name not in self._tables:
            why = ("give Snapshots a loss" if name == "gradients" and self.steps
                   else "pass it as on_step, or call take(step, model)")
            raise ValueError(f"no snapshot holds {name}; {why}.")
        return pd.concat(self._tables[name], ignore_index=True)

    @property
    def qkv(self) -> pd.DataFrame:
        return self._table("qkv")

    @property
    def heads(self) -> pd.DataFrame:
        return self._table("heads")

    @property
    def feed_forward(self) -> pd.DataFrame:
        return self._table("feed_forward")

    @property
    def gradients(self) -> pd.DataFrame:
        return self._table("gradients")

    def attention(self, name: str | None = None) -> pd.DataFrame:
        """The maps of one attention layer, such as `"decoder.blocks.0.cross"` (`None`:
        the last), at every snapshot, as `attention_table`."""
        if not self.steps:
            raise ValueError("there is no snapshot yet; pass Snapshots as on_step, or "
                             "call take(step, model).")
        name = self._weights[0].attentions[-1] if name is None else name
        tables = [attention_table(weights, self.tokens, names=name)
                  for weights in self._weights]
        for step, table in zip(self.steps, tables, strict=True):
            table.insert(0, "step", step)
        return pd.concat(tables, ignore_index=True)
