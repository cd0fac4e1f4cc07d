"""The atlas on a page: a figure with a slider over layers, and a file of its own."""

import tempfile
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from jaxtyping import Float
from torch import Tensor

from lib.files import write_text
from lib.gravity.atlas import KINDS, Atlas, View
from lib.page.figures import COLOURS, INK, PAPER

#: Colour and symbol of each kind of token, in the order of the legend.
LOOKS: dict[str, tuple[str, str]] = dict(zip(KINDS, (
    ("gravity", "circle"), ("attention", "circle"), ("tokens", "circle"),
    ("plum", "diamond"), ("olive", "square"), ("tokens", "diamond"),
    ("grey", "square"), ("grey", "circle"),
), strict=True))
MASSES = [[0, "#e9c39b"], [1, COLOURS["gravity"]]]  # colour scale, light to heavy


def readable(label: str) -> str:
    """A label that no picture takes for a tag."""
    return label.replace("<", "＜").replace("&", "＆")


def atlas_figure(
    atlas: Atlas, view: View, thread: bool = True, height: int = 620
) -> go.Figure:
    """The atlas as a plotly figure: a slider over layers, a menu of colours.

    Every point carries `customdata` = [token, mass, layer, position, kind]. Traces:
    a line through the tokens in reading order (`thread`: whether it is drawn), one for
    each kind, one of masses.
    """
    kinds = atlas.kinds
    there = [kind for kind in KINDS if kind in kinds]
    groups = [[i for i, kind in enumerate(kinds) if kind == one] for one in there]
    groups = [_with_gaps(atlas.position.tolist()), *groups, list(range(len(kinds)))]
    content = [[_points(atlas, view, layer, group) for group in groups]
               for layer in range(len(view.places))]
    hover = ("%{text} · layer %{customdata[2]} · t = %{customdata[3]}"
             " · m = %{customdata[1]}<extra></extra>")
    look = {"mode": "markers+text", "hovertemplate": hover, "textfont": {"size": 10},
            "opacity": 0.85}
    mass, size = atlas.mass.numpy().round(3).tolist(), _sizes(atlas.mass)
    first = content[0]
    traces = [go.Scatter3d(
        first[0], mode="lines", hoverinfo="skip", showlegend=False, connectgaps=False,
        line={"color": COLOURS["grey"], "width": 1}, opacity=0.5, name="text")]
    for kind, group, data in zip(there, groups[1:], first[1:], strict=False):
        colour, symbol = LOOKS[kind]
        traces.append(go.Scatter3d(data, name=kind, **look, marker={
            "color": COLOURS[colour], "symbol": symbol,
            "size": [size[i] for i in group]}))
    traces.append(go.Scatter3d(
        first[-1], name="mass", visible=False, showlegend=False, **look,
        marker={"color": mass, "size": size, "colorscale": MASSES,
                "colorbar": {"title": {"text": "mass"}, "thickness": 12}}))
    figure = go.Figure(traces)
    by_kind = [thread, *[True] * len(there), False]
    by_mass = [thread, *[False] * len(there), True]
    figure.data[0].visible = thread
    flat = view.places.flatten(0, 1)
    low, high = flat.amin(0), flat.amax(0)
    reach = float((high - low).max()) * 0.54 or 1.0  # the same unit on all axes
    middle = ((low + high) / 2).tolist()
    axes = {f"{a}axis": {
        "range": [round(m - reach, 3), round(m + reach, 3)], "showticklabels": False,
        "showbackground": False, "zeroline": False, "title": {"text": f"PC{n}"}}
        for n, (a, m) in enumerate(zip("xyz", middle, strict=True), 1)}
    figure.update_layout(
        height=height, margin={"l": 10, "r": 0, "t": 48, "b": 80},
        legend={"orientation": "h", "x": 0, "y": 1, "yanchor": "top",
                "itemsizing": "constant"},
        scene=axes | {
            "aspectmode": "cube", "camera": {"eye": {"x": 1.1, "y": 1.0, "z": 0.7}}},
        sliders=[{"active": 0, "len": 0.9, "pad": {"t": 20, "b": 24},
                  "currentvalue": {"prefix": "layer "},
                  "steps": [_step(layer, rows) for layer, rows in enumerate(content)]}],
        updatemenus=[{
            "type": "buttons", "direction": "right", "x": 0, "xanchor": "left",
            "y": 1, "yanchor": "bottom", "pad": {"b": 6}, "showactive": True,
            "buttons": [{"method": "restyle", "label": label,
                         "args": [{"visible": visible}]}
                        for label, visible in (("kind", by_kind), ("mass", by_mass))],
        }],
    )
    return figure


def _with_gaps(position: list[int]) -> list[int | None]:
    """All points in reading order, with a gap in front of each window but the first."""
    return [point for i, place in enumerate(position)
            for point in ([None, i] if place == 0 and i else [i])]


def _sizes(mass: Float[Tensor, " point"]) -> list[float]:
    """4 for the lightest, 12 for the heaviest."""
    spread = (mass - mass.min()) / (mass.max() - mass.min()).clamp_min(1e-9)
    return (4 + 8 * spread).round(decimals=1).tolist()


def _points(atlas: Atlas, view: View, layer: int, group: list) -> dict[str, Any]:
    """What one trace holds in one layer."""
    xyz = view.places[layer].tolist()
    data = {axis: [None if i is None else round(xyz[i][n], 3) for i in group]
            for n, axis in enumerate("xyz")}
    if None not in group:
        data["text"] = [readable(atlas.labels[i]) for i in group]
        data["customdata"] = [
            [atlas.labels[i], round(atlas.mass[i].item(), 3), layer,
             atlas.position[i].item(), atlas.kinds[i]] for i in group]
    return data


def _step(layer: int, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A stop of the slider: it moves the points and tells them their layer."""
    change = {axis: [row[axis] for row in rows] for axis in "xyz"}
    change["customdata"] = [row.get("customdata") for row in rows]
    return {"method": "restyle", "label": str(layer), "args": [change]}


def place_for(output: Path | str, root: Path) -> Path:
    """Where the page goes, seen to be writable; a relative path begins at `root`."""
    path = root / Path(output).expanduser()
    if path.is_dir():
        raise ValueError(
            f"output {path} is a folder; name a file in it, such as "
            f"{path / 'atlas.html'}"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        file = next((up for up in path.parents if up.is_file()), None)
        why = f"{file} is a file, not a folder" if file else error.strerror or error
        raise ValueError(
            f"output {path} cannot be written ({why}); name a file in a folder that can"
        ) from None
    return path


def write(
    figures: Sequence[tuple[str, str, go.Figure]], path: Path, title: str
) -> Path:
    """Write figures as one HTML file that holds all it needs, plotly included.

    figures: for each, a heading in Korean and in English, and the figure.
    """
    parts = []
    for n, (ko, en, figure) in enumerate(figures):
        figure = go.Figure(figure).update_layout(
            template="none", paper_bgcolor=PAPER, font={"color": INK, "size": 13})
        plot = figure.to_html(
            full_html=False, include_plotlyjs=n == 0, include_mathjax=False,
            div_id=f"atlas-{n}", config={"displaylogo": False, "responsive": True})
        parts.append(f'<section><h2><span lang="ko">{escape(ko)}</span> · '
                     f"{escape(en)}</h2>{plot}</section>")
    page = f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
body {{ margin: 0 auto; max-width: 64rem; padding: 12px 16px; background: {PAPER};
  color: {INK}; font-family: system-ui, sans-serif; line-height: 1.5; }}
h1 {{ font-size: 1.3rem; }}
h2 {{ font-size: 1.05rem; }}
</style>
</head>
<body>
<h1>{escape(title)}</h1>
<p lang="ko">끌어서 돌리고, 슬라이더로 층을 고릅니다. 점이 클수록 무겁습니다.</p>
<p>Drag to turn; the slider picks the layer. The larger a point, the heavier.</p>
{"".join(parts)}
</body>
</html>
"""
    write_text(path, page)
    return path
