"""The five analyses as matplotlib figures, each drawn from its table.

With a `step` column the figure shows how the thing changes over training. The font has
no Hangul: labels are romanised, and the figure says so; plots and tables show it.
"""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, cast

import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import MaxNLocator

from lib.page.figures import COLOURS, MUTED, SEQUENTIAL

INITIALS = ("g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj",
            "ch", "k", "t", "p", "h")
VOWELS = ("a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo",
          "u", "wo", "we", "wi", "yu", "eu", "ui", "i")
FINALS = ("", "k", "k", "k", "n", "n", "n", "t", "l", "k", "m", "l", "l", "l", "p", "l",
          "m", "p", "p", "t", "t", "ng", "t", "t", "k", "t", "p", "t")
PALETTE = list(COLOURS.values())
PARTS = {"q": COLOURS["attention"], "k": COLOURS["gravity"], "v": COLOURS["tokens"],
         "pre": COLOURS["grey"], "post": COLOURS["attention"]}
#: Titles of the columns of the tables.
MEASURES = {"norm": "norm", "spread": "spread", "cosine": "cosine between tokens",
            "change": "cosine with the one before"}
FEED_FORWARD = {"active": "share above zero", "effective": "effective share",
                "mean": "mean", "std": "standard deviation",
                "largest": "largest absolute value"}
GRADIENTS = {"ratio": "gradient norm / weight norm", "gradient": "gradient norm",
             "weight": "weight norm"}


@cache
def _letters() -> frozenset[int]:
    """The letters of the font that figures are drawn with."""
    font = FT2Font(font_manager.findfont("DejaVu Sans"))
    return frozenset(font.get_charmap())


def romanise(text: str) -> str:
    """Write Hangul syllables with Latin letters, one by one; leave the rest.

    Revised Romanization (2000) without the sound changes between syllables.

    >>> romanise("고양이 3월")
    'goyangi 3wol'
    """
    written = []
    for letter in text:
        place = ord(letter) - 0xAC00
        if 0 <= place < 11172:
            initial, rest = divmod(place, 588)
            vowel, final = divmod(rest, 28)
            letter = INITIALS[initial] + VOWELS[vowel] + FINALS[final]
        written.append(letter)
    return "".join(written)


def readable(labels: Sequence[str]) -> tuple[list[str], str]:
    """Labels that the font of the figures can draw, and what was done to them.

    Hangul is romanised; a label with other letters that the font lacks becomes its
    number. The note may be empty. No label reads as a formula.

    >>> readable(["a", "물", "猫"])
    (['a', 'mul', '#2'], 'Hangul romanised; #n: no letters for it')
    """
    shown, notes = [], {}
    for place, label in enumerate(labels):
        written = romanise(label)
        if written != label:
            notes["Hangul romanised"] = True
        if not all(ord(letter) in _letters() for letter in written):
            written = f"#{place}"
            notes["#n: no letters for it"] = True
        shown.append(written.replace("$", r"\$"))
    return shown, "; ".join(notes)


def place_of(row: pd.Series) -> str:
    """Say in words where the attention of this row of a table is."""
    return f"{sort_of(row.at['stack'], row.at['kind'])}, layer {row.at['layer']}"


def sort_of(stack: str, kind: str) -> str:
    """Say in words which sort of attention it is."""
    own = "cross-attention" if kind == "cross" else "self-attention"
    return own if kind == "cross" or not stack else f"{stack} {own}"


def sorts(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Take a table apart by sort of attention, in the order of the table."""
    groups = table.groupby(["stack", "kind"], sort=False)
    return [(sort_of(*cast(tuple[str, str], key)), group) for key, group in groups]


def means(table: pd.DataFrame, over: str, value: str) -> pd.Series:
    """Means of one column of a table, by another."""
    return cast(pd.Series, table.groupby(over)[value].mean())


def labels_along(table: pd.DataFrame, side: str) -> list[str]:
    """The tokens of a map along its queries or its keys, in order."""
    places = table.drop_duplicates(side).sort_values(side)
    return places[f"{side}_token"].tolist()


def _grid(rows: int, columns: int, width: float, height: float):
    return plt.subplots(rows, columns, figsize=(width, height), squeeze=False,
                        layout="constrained")


def _lines(
    axis: Axes, table: pd.DataFrame, over: str, value: str, **style: Any
) -> None:
    """A line of means; over layers with a band from the lowest head to the highest,
    over training with a faint line for each layer."""
    mean = means(table, over, value)
    if over == "step":
        for _, layer in table.groupby("layer"):
            one = means(layer, over, value)
            axis.plot(one.index, one, color=style["color"], linewidth=0.7, alpha=0.5)
    else:
        ends = cast(pd.DataFrame, table.groupby(over)[value].agg(["min", "max"]))
        axis.fill_between(ends.index, ends["min"].to_numpy(float),
                          ends["max"].to_numpy(float), color=style["color"],
                          alpha=0.12, linewidth=0)
    axis.plot(mean.index, mean, **style)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axis.set_xlabel(over)


def measured(table: pd.DataFrame, measures: Mapping[str, str]) -> dict[str, str]:
    """Those of the measures, with their titles, that a table has a number of."""
    return {name: title for name, title in measures.items()
            if table.loc[:, name].notna().any()}


def feed_forwards(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Take a table apart by stack, with its name in words."""
    return [(f"{stack} feed-forward".strip(), group)
            for stack, group in table.groupby("stack", sort=False)]


def of_matrices(table: pd.DataFrame, value: str) -> pd.DataFrame:
    """The rows of a table of gradients that are of a matrix and have this number."""
    return table.loc[(table["parameter"] == "weight") & (table[value] > 0)
                     & ~table["kind"].str.match("ln|.*embed")]


def _panels(
    table: pd.DataFrame, groups: Sequence[tuple[str, pd.DataFrame]],
    measures: Mapping[str, str], parts: Mapping[str, dict], width: float,
) -> tuple[Figure, np.ndarray]:
    """A panel for each group (down) and measure (across), with a line for each part."""
    over = "step" if "step" in table else "layer"
    figure, axes = _grid(len(groups), len(measures), width, 0.6 + 2.1 * len(groups))
    for row, (label, group) in zip(axes, groups, strict=True):
        for axis, name in zip(row, measures, strict=True):
            for part, style in parts.items():
                own = group.loc[group["part"] == part].dropna(subset=[name])
                if len(own):
                    _lines(axis, own, over, name, color=PARTS[part], **style)
        row[0].set_ylabel(label, fontsize=9)
    for axis, title in zip(axes[0], measures.values(), strict=True):
        axis.set_title(title, fontsize=9)
    axes[0][0].legend()
    return figure, axes


def qkv_figure(table: pd.DataFrame) -> Figure:
    """Size, spread and likeness of Q, K and V from `qkv_table`, a row a sort.

    Over layers, lines are means over heads and bands go from the lowest head to the
    highest; over training, strong lines are means over layers, faint ones the layers.
    """
    measures = measured(table, MEASURES)
    parts = {part: {"label": part.upper()} for part in "qkv"}
    return _panels(table, sorts(table), measures, parts, 2.4 * len(measures))[0]


def attention_figure(
    table: pd.DataFrame, attention: str | None = None,
    heads: Sequence[int] | None = None, steps: int = 5,
) -> Figure:
    """Attention maps of one layer of `attention_table`, `None` the last: all heads; or,
    of `Snapshots.attention`, the first four down and so many steps across."""
    known = table["attention"].unique()
    attention = known[-1] if attention is None else attention
    if attention not in known:
        raise ValueError(f"attention {attention!r} is not in the table; use one of "
                         f"{', '.join(known)}.")
    table = table.loc[table["attention"] == attention]
    heads = _chosen(table, heads, "step" in table)
    if "step" in table:
        every = table["step"].unique()
        picked = every[np.linspace(0, len(every) - 1, min(steps, len(every))).round()
                       .astype(int)]
        maps = [[(f"head {head} · step {step}", table.loc[
            (table["head"] == head) & (table["step"] == step)])
            for step in dict.fromkeys(picked.tolist())] for head in heads]
    else:
        across = 3 if len(heads) in (3, 5, 6, 9) else min(4, len(heads))
        flat = [(f"head {head}", table.loc[table["head"] == head]) for head in heads]
        maps = [flat[i : i + across] for i in range(0, len(flat), across)]
    side = 1.7 if "step" in table else 7.2 / len(maps[0])
    # long labels on two sides need room, once
    figure, axes = _grid(len(maps), len(maps[0]), 1.0 + side * len(maps[0]),
                         1.2 + side * len(maps))
    notes = {}
    for i, row in enumerate(axes):
        for j, axis in enumerate(row):
            if j >= len(maps[i]):
                axis.set_axis_off()
                continue
            notes[_map(axis, *maps[i][j], left=j == 0,
                       below=i == len(maps) - 1 or j >= len(maps[i + 1]))] = True
    figure.suptitle(place_of(table.iloc[0]), fontsize=11)
    figure.supylabel("query", fontsize=9)
    figure.supxlabel("key" + "".join(f" ({note})" for note in notes if note),
                     fontsize=8, color=MUTED)
    return figure


def _chosen(table: pd.DataFrame, heads: Sequence[int] | None, few: bool) -> list[int]:
    known = table["head"].unique().tolist()
    if heads is None:
        return known[:4] if few else known
    if wrong := [head for head in heads if head not in known]:
        raise ValueError(f"head {wrong[0]} is not there; use heads from 0 to "
                         f"{known[-1]}.")
    return list(heads)


def _map(axis: Axes, title: str, table: pd.DataFrame, left: bool, below: bool) -> str:
    matrix = table.pivot(index="query", columns="key", values="weight")
    axis.imshow(matrix, cmap=SEQUENTIAL["attention"], vmin=0, vmax=1, aspect="auto",
                interpolation="nearest")
    axis.set_title(title, fontsize=8)
    notes = []
    size = 7 if max(matrix.shape) <= 16 else 5
    for side, shown in (("query", left), ("key", below)):
        labels, note = readable(labels_along(table, side))
        notes.append(note)
        ticks: dict[str, Any] = {"ticks": []}
        if shown:
            ticks = {"ticks": range(len(labels)), "labels": labels, "fontsize": size}
        if side == "query":
            axis.set_yticks(**ticks)
            continue
        if shown:
            ticks["rotation"] = 90
        axis.set_xticks(**ticks)
    return max(notes, key=len)


def feed_forward_figure(table: pd.DataFrame) -> Figure:
    """Active and effective share and size before and after the activation, from
    `feed_forward_table`; over training as in `qkv_figure`."""
    measures = {name: FEED_FORWARD[name] for name in ("active", "effective", "std")}
    # a wide line below a narrow one: they may be the same
    parts = {"pre": {"label": "pre", "linewidth": 4},
             "post": {"label": "post", "linewidth": 1.6}}
    figure, axes = _panels(table, feed_forwards(table), measures, parts, 7.2)
    for row in axes:
        for axis, name in zip(row, measures, strict=True):
            axis.set_ylim(bottom=0, top=1 if name == "active" else None)
    return figure


def gradient_figure(table: pd.DataFrame, value: str = "ratio") -> Figure:
    """How large the `ratio`, `gradient` or `weight` of each kind of matrix is, from
    `gradient_table`, layer by layer; over training a mean over layers."""
    over = "step" if "step" in table else "layer"
    table = of_matrices(table, value)
    groups = list(table.groupby("stack", sort=False))
    figure, axes = _grid(1, len(groups), 7.2, 3.4)
    kinds = list(dict.fromkeys(table["kind"]))
    styles = ["-", "--", ":"]
    for axis, (stack, group) in zip(axes[0], groups, strict=True):
        for place, kind in enumerate(kinds):
            line = means(group.loc[group["kind"] == kind], over, value)
            if len(line):
                axis.plot(line.index, line, label=kind, marker="o", markersize=3,
                          color=PALETTE[place % len(PALETTE)],
                          linestyle=styles[place // len(PALETTE) % len(styles)])
        axis.set(yscale="log", xlabel=over, title=stack or None)
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes[0][0].set_ylabel(GRADIENTS[value])
    lines = {line.get_label(): line for axis in axes[0] for line in axis.lines}
    figure.legend(lines.values(), lines, loc="outside right upper", fontsize=8)
    return figure


def path_figure(table: pd.DataFrame) -> Figure:
    """Each token's path on two principal components, its norm and cosine to its start,
    from `path_table`; a ring is where a path starts, a dot where it ends."""
    figure = plt.figure(figsize=(7.2, 4.4), layout="constrained")
    places = figure.add_gridspec(2, 2, width_ratios=[1.6, 1])
    plane = figure.add_subplot(places[:, 0])
    norm, cosine = (figure.add_subplot(places[row, 1]) for row in range(2))
    tokens = list(table.groupby("place", sort=True))
    labels, note = readable([own["token"].iloc[0] for _, own in tokens])
    for place, (_, own) in enumerate(tokens):
        own = own.sort_values("layer")
        colour = PALETTE[place % len(PALETTE)]
        style = {"color": colour, "linewidth": 1.2}
        plane.plot(own["x"], own["y"], **style)
        plane.plot(own["x"].iloc[0], own["y"].iloc[0], "o", color=colour,
                   fillstyle="none", markersize=5)
        plane.plot(own["x"].iloc[-1], own["y"].iloc[-1], "o", color=colour,
                   markersize=4)
        plane.annotate(labels[place], (own["x"].iloc[-1], own["y"].iloc[-1]),
                       xytext=(4, 3), textcoords="offset points", fontsize=8)
        norm.plot(own["layer"], own["norm"], **style)
        cosine.plot(own["layer"], own["cosine"], **style)
    share = table.attrs.get("explained")
    parts = [f" ({part:.0%})" for part in share] if share else ["", ""]
    axis_names = [f"PC{n}{part}" for n, part in enumerate(parts, start=1)]
    plane.set(xlabel=axis_names[0], ylabel=axis_names[1])
    norm.set(title="norm")
    norm.set_ylim(bottom=0)
    for axis in (norm, cosine):
        axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    cosine.set(title="cosine to the start", xlabel="layer", ylim=(None, 1.02))
    if note:
        figure.supxlabel(note, fontsize=8, color=MUTED)
    return figure
