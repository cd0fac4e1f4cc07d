"""One palette for page, matplotlib and plotly, in light and in dark.

Figures leave the notebook as SVG whose colours are the page's CSS variables, so
they follow the reader's theme; plotly figures carry the same light colours, which
the page exchanges for dark ones. Attention maps bring a table for readers who
cannot see them.
"""

import io
import json
import re
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
from cycler import cycler
from IPython.display import display
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

SVG_MIME = "image/svg+xml"
PLOTLY_MIME = "application/vnd.plotly.v1+json"
TABLE_MIME = "application/vnd.agt.table+json"

#: Light-theme colours; each is the fallback of a CSS variable `--c-<name>`.
#: Told apart by readers with every common kind of colour blindness, and at least
#: 4.5:1 against the paper.
COLOURS = {"attention": "#2f55c6", "gravity": "#a64a0a", "tokens": "#0b766b",
           "plum": "#8a3f8c", "olive": "#76690f", "grey": "#5f687b"}
INK, MUTED, LINE, PAPER = "#1d2433", "#5b6476", "#d9d5ca", "#fbfaf7"
_PAGE = {"ink": INK, "muted": MUTED, "line": LINE, "paper": PAPER}


def _ramp(name: str, colour: str) -> LinearSegmentedColormap:
    r, g, b = to_rgb(colour)
    return LinearSegmentedColormap.from_list(name, [(r, g, b, 0.0), (r, g, b, 1.0)])


#: Colour maps from nothing (the page shows through) to one colour.
SEQUENTIAL = {name: _ramp(name, colour) for name, colour in {
    "attention": "#4169e1", "gravity": "#d2691e", "tokens": "#159a8c"}.items()}
#: From plum over nothing to teal, for values with a sign.
DIVERGING = LinearSegmentedColormap.from_list("diverging", [
    (0.66, 0.30, 0.67, 1), (0.66, 0.30, 0.67, 0), (0.08, 0.60, 0.55, 0),
    (0.08, 0.60, 0.55, 1)])


def use_style() -> None:
    """Set matplotlib to the book's look: quiet axes, the palette, text as text."""
    matplotlib.rcParams.update({
        "figure.figsize": (7.2, 3.8),
        "figure.facecolor": PAPER,
        "savefig.facecolor": PAPER,
        "figure.constrained_layout.use": True,
        "axes.facecolor": "none",
        "axes.edgecolor": LINE,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": 11,
        "axes.titleweight": "bold",
        "axes.labelsize": 10,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=list(COLOURS.values())),
        "axes.grid": False,
        "grid.color": LINE,
        "xtick.color": MUTED,
        "ytick.color": MUTED,
        "xtick.labelsize": 9,
        "ytick.labelsize": 9,
        "text.color": INK,
        "legend.frameon": False,
        "legend.fontsize": 9,
        "lines.linewidth": 2,
        "image.cmap": "book",
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.sans-serif": ["DejaVu Sans"],
    })


if "book" not in matplotlib.colormaps:
    matplotlib.colormaps.register(SEQUENTIAL["attention"], name="book")


def to_svg(figure: Figure, name: str = "figure") -> str:
    """Draw a figure as SVG with the page's colours as CSS variables.

    name: salt of the ids inside, so that two figures of a page do not share any and the
    same figure is the same bytes in every run.
    """
    out = io.StringIO()
    labels_as_written(figure)
    with matplotlib.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None},
                       bbox_inches="tight", pad_inches=0.06)
    svg = out.getvalue()
    svg = svg[svg.index("<svg"):]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'(<g) id="[^"]*"', r"\1", svg)
    variables = {f"c-{key}": colour for key, colour in COLOURS.items()} | _PAGE
    for variable, colour in variables.items():
        svg = svg.replace(colour, f"var(--{variable}, {colour})")
    # plain text takes the page's own font
    svg = svg.replace("'DejaVu Sans', sans-serif",
                      "var(--font-ui, system-ui, sans-serif)")
    return re.sub(r">\s*\n\s*<", "><", svg)


def labels_as_written(figure: Figure) -> None:
    """Let labels stand as they are: a `$` in a sentence of the reader is no formula.

    What matplotlib writes as a formula itself, the powers of a scale, stays one, and
    `\\$` is a dollar sign for it anyway.
    """
    for axes in figure.axes:  # makes the ticks, whose texts are then there to be set
        axes.get_xticklabels(which="both")
        axes.get_yticklabels(which="both")
    for text in figure.findobj(Text):
        written = text.get_text()
        dollars = re.search(r"(?<!\\)\$", written)
        text.set_parse_math(not dollars or r"\mathdefault" in written)


def table_payload(frame: pd.DataFrame, digits: int = 3) -> dict[str, Any]:
    """Turn a data frame into the JSON of a figure's table alternative."""
    def cell(value: Any) -> str:
        return f"{value:.{digits}g}" if isinstance(value, float) else str(value)

    rows = zip(frame.index, frame.to_numpy(object), strict=True)
    return {"columns": ["", *map(str, frame.columns)],
            "rows": [[str(index), *map(cell, row)] for index, row in rows]}


def show(figure: Any, table: pd.DataFrame | None = None) -> None:
    """Show a matplotlib figure (closed afterwards) or a plotly figure as the book does.

    table: the same content for readers who cannot see the figure; heatmaps must bring
    one.
    """
    bundle: dict[str, Any]
    if isinstance(figure, Figure):
        labels = [axes.get_title() + axes.get_xlabel() for axes in figure.axes]
        bundle = {SVG_MIME: to_svg(figure, "|".join(labels) or "figure")}
        plt.close(figure)
    elif hasattr(figure, "to_plotly_json"):
        bundle = {PLOTLY_MIME: _plotly_json(figure)}
    else:
        raise TypeError(
            f"show() draws matplotlib and plotly figures; {type(figure).__name__} came."
        )
    bundle["text/plain"] = "figure"
    if table is not None:
        bundle[TABLE_MIME] = table_payload(table)
    display(bundle, raw=True)


def _plotly_json(figure: Any) -> dict[str, Any]:
    figure.update_layout(
        template="none", paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        font={"color": INK, "size": 13}, colorway=list(COLOURS.values()))
    content = json.loads(figure.to_json())
    return {"data": content["data"], "layout": content["layout"],
            "frames": content.get("frames", []), "config": {"displaylogo": False}}
