"""The front door's pictures: drawn from the chapters' own numbers."""

import re

import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook, new_output

from book.covers import cover, first_token
from lib.page.figures import PLOTLY_MIME
from lib.trace.explorer import Sentence, attention_explorer, pack


def notebook(data, *tags):
    outputs = [new_output("display_data", data=data)]
    return new_notebook(
        cells=[new_code_cell("x", outputs=outputs, metadata={"tags": list(tags)})]
    )


def weights(layers=2, heads=3, seq=5):
    draw = torch.Generator().manual_seed(0)
    logits = torch.randn(layers, heads, seq, seq, generator=draw)
    future = torch.ones(seq, seq).triu(1).bool()
    return logits.masked_fill(future, -torch.inf).softmax(-1)


def test_the_head_map_reads_back_the_weight_on_the_first_token():
    made = weights()
    for layer, text in enumerate(pack(made)):
        for head in range(made.shape[1]):
            expected = made[layer, head, 1:, 0].mean().item()
            # a weight is packed into 1,295 steps
            assert first_token(text, head, 5) == pytest.approx(expected, abs=1 / 1295)


def test_the_head_map_has_a_cell_for_every_head():
    shown = attention_explorer([Sentence(weights(), list("abcde"), "문장", "one")])
    svg = cover(notebook({"text/html": shown.data}, "cover"))
    assert svg.count("<rect") == 2 * 3


def test_the_thread_has_a_point_for_every_token_inside_its_frame():
    trace = {"x": [0.0, 1.0, 2.0], "y": [1.0, 0.0, 3.0], "z": [0.0, 2.0, 1.0],
             "marker": {"color": [0.5, 1.0, 2.0]}}
    svg = cover(notebook({PLOTLY_MIME: {"data": [trace], "layout": {}}}, "cover"))
    places = re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', svg)
    assert len(places) == 3
    assert all(0 <= float(x) <= 320 and 0 <= float(y) <= 130 for x, y in places)


def test_a_cell_that_is_not_tagged_gives_no_picture():
    assert cover(notebook({"image/svg+xml": "<svg></svg>"})) == ""
    assert cover(None) == ""
