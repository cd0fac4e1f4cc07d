"""A small picture for each chapter's card, drawn from what its notebook computed.

The cell tagged `cover` holds the chapter's picture. An SVG is taken as it is; a
figure that needs JavaScript is drawn again, small and still, from the same numbers.
"""

import json
import re
from collections.abc import Callable
from typing import cast

from nbformat import NotebookNode

from lib.page.figures import PLOTLY_MIME, SVG_MIME
from lib.trace.explorer import DIGITS, STEPS

WIDTH, HEIGHT = 320, 130
_OPEN = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
         'preserveAspectRatio="xMidYMid meet">')


def cover(notebook: NotebookNode | None) -> str:
    """Draw the picture of the cell tagged `cover`, or nothing."""
    for cell in notebook.cells if notebook else []:
        if "cover" not in cell.metadata.get("tags", []):
            continue
        for output in cell.outputs:
            data = output.get("data", {})
            if SVG_MIME in data:
                return "".join(data[SVG_MIME])
            if PLOTLY_MIME in data:
                return thread(data[PLOTLY_MIME]["data"][0])
            if 'data-figure="attention"' in data.get("text/html", ""):
                return head_map(data["text/html"])
    return ""


def thread(trace: dict) -> str:
    """Draw a 3D trace as seen from above its corner: a line, and points by mass."""
    seen = [(0.78 * (x - y), 0.85 * z - 0.32 * (x + y), x + y + z)
            for x, y, z in zip(trace["x"], trace["y"], trace["z"], strict=True)]
    across, up = scale([u for u, _, _ in seen], WIDTH), scale([-v for _, v, _ in seen],
                                                              HEIGHT)
    mass = scale(trace["marker"]["color"], 1, 0)
    places = [(across(u), up(-v)) for u, v, _ in seen]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    points = "".join(
        f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{1.4 + 3.6 * mass(m):.1f}" '
        f'fill-opacity="{0.35 + 0.6 * mass(m):.2f}"/>'
        for (x, y), m in zip(places, trace["marker"]["color"], strict=True)
    )
    return (f'{_OPEN}<polyline points="{line}" fill="none" stroke="var(--line)" '
            f'stroke-width="1.2"/><g fill="var(--c-gravity)">{points}</g></svg>')


def scale(values: list[float], size: float, margin: float = 10) -> Callable:
    """Make the map from values onto `margin … size - margin`."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return lambda value: margin + (value - low) / span * (size - 2 * margin)


def head_map(html: str) -> str:
    """Draw all heads of the explorer's model: across the layers, down the heads.

    The stronger the colour, the more weight a head puts on the first token.
    """
    script = cast(re.Match, re.search(
        r'<script type="application/json">(.*?)</script>', html, re.DOTALL
    ))
    content = json.loads(script[1].replace(r"<\/", "</"))
    sentence = content["sentences"][0]
    layers, heads = content["shape"]
    seq = len(sentence["tokens"])
    side = min((WIDTH - 8) / layers, (HEIGHT - 8) / heads)
    left, top = (WIDTH - side * layers) / 2, (HEIGHT - side * heads) / 2
    cells = []
    for layer, text in enumerate(sentence["layers"]):
        for head in range(heads):
            first = first_token(text, head, seq)
            cells.append(
                f'<rect x="{left + layer * side:.1f}" y="{top + head * side:.1f}" '
                f'width="{side - 1.4:.1f}" height="{side - 1.4:.1f}" rx="1.6" '
                f'fill-opacity="{0.06 + 0.94 * first:.2f}"/>'
            )
    return f'{_OPEN}<g fill="var(--c-attention)">{"".join(cells)}</g></svg>'


def first_token(text: str, head: int, seq: int) -> float:
    """Average over the queries the weight that a packed head puts on token 0."""
    size = seq * (seq + 1) // 2
    starts = [head * size + query * (query + 1) // 2 for query in range(1, seq)]
    numbers = [DIGITS.index(text[2 * at]) * 36 + DIGITS.index(text[2 * at + 1])
               for at in starts]
    return sum(numbers) / len(numbers) / STEPS
