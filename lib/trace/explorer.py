"""Attention of every layer and head as one HTML output that needs no kernel.

The output holds its own numbers, script and style. The first picture is drawn here,
as a coloured table of numbers; the script then moves it with two sliders. It works
in JupyterLab, in the static page and from a file.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import torch
from IPython.display import HTML
from jaxtyping import Float
from torch import Tensor

from lib.attention.dot_product import row_entropy

STATIC = Path(__file__).parent / "static"
LIMIT = 96  # tokens; a longer sentence makes the page heavier than 4 MB
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
STEPS = 36 * 36 - 1  # a weight is two digits of base 36


def pack(weights: Float[Tensor, "layer head query key"]) -> list[str]:
    """Write causal weights as text: one string a layer, two base-36 digits a weight.

    Only the lower triangle is written, row by row, one head after the other. The
    error is at most `1 / 2590`.

    >>> pack(torch.tensor([[[[1.0, 0.0], [0.5, 0.5]]]]))
    ['zzi0i0']
    """
    seq = weights.shape[-1]
    rows, columns = torch.tril_indices(seq, seq)
    steps = (weights[..., rows, columns] * STEPS).round().long().cpu()
    return ["".join(DIGITS[n // 36] + DIGITS[n % 36] for n in layer.flatten().tolist())
            for layer in steps]


@dataclass(frozen=True)
class Sentence:
    """One sentence of the explorer: its weights `(layer, head, query, key)`, its
    token labels and how the switch names it in each language."""

    weights: Tensor
    tokens: list[str]
    ko: str
    en: str


def attention_explorer(
    sentences: Sequence[Sentence], layer: int = 0, head: int = 0
) -> HTML:
    """Show attention weights with a slider over layers and one over heads.

    Parameters
    ----------
    sentences
        One or two sentences of the same model. With two, the Korean edition opens
        with the first and the English edition with the second.
    layer, head
        What the first picture shows.

    Returns
    -------
    HTML
        Self-contained: numbers, script and style are inside.

    Raises
    ------
    ValueError
        If weights and tokens do not fit, a sentence is longer than 96 tokens, or
        there is no such layer or head.

    >>> weights = torch.tril(torch.ones(1, 1, 2, 2)) / torch.tensor([[1.0], [2.0]])
    >>> one = Sentence(weights, ["a", "b"], "문장", "sentence")
    >>> "data-figure" in attention_explorer([one]).data
    True
    """
    for sentence in sentences:
        _check(sentence, sentences[0], layer, head)
    content = {
        "layer": layer,
        "head": head,
        "steps": STEPS,
        "shape": list(sentences[0].weights.shape[:2]),
        "sentences": [
            {"tokens": sentence.tokens, "layers": pack(sentence.weights)}
            for sentence in sentences
        ],
    }
    numbers = json.dumps(content, ensure_ascii=False, separators=(",", ":"))
    numbers = numbers.replace("</", r"<\/")  # so that no token ends the script
    name = "ax-" + hashlib.sha256(numbers.encode()).hexdigest()[:10]
    languages = ["ko", "en"] if len(sentences) > 1 else [None]
    pictures = "".join(
        _picture(sentence, layer, head, language, name)
        for sentence, language in zip(sentences, languages, strict=True)
    )
    script = (STATIC / "explorer.js").read_text(encoding="utf-8")
    style = (STATIC / "explorer.css").read_text(encoding="utf-8")
    return HTML(
        f'<div class="ax" id="{name}" data-figure="attention">'
        f"<style>{style}</style>"
        f"{_controls(sentences, layer, head, name)}{_map(sentences[0])}"
        f'<div class="ax-view">{pictures}</div>{_legend()}'
        f'<script type="application/json">{numbers}</script>'
        f'<script>{script.replace("AX_ID", name)}</script></div>'
    )


def _check(sentence: Sentence, first: Sentence, layer: int, head: int) -> None:
    shape = tuple(sentence.weights.shape)
    length = len(sentence.tokens)
    if len(shape) != 4 or shape[2:] != (length, length):
        raise ValueError(
            f"weights of shape {shape} came with {length} tokens; pass (layer, head, "
            "query, key) with one query and one key a token."
        )
    if shape[:2] != tuple(first.weights.shape[:2]):
        raise ValueError(
            f"the sentences have {first.weights.shape[:2]} and {shape[:2]} layers and "
            "heads; trace both with the same model."
        )
    if length > LIMIT:
        raise ValueError(
            f"a sentence of {length} tokens is too long to show every head of; use "
            f"at most {LIMIT} tokens."
        )
    for what, value, size in (("layer", layer, shape[0]), ("head", head, shape[1])):
        if not 0 <= value < size:
            raise ValueError(
                f"{what} {value} is not there; use a {what} from 0 to {size - 1}."
            )


def _both(ko: str, en: str) -> str:
    return f'<span data-lang="ko">{ko}</span> <span data-lang="en">{en}</span>'


def _slider(name: str, kind: str, ko: str, en: str, value: int, last: int) -> str:
    return (
        f'<div class="ax-slider"><label for="{name}-{kind}">{_both(ko, en)}</label>'
        f'<input type="range" id="{name}-{kind}" data-ax="{kind}" min="0" '
        f'max="{last}" step="1" value="{value}">'
        f'<output for="{name}-{kind}">{value}</output></div>'
    )


def _controls(
    sentences: Sequence[Sentence], layer: int, head: int, name: str
) -> str:
    layers, heads = sentences[0].weights.shape[:2]
    switch = ""
    if len(sentences) > 1:
        radios = "".join(
            f'<label><input type="radio" name="{name}-sentence" data-ax="sentence" '
            f'value="{i}"><span>{_both(escape(s.ko), escape(s.en))}</span></label>'
            for i, s in enumerate(sentences)
        )
        switch = (f'<fieldset class="ax-switch"><legend>{_both("문장", "Sentence")}'
                  f"</legend>{radios}</fieldset>")
    return (
        f'<div class="ax-controls">{switch}'
        f'{_slider(name, "layer", "층", "Layer", layer, layers - 1)}'
        f'{_slider(name, "head", "헤드", "Head", head, heads - 1)}'
        '<label class="ax-check"><input type="checkbox" data-ax="numbers"> '
        f'{_both("칸마다 숫자(%) 쓰기", "Write the numbers (%)")}</label></div>'
    )


def _map(sentence: Sentence) -> str:
    """Leave room for a map of all heads, which the script draws and makes clickable.

    The sliders do the same for the keyboard, so that it is hidden from assistive
    technology.
    """
    layers, heads = sentence.weights.shape[:2]
    words = _both(
        "헤드 지도: 가로는 층, 세로는 헤드입니다. 첫 토큰을 많이 볼수록 색이 짙습니다. "
        "칸을 누르면 그 헤드로 갑니다.",
        "Map of heads: layers across, heads down; the stronger the colour, the more "
        "weight on the first token. Press a cell to go there.",
    )
    return (f'<div class="ax-map" aria-hidden="true"><p>{words}</p>'
            f'<svg viewBox="0 0 {layers} {heads}"></svg></div>')


def _legend() -> str:
    ticks = "".join(
        f'<li style="--w:{round(100 * weight**0.5)}">{round(100 * weight)}</li>'
        for weight in (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)
    )
    return (f'<div class="ax-legend"><span>{_both("가중치(%)", "Weight (%)")}</span>'
            f"<ol>{ticks}</ol></div>")


def head_summary(weights: Float[Tensor, "query key"]) -> tuple[float, float, float]:
    """Sum up one head: weight on the first token, on the one before, entropy.

    Means over all queries but the first, which can look at itself only. Entropy in
    bits.

    >>> rows = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    >>> head_summary(rows)
    (0.75, 0.75, 0.5)
    """
    rows = weights[1:].double()
    if not len(rows):
        return 1.0, 0.0, 0.0
    before = weights.double().diagonal(-1)
    return (rows[:, 0].mean().item(), before.mean().item(),
            row_entropy(rows).mean().item())


def _label(token: str) -> str:
    """Set a token: short ones upright, the part of a cut character below it."""
    cut = re.fullmatch(r"(.{1,2})·(\d/\d)", token)
    if cut:
        return f'<span class="ax-short">{escape(cut[1])}<small>{cut[2]}</small></span>'
    short = ' class="ax-short"' if len(token) < 3 else ""
    return f"<span{short}>{escape(token)}</span>"


def _picture(
    sentence: Sentence, layer: int, head: int, language: str | None, name: str
) -> str:
    """Draw one head as a table; the script draws the same in the browser."""
    weights = (sentence.weights[layer, head] * STEPS).round() / STEPS
    first, before, spread = head_summary(weights)
    facts = "".join(
        f"<div><dt>{_both(ko, en)}</dt><dd>{value}</dd></div>"
        for ko, en, value in (
            ("첫 토큰에 준 가중치", "Weight on the first token",
             f"{100 * first:.0f}%"),
            ("바로 앞 토큰에 준 가중치", "Weight on the token before",
             f"{100 * before:.0f}%"),
            ("엔트로피(비트)", "Entropy (bits)", f"{spread:.2f}"),
        )
    )
    labels = [_label(token) for token in sentence.tokens]
    head_row = "".join(f'<th scope="col">{label}</th>' for label in labels)
    rows = ""
    for i, label in enumerate(labels):
        cells = "".join(
            f'<td style="--w:{round(100 * w**0.5)}"><span>{round(100 * w)}</span></td>'
            for w in weights[i, : i + 1].tolist()
        ) + '<td class="ax-no"></td>' * (len(labels) - 1 - i)
        rows += f'<tr><th scope="row">{label}</th>{cells}</tr>'
    side = f' data-lang="{language}"' if language else ""
    axes = _both("행: 쿼리(보는 토큰), 열: 키(보이는 토큰)",
                 "Rows: queries (who looks), columns: keys (who is looked at)")
    return (
        f'<div class="ax-picture"{side}><dl class="ax-facts">{facts}</dl>'
        '<div class="ax-scroll table-wrap" tabindex="0" role="region" '
        f'aria-labelledby="{name}-{language}">'
        f'<table style="--n:{len(labels)}"><caption id="{name}-{language}">{axes}'
        "</caption><thead>"
        f'<tr><td></td>{head_row}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )
