"""An atlas of a text: where each token lies in every layer, and how heavy it is.

`collect` runs a gravity model over a text and writes the coordinates down,
`without_position` takes out what all tokens of a position share, `project` finds one
view for all layers. `lib.gravity.atlas_page` draws it, `lib.gravity.geometry` measures
it.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from lib.gravity.load import load_model
from lib.gravity.texts import DATASETS, Text, ids_of, load_text
from lib.gravity.tokenizers import CharTokens, Tokens

KINDS = ("vowel", "consonant", "letters", "capital", "digit", "punctuation", "space",
         "bytes")
LONGEST = 4096  # tokens on a page: more are slow to turn
NO_COORDINATES = (
    "is vanilla: its attention is a dot product, and it has neither coordinates nor "
    "masses; name a checkpoint of a gravity model (NGT)"
)


@dataclass(frozen=True)
class Source:
    """What an atlas is made from; `model` is None where one is still to be trained."""

    model: nn.Module | None
    tokens: Tokens
    corpus: Text


def opened(
    checkpoint: Path | None, dataset: str | None = None, data_path: str | None = None
) -> Source:
    """Read a checkpoint and the text it learned; without one, the text alone.

    dataset, data_path: as of `lib.gravity.texts.load_text`; None takes what the
    checkpoint says, else TinyShakespeare. ValueError: a vanilla Transformer.
    """
    if checkpoint is None:
        corpus = load_text(dataset or DATASETS[0], data_path)
        return Source(None, CharTokens.of(corpus.train + corpus.valid), corpus)
    model, tokens, told = load_model(checkpoint)
    if model.config.attention == "dot":
        raise ValueError(f"{checkpoint} {NO_COORDINATES}")
    options = told.get("options") or {}
    if dataset is None and data_path is None:
        data_path, dataset = options.get("data_path"), options.get("dataset")
        dataset = dataset if dataset in DATASETS else DATASETS[0]
    return Source(model, tokens, load_text(dataset or DATASETS[0], data_path))


def to_show(text: str | None, source: Source, points: int) -> Int[Tensor, " point"]:
    """The ids of the text to show; None: `points` of the validation text."""
    if text is None:
        return first_ids(source.corpus.valid, source.tokens, points)
    if not str(text):
        raise ValueError("text is empty; give one of at least one token")
    ids = ids_of(str(text), source.tokens)
    if len(ids) > LONGEST:
        raise ValueError(
            f"text has {len(ids):,} tokens and a page shows at most {LONGEST:,}; "
            "give a shorter one"
        )
    return ids


def first_ids(text: str, tokens: Tokens, count: int) -> Int[Tensor, " point"]:
    """The first `count` tokens of a text; only as much of it is read as they need.

    >>> first_ids("abcabc", CharTokens.of("abc"), 4).tolist()
    [0, 1, 2, 0]
    """
    size = 8 * count
    ids = ids_of(text[:size], tokens)
    while len(ids) < count and size < len(text):
        size *= 2
        ids = ids_of(text[:size], tokens)
    return ids[:count]


@dataclass(frozen=True)
class Atlas:
    """The tokens of a text, one point each, with their coordinates in every layer.

    z[l] are the coordinates that layer l takes in; `position` counts from 0 in each
    window; `labels` and `kinds` are those of each point.
    """

    ids: Int[Tensor, " point"]
    labels: list[str]
    kinds: list[str]
    position: Int[Tensor, " point"]
    mass: Float[Tensor, " point"]
    z: Float[Tensor, "layer point coord"]


def kind_of(piece: str) -> str:
    """The kind of a token by its text: one of `KINDS`.

    One small letter is a vowel or a consonant; several, or letters without case such
    as Hangul, are `letters`. Bytes that are a part of a character decode to �.

    >>> [kind_of(piece) for piece in ("e", "t", " the", "The", "3", "?", "\\n", "가")]
    ['vowel', 'consonant', 'letters', 'capital', 'digit', 'punctuation', 'space',
     'letters']
    """
    word = piece.strip()
    if "�" in word:
        return "bytes"
    if not word:
        return "space"
    if any(c.isdigit() for c in word):
        return "digit"
    if not any(c.isalpha() for c in word):
        return "punctuation"
    first = next(c for c in word if c.isalpha())
    if first.isupper():
        return "capital"
    if len(word) > 1 or not first.islower():
        return "letters"
    return "vowel" if first in "aeiou" else "consonant"


def names_of(tokens: Tokens) -> tuple[list[str], list[str]]:
    """A readable label and the kind of every id of a tokenizer."""
    return tokens.labels(), [kind_of(tokens.decode([i])) for i in range(tokens.vocab)]


@torch.no_grad()
def collect(
    model: nn.Module, ids: Int[Tensor, " point"], names: tuple[list[str], list[str]],
    windows: int = 16,
) -> Atlas:
    """Run a text through a gravity model, in windows side by side, and write it down.

    model: `trace(ids)` → logits and one dict a layer with `z` and `mass`;
    `config.context` is the longest window. names: `names_of` the tokenizer; windows:
    how many are run at once. ValueError: no text, or a model without coordinates.
    """
    if len(ids) == 0:
        raise ValueError("the text is empty; give one of at least one token")
    reader = cast(Any, model)
    context = reader.config.context
    whole = len(ids) // context * context
    parts = list(ids[:whole].view(-1, context).split(windows)) if whole else []
    if whole < len(ids):
        parts.append(ids[None, whole:])
    device, training = next(model.parameters()).device, model.training
    model.eval()
    z, mass = [], []
    for part in parts:
        layers = reader.trace(part.to(device))[1]
        if not layers or layers[0].get("z") is None:
            model.train(training)
            raise ValueError(f"this model {NO_COORDINATES}")
        z.append(torch.stack([layer["z"].flatten(0, 1) for layer in layers]).cpu())
        mass.append(layers[0]["mass"].flatten().cpu())
    model.train(training)
    labels, kinds = ([side[i] for i in ids.tolist()] for side in names)
    return Atlas(ids.cpu(), labels, kinds, torch.arange(len(ids)) % context,
                 torch.cat(mass).float(), torch.cat(z, 1).float())


def without_position(
    atlas: Atlas, means: Float[Tensor, "layer position coord"]
) -> Atlas:
    """The same atlas with z less the mean of its position, layer by layer."""
    if atlas.position.max() >= means.shape[1]:
        raise ValueError(
            f"there are means of {means.shape[1]} positions and the text has "
            f"{int(atlas.position.max()) + 1}; take them from a longer text"
        )
    return replace(atlas, z=atlas.z - means[:, atlas.position])


def token_table(model: nn.Module) -> Float[Tensor, "token coord"] | None:
    """The learned coordinates of each token, or None where they know position only."""
    token = getattr(getattr(model, "coordinates", None), "token", None)
    return None if token is None else token.weight.detach().cpu()


@dataclass(frozen=True)
class View:
    """Points on three axes, the share of the variance that each axis holds, and the
    share of each layer's own variance that the three hold."""

    places: Float[Tensor, "layer point 3"]
    shares: Float[Tensor, " 3"]
    by_layer: Float[Tensor, " layer"]


def project(z: Float[Tensor, "layer point coord"]) -> View:
    r"""One principal component analysis (PCA) for all layers together.

    With X all points of all layers minus their common mean and X = U S Vᵀ, a point is
    shown at its first three coordinates of X V; axis k holds S_k² / Σ S². So a point
    stands at the same place on the page wherever it lies at the same place in space,
    and layers can be compared. Each axis points so that its largest loading is > 0.
    """
    layers, points, coord = z.shape
    if coord < 3 or layers * points < 3:
        raise ValueError(
            f"{layers * points} points of {coord} coordinates do not fill three axes; "
            "use a longer text or a model with at least 3 coordinates"
        )
    x = z.double().flatten(0, 1)
    x = x - x.mean(0)
    variance, axes = torch.linalg.eigh(x.mT @ x)
    variance, axes = variance.flip(0).clamp_min(0), axes.flip(1)[:, :3]
    largest = axes.abs().argmax(0)
    axes = axes * axes[largest, torch.arange(3)].sign()
    places = (x @ axes).view(layers, points, 3)
    own = z.double() - z.double().mean(1, keepdim=True)
    held = (own @ axes).square().sum((1, 2)) / own.square().sum((1, 2)).clamp_min(1e-30)
    shares = variance[:3] / variance.sum().clamp_min(1e-30)
    return View(places.float(), shares.float(), held.float())
