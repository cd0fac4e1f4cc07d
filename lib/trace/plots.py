"""The five analyses as plotly figures: menus and sliders that need no kernel.

Each is drawn from its table; `show` of `lib.page.figures` prints it. A slider and a
menu change different things (the numbers, and which traces are seen), so that they can
be moved in any order.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from lib.trace import figures

#: From nothing, where the page shows through, to the colour of attention.
WEIGHTS = [[0, "rgba(65,105,225,0)"], [1, "rgba(65,105,225,1)"]]


def _numbers(values: Any) -> list:
    """Numbers with four digits, as JSON holds them: `None` where there is none."""
    return [float(f"{value:.4g}") if math.isfinite(value) else None
            for value in np.asarray(values, dtype=float).ravel().tolist()]


def _distinct(labels: Sequence[str]) -> list[str]:
    """Tell equal labels apart by spaces of no width: an axis has each name once."""
    seen, distinct = Counter(), []
    for label in labels:
        distinct.append(label + "\u200b" * seen[label])
        seen[label] += 1
    return distinct


def _slider(labels: Sequence[Any], changes: Sequence[list], name: str, active: int):
    steps = [{"method": "restyle", "label": str(label), "args": change}
             for label, change in zip(labels, changes, strict=True)]
    return {"active": active, "steps": steps, "pad": {"t": 44},
            "currentvalue": {"prefix": f"{name} "}}


def _menu(choices: Mapping[str, tuple[list[bool], dict]], pad: int):
    buttons = [{"method": "update", "label": label,
                "args": [{"visible": visible}, changes]}
               for label, (visible, changes) in choices.items()]
    return {"buttons": buttons, "x": 0, "xanchor": "left", "y": 1.0,
            "yanchor": "bottom", "pad": {"b": pad}, "showactive": True}


def _range(values: pd.Series, log: bool) -> list[float]:
    values = values.loc[np.isfinite(values) & ((values > 0) | (not log))]
    if not len(values):
        return [0, 1]
    low, high = values.min(), values.max()
    if log:
        low, high = math.log10(low), math.log10(high)
    room = 0.05 * (high - low) or 0.5
    return [low - room, high + room]


def _lines(
    panels: Mapping[str, Mapping[str, pd.DataFrame]], styles: Mapping[str, dict],
    measures: Mapping[str, str], log: bool = False,
) -> go.Figure:
    """Panels of lines over layers: a menu of measures, a slider of steps if any."""
    lines = [(row, label, own) for row, panel in enumerate(panels.values(), start=1)
             for label, own in panel.items()]
    table = pd.concat([own for *_, own in lines])
    measures = figures.measured(table, measures)
    steps = sorted(table["step"].unique().tolist()) if "step" in table else [None]
    figure = make_subplots(len(panels), 1, shared_xaxes=True, vertical_spacing=0.3 /
                           len(panels), subplot_titles=list(panels))
    values, named = {step: [] for step in steps}, set()
    for measure in measures:
        for row, label, own in lines:
            layers = sorted(own["layer"].unique().tolist())
            for step in steps:
                at = own if step is None else own.loc[own["step"] == step]
                mean = figures.means(at, "layer", measure).reindex(layers)
                values[step].append(_numbers(mean))
            figure.add_scatter(
                x=layers, y=values[steps[-1]][-1], name=label, legendgroup=label,
                mode="lines+markers", visible=measure == next(iter(measures)), row=row,
                col=1,
                showlegend=(measure, label) not in named, **styles[label],
            )
            named.add((measure, label))
    axes = ["yaxis" + str(row) * (row > 1) for row in range(1, len(panels) + 1)]
    choices = {}
    for measure, title in measures.items():
        seen = [other == measure for other in measures for _ in lines]
        ends = _range(table.loc[:, measure], log)
        choices[title] = seen, {f"{axis}.range": ends for axis in axes}
    # pixels: of all panels, of a title, of the legend on a phone
    plot, title, legend = 170 * len(panels), 22, 20 * math.ceil(len(styles) / 2)
    figure.update_layout(
        height=plot + title + legend + 160,
        margin={"l": 60, "r": 20, "t": title + legend + 50, "b": 110},
        legend={"orientation": "h", "x": 0, "y": 1 + title / plot,
                "yanchor": "bottom", "tracegroupgap": 0},
        updatemenus=[_menu(choices, title + legend + 8)],
    )
    # the titles of the panels
    figure.update_annotations(font={"size": 12}, x=1, xanchor="right")
    layers = table.loc[:, "layer"].nunique()
    figure.update_xaxes(dtick=1 if layers < 16 else 5, zeroline=False)
    figure.update_xaxes(title={"text": "layer", "font": {"size": 12}}, row=len(panels))
    figure.update_yaxes(range=next(iter(choices.values()))[1]["yaxis.range"],
                        type="log" if log else "linear", zeroline=False)
    if log:
        figure.update_yaxes(dtick=1, exponentformat="power")
    if steps != [None]:
        figure.update_layout(sliders=[_slider(
            steps, [[{"y": values[step]}] for step in steps], "step", len(steps) - 1
        )])
    return figure


def qkv_plot(table: pd.DataFrame) -> go.Figure:
    """Q, K and V layer by layer, means over heads of `qkv_table`: a menu of measures, a
    slider of training steps."""
    panels = {sort: {part.upper(): group.loc[group["part"] == part] for part in "qkv"}
              for sort, group in figures.sorts(table)}
    styles = {part.upper(): {"line": {"color": figures.PARTS[part]}} for part in "qkv"}
    return _lines(panels, styles, figures.MEASURES)


def attention_plot(table: pd.DataFrame, sort: str | None = None) -> go.Figure:
    """An attention map: a slider of layers and a menu of heads, or, over training, a
    slider of steps and a menu of layers and heads.

    sort: `"self-attention"`, `"encoder self-attention"`, `"decoder self-attention"` or
    `"cross-attention"`, ValueError without it in the table; `None`: the last.
    """
    groups = dict(figures.sorts(table))
    sort = list(groups)[-1] if sort is None else sort
    if sort not in groups:
        raise ValueError(f"{sort!r} is not in the table; use one of "
                         f"{', '.join(groups)}.")
    table, over = groups[sort], "step" if "step" in table else "layer"
    maps = ["layer", "head"] if over == "step" else ["head"]
    stops = sorted(table[over].unique().tolist())
    labels = [_distinct(figures.labels_along(table, side)) for side in ("query", "key")]
    shape = len(labels[0]), len(labels[1])
    matrices: dict[Any, dict[str, list]] = {stop: {} for stop in stops}
    for key, own in table.sort_values([*maps, over, "query", "key"]).groupby(
        [over, *maps], sort=True
    ):
        stop, *places = cast(tuple, key)
        name = " · ".join(f"{part} {value}"
                          for part, value in zip(maps, places, strict=True))
        weights = own["weight"].to_numpy().reshape(shape).round(3)
        matrices[stop][name] = weights.tolist()
    names = list(matrices[stops[0]])
    last = len(stops) - 1 if over == "step" else 0
    figure = go.Figure([
        go.Heatmap(z=matrices[stops[last]][name], x=labels[1], y=labels[0],
                   zmin=0, zmax=1, colorscale=WEIGHTS, visible=name == names[0],
                   xgap=1, ygap=1, showscale=False, name=name,
                   hovertemplate="%{y} → %{x}: %{z:.1%}<extra></extra>")
        for name in names
    ])
    changes = [[{"z": [matrices[stop][name] for name in names]}] for stop in stops]
    choices = {name: ([other == name for other in names], {}) for name in names}
    figure.update_layout(
        title={"text": sort if over == "layer" else figures.place_of(table.iloc[0]),
               "x": 1, "xanchor": "right", "font": {"size": 13}},
        height=min(260 + 24 * shape[0], 760),
        margin={"l": 90, "r": 10, "t": 70, "b": 90},
        xaxis={"type": "category", "tickangle": -60, "title": {"text": "key"},
               "showgrid": False},
        yaxis={"type": "category", "autorange": "reversed", "title": {"text": "query"},
               "showgrid": False},
        updatemenus=[_menu(choices, 8)],
        sliders=[_slider(stops, changes, over, last) | {"pad": {"t": 90}}],
    )
    return figure


def feed_forward_plot(table: pd.DataFrame) -> go.Figure:
    """Feed-forward activations layer by layer: as `qkv_plot`."""
    panels = {name: {part: group.loc[group["part"] == part] for part in ("pre", "post")}
              for name, group in figures.feed_forwards(table)}
    # a wide line below a narrow one: they may be the same
    styles = {part: {"line": {"color": figures.PARTS[part], "width": width}}
              for part, width in (("pre", 5), ("post", 2))}
    return _lines(panels, styles, figures.FEED_FORWARD)


def gradient_plot(table: pd.DataFrame) -> go.Figure:
    """Gradients of the matrices layer by layer: as `qkv_plot`."""
    table = figures.of_matrices(table, "gradient")
    kinds = list(dict.fromkeys(table["kind"]))
    palette = figures.PALETTE
    styles = {
        kind: {"line": {"color": palette[place % len(palette)],
                        "dash": ["solid", "dot"][place // len(palette) % 2]}}
        for place, kind in enumerate(kinds)
    }
    panels = {str(stack) or "gradients":
              {str(kind): own for kind, own in group.groupby("kind", sort=False)}
              for stack, group in table.groupby("stack", sort=False)}
    return _lines(panels, styles, figures.GRADIENTS, log=True)


def path_plot(table: pd.DataFrame) -> go.Figure:
    """The path of each token in three components; a slider follows it by layers."""
    layers = sorted(table["layer"].unique().tolist())
    palette = figures.PALETTE
    tokens = [own.sort_values("layer") for _, own in table.groupby("place", sort=True)]
    figure = go.Figure([go.Scatter3d(
        **{axis: _numbers(own[axis]) for axis in "xyz"}, mode="lines+markers+text",
        text=[""] * (len(own) - 1) + [own["token"].iloc[0]], textfont={"size": 12},
        customdata=[[layer, own["token"].iloc[0]] for layer in own["layer"]],
        line={"color": palette[place % len(palette)], "width": 4},
        marker={"size": 3, "color": palette[place % len(palette)]},
        hovertemplate="%{customdata[1]} · layer %{customdata[0]}<extra></extra>",
        name=own["token"].iloc[0],
    ) for place, own in enumerate(tokens)])
    changes = [[{
        **{axis: [_numbers(own[axis].iloc[:upto]) for own in tokens] for axis in "xyz"},
        "text": [[""] * (upto - 1) + [own["token"].iloc[0]] for own in tokens],
    }] for upto in range(1, len(layers) + 1)]
    share = table.attrs.get("explained", [])
    axes = {}
    for place, axis in enumerate("xyz"):
        part = f" ({share[place]:.0%})" if place < len(share) else ""
        values = table.loc[:, axis]
        reach = [float(values.min()), float(values.max())]
        room = 0.08 * (reach[1] - reach[0]) or 1.0
        axes[f"{axis}axis"] = {"title": {"text": f"PC{place + 1}{part}"},
                               "range": [reach[0] - room, reach[1] + room],
                               "showticklabels": False, "showbackground": False}
    figure.update_layout(
        height=560, margin={"l": 0, "r": 0, "t": 10, "b": 80}, showlegend=False,
        scene=axes | {"aspectmode": "cube",
                      "camera": {"eye": {"x": 1.3, "y": 1.3, "z": 0.8}}},
        sliders=[_slider(layers, changes, "layer", len(layers) - 1)
                 | {"pad": {"t": 20, "b": 24}}],
    )
    return figure
