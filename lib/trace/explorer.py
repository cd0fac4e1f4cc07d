"""Attention of every layer and head as one HTML output that needs no kernel.

The output holds its own numbers, script and style, from the folder `static`. The first
picture is drawn here, as a coloured table of numbers; the script then moves it with two
sliders. It works in JupyterLab, in the static page and from a file.
"""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from string import Template

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

    Of the lower triangle, row by row, one head after the other, within `1 / 2590`.

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

    With two sentences of one model the Korean edition opens with the first and the
    English edition with the second; `layer` and `head` are of the first picture.
    Raises ValueError if weights and tokens do not fit, a sentence is longer than 96
    tokens, or there is no such layer or head.
    """
    for sentence in sentences:
        _check(sentence, sentences[0], layer, head)
    layers, heads = sentences[0].weights.shape[:2]
    numbers = json.dumps({
        "layer": layer, "head": head, "steps": STEPS, "shape": [layers, heads],
        "sentences": [{"tokens": sentence.tokens, "layers": pack(sentence.weights)}
                      for sentence in sentences],
    }, ensure_ascii=False, separators=(",", ":"))
    numbers = numbers.replace("</", r"<\/")  # so that no token ends the script
    name = "ax-" + hashlib.sha256(numbers.encode()).hexdigest()[:10]
    languages = ["ko", "en"] if len(sentences) > 1 else [None]
    page = Template("".join(_static("explorer.html").split("\n")))
    return HTML(page.substitute(
        name=name, numbers=numbers, style=_static("explorer.css"),
        script=_static("explorer.js").replace("AX_ID", name),
        layer=layer, head=head, layers=layers, heads=heads,
        last_layer=layers - 1, last_head=heads - 1, switch=_switch(sentences, name),
        pictures="".join(
            _picture(sentence, layer, head, language, name)
            for sentence, language in zip(sentences, languages, strict=True)),
        ticks="".join(
            f'<li style="--w:{round(100 * weight**0.5)}">{round(100 * weight)}</li>'
            for weight in (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0)),
    ))


def _static(name: str) -> str:
    return (STATIC / name).read_text(encoding="utf-8")


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


def _switch(sentences: Sequence[Sentence], name: str) -> str:
    """What chooses between sentences, where there are several."""
    if len(sentences) == 1:
        return ""
    radios = "".join(
        f'<label><input type="radio" name="{name}-sentence" data-ax="sentence" '
        f'value="{i}"><span>{_both(escape(s.ko), escape(s.en))}</span></label>'
        for i, s in enumerate(sentences)
    )
    return (f'<fieldset class="ax-switch"><legend>{_both("문장", "Sentence")}'
            f"</legend>{radios}</fieldset>")


def head_summary(weights: Float[Tensor, "query key"]) -> tuple[float, float, float]:
    """Sum up one head: weight on the first token, on the one before, entropy in bits;
    means over all queries but the first, which can look at itself only.

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
