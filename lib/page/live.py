"""Figures that come alive in the page: what they start from, and their still picture.

An instrument of `book/live` computes in the reader's browser. A notebook gives it two
things: its data, by `export`, and a figure that stands in its place before any script
has run, by `alive`. The build turns the first into a script beside the page and wraps
the second in what the instrument needs; in JupyterLab the still is an ordinary figure.
"""

import base64
import re
from collections.abc import Iterable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from lib.page.figures import SVG_MIME, TABLE_MIME, table_payload, to_svg

EXPORT_MIME = "application/vnd.agt.export+json"
LIVE_MIME = "application/vnd.agt.live+json"
NAME = re.compile(r"[a-z][a-z0-9_]*")
#: What `book/live/common/arrays.js` reads.
DTYPES = ("float16", "float32", "float64", "int32", "uint16", "uint8")


def packed(array: np.ndarray) -> dict[str, Any]:
    """An array as JSON: its kind, its shape, its little-endian bytes in base64.

    >>> packed(np.array([[1.0, 2.0]], dtype=np.float16))
    {'dtype': 'float16', 'shape': [1, 2], 'base64': 'ADwAQA=='}
    """
    dtype = array.dtype.name
    if dtype not in DTYPES:
        raise TypeError(f"an array of {dtype} cannot be exported; use one of "
                        f"{', '.join(DTYPES)}")
    raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return {"dtype": dtype, "shape": list(array.shape),
            "base64": base64.b64encode(raw).decode()}


def plain(value: Any) -> Any:
    """A value as JSON holds it: tensors and arrays packed, containers gone through.

    >>> plain({"names": ("a", "b"), "n": np.int64(2)})
    {'names': ['a', 'b'], 'n': 2}
    """
    if hasattr(value, "detach"):  # a tensor of PyTorch
        value = value.detach().cpu().numpy()
    if isinstance(value, np.ndarray):
        return packed(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise TypeError(f"a {type(value).__name__} cannot be exported; use numbers, "
                    "strings, lists, dicts, arrays and tensors")


def export(name: str, **content: Any) -> None:
    """Leave data for the page's instruments in the executed notebook, under a name.

    Numbers, strings, lists, dicts and, packed in their own precision, arrays and
    tensors. Half precision halves the file: `weight.half()`.
    """
    if not NAME.fullmatch(name):
        raise ValueError(f"export name {name!r} cannot be used; take lower-case "
                         "letters, digits and _, beginning with a letter.")
    display({EXPORT_MIME: {name: plain(content)},
             "text/plain": f"export {name}: {', '.join(content)}"}, raw=True)


def waiting(place: str) -> None:
    """Keep the place of a figure that a later cell makes: `alive(…, place=…)`.

    What is learned far down a chapter can then stand near its beginning.
    """
    display({"text/plain": "…"}, raw=True, display_id=place)


def alive(
    figure: Figure, instrument: str, data: str | Iterable[str] = (),
    table: pd.DataFrame | None = None, asked: bool = False,
    later: Iterable[str] = (), place: str | None = None, **options: Any,
) -> None:
    """Show a figure in whose place the page opens an instrument of `book/live`.

    data: names of exports, `sandbox` of this chapter or `05.translator` of another.
    asked: load it when the reader presses a button, not when the reader comes near.
    later: exports that the instrument loads only when it comes to need them. place:
    where a cell above keeps a place by `waiting`, else here.
    options: what else this place tells the instrument. The figure stands where scripts
    do not run; a caption pair follows, as after every figure.
    """
    keys = [data] if isinstance(data, str) else list(data)
    labels = [axes.get_title() + axes.get_xlabel() for axes in figure.axes]
    bundle = {
        SVG_MIME: to_svg(figure, f"{instrument}|" + "|".join(labels)),
        LIVE_MIME: {"instrument": instrument, "data": keys, "asked": asked,
                    "later": list(later), "options": plain(options)},
        "text/plain": f"figure, alive as {instrument}",
    }
    plt.close(figure)
    if table is not None:
        bundle[TABLE_MIME] = table_payload(table)
    display(bundle, raw=True, display_id=place, update=place is not None)
