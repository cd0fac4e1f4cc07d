"""The atlas: what it collects, how it measures, and a page that opens offline."""

import json
import shutil
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from playwright.sync_api import sync_playwright

from lib.gravity.atlas import (
    Atlas,
    collect,
    kind_of,
    names_of,
    opened,
    project,
    to_show,
    without_position,
)
from lib.gravity.atlas_page import atlas_figure, place_for, write
from lib.gravity.geometry import (
    SHARES,
    agreement,
    moves,
    nearest,
    rank_correlation,
    shuffled,
    variance_shares,
)
from lib.gravity.model import LMConfig, build
from lib.gravity.texts import ids_of
from lib.gravity.tokenizers import BpeTokens, CharTokens
from lib.training.checkpoint import CheckpointError, save, whole
from tests.site.conftest import BROWSERS

TEXT = "To be, or not to be: <b>that</b> is the question & 3 more.\n" * 3
TOKENS = CharTokens.of(TEXT)
CONFIG = LMConfig(vocab=TOKENS.vocab, context=16, d_model=16, n_layers=3, n_heads=2,
                  d_coord=6)


@pytest.fixture(scope="module")
def model():
    model = build(CONFIG, seed=1)
    with torch.no_grad():  # unequal masses, coordinates that move
        model.masses.mu.copy_(torch.linspace(-1, 2, CONFIG.vocab))
        for move in model.move:
            move.weight.mul_(20)
    return model


@pytest.fixture(scope="module")
def atlas(model) -> Atlas:
    return collect(model, ids_of(TEXT, TOKENS), names_of(TOKENS), windows=2)


# what is collected


def position_means(atlas):
    """Mean coordinates of each position in each layer, over its tokens."""
    size = int(atlas.position.max()) + 1
    count = torch.bincount(atlas.position, minlength=size)
    total = torch.zeros(len(atlas.z), size, atlas.z.shape[-1])
    return total.index_add(1, atlas.position, atlas.z) / count[None, :, None]


def test_every_point_has_the_coordinates_and_mass_of_its_own_window(model, atlas):
    ids = ids_of(TEXT, TOKENS)
    assert atlas.z.shape == (3, len(TEXT), 6)
    for start in range(0, len(ids), 16):  # the last window is a part of one
        with torch.no_grad():
            layers = model.trace(ids[None, start : start + 16])[1]
        for layer, seen in enumerate(layers):
            # the same numbers in other batches: rounding of float32
            assert torch.allclose(atlas.z[layer, start : start + 16], seen["z"][0],
                                  atol=1e-5)
        assert torch.allclose(atlas.mass[start : start + 16], layers[0]["mass"][0])
    assert atlas.position.tolist() == [i % 16 for i in range(len(TEXT))]
    assert "".join(atlas.labels) == TEXT.replace(" ", "␣").replace("\n", "⏎")


def test_collecting_leaves_the_mode_of_the_model_as_it_was(model):
    for mode in (True, False):
        model.train(mode)
        collect(model, ids_of("To be", TOKENS), names_of(TOKENS))
        assert model.training is mode


def test_pieces_of_words_have_kinds_too():
    tokens = BpeTokens.train("the lower lowest " * 20, vocab=290)
    labels, kinds = names_of(tokens)
    assert dict(zip(labels, kinds, strict=True))["␣lowest"] == "letters"
    assert dict(zip(labels, kinds, strict=True))["<EB>"] == "bytes"
    assert kind_of("É") == "capital" and kind_of("é") == "consonant"


def test_taking_the_position_out_leaves_no_position(atlas):
    bare = without_position(atlas, position_means(atlas))
    for place in range(16):
        assert bare.z[:, atlas.position == place].mean(1).abs().max() < 1e-5
    shares = variance_shares(bare.z[2], atlas.position, atlas.ids)
    assert shares["position"] < 0.02
    assert torch.allclose(  # within a position nothing has changed
        bare.z[:, atlas.position == 3].diff(dim=1),
        atlas.z[:, atlas.position == 3].diff(dim=1), atol=1e-5)


def test_means_of_too_few_positions_are_refused(atlas):
    short = position_means(replace(
        atlas, position=atlas.position % 4, z=atlas.z))
    with pytest.raises(ValueError, match="means of 4 positions and the text has 16"):
        without_position(atlas, short)


# one view for all layers


def test_the_view_is_the_principal_axes_of_all_layers_together(atlas):
    view = project(atlas.z)
    x = atlas.z.double().flatten(0, 1).numpy()
    x = x - x.mean(0)
    s = np.linalg.svd(x, compute_uv=False) ** 2
    assert np.allclose(view.shares, s[:3] / s.sum(), atol=1e-6)
    places = view.places.double().flatten(0, 1)
    assert np.allclose(places.var(0, correction=0) * len(x), s[:3], rtol=1e-4)


def test_a_point_that_stays_in_space_stays_in_the_view(atlas):
    z = atlas.z.clone()
    z[2, 5] = z[0, 5]
    places = project(z).places
    assert torch.allclose(places[2, 5], places[0, 5], atol=1e-5)
    assert not torch.allclose(places[2, 6], places[0, 6], atol=1e-2)


def test_three_dimensions_are_shown_whole():
    z = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0))
    view = project(z)
    assert abs(view.shares.sum().item() - 1) < 1e-6
    assert torch.allclose(view.by_layer, torch.ones(2), atol=1e-6)
    places, z = view.places[0].double(), z[0].double()  # cdist rounds near 0
    assert torch.allclose(torch.cdist(places, places), torch.cdist(z, z), atol=1e-5)


# shares of variance


def design(seed: int, n: int = 300):
    draw = torch.Generator().manual_seed(seed)
    position = torch.randint(5, (n,), generator=draw)
    token = torch.randint(4, (n,), generator=draw)
    return draw, position, token


def test_shares_equal_least_squares_with_one_hot_columns():
    draw, position, token = design(1)
    z = torch.randn(300, 3, generator=draw).double() + position[:, None] * 0.5
    z = z + (token == 2)[:, None] * position[:, None]
    one, two = (np.eye(k)[v] for k, v in ((5, position), (4, token)))
    pair = np.eye(20)[position * 4 + token]
    columns = (np.ones((300, 1)), one, np.hstack([one, two]), pair)
    left = []
    for x in columns:
        fit = x @ np.linalg.lstsq(x, z.numpy(), rcond=None)[0]
        rank = np.linalg.matrix_rank(x)
        left.append(((z.numpy() - fit) ** 2).sum() / (300 - rank))
    left = np.array([*left, 0]) / left[0]
    wanted = dict(zip(SHARES, left[:-1] - left[1:], strict=True))
    wanted["position"], wanted["token"] = left[0] - left[1], left[1] - left[2]
    wanted["together"], wanted["context"] = left[2] - left[3], left[3]
    got = variance_shares(z, position, token)
    assert all(abs(got[name] - wanted[name]) < 1e-9 for name in SHARES)


@given(st.integers(0, 10**6), st.sampled_from(["position", "token"]))
@settings(max_examples=20, deadline=None)
def test_shares_sum_to_one_and_do_not_see_turns_shifts_or_scale(seed, first):
    draw, position, token = design(seed, 80)
    z = torch.randn(80, 3, generator=draw).double()
    turn = torch.linalg.qr(torch.randn(3, 3, generator=draw).double())[0]
    shares = variance_shares(z, position, token, first)
    assert abs(sum(shares.values()) - 1) < 1e-12
    moved = variance_shares(7 * z @ turn + 3, position, token, first)
    assert all(abs(moved[name] - shares[name]) < 1e-9 for name in SHARES)


@pytest.mark.parametrize("name, make", [
    ("position", lambda p, t, noise: p[:, None] + 0 * noise),
    ("token", lambda p, t, noise: t[:, None] + 0 * noise),
    ("together", lambda p, t, noise: ((p % 2) ^ (t % 2))[:, None] + 0 * noise),
    ("context", lambda p, t, noise: noise),
])
def test_what_is_put_in_is_what_comes_out(name, make):
    draw = torch.Generator().manual_seed(2)
    position = torch.arange(4).repeat_interleave(100)  # balanced
    token = torch.arange(4).repeat(100)
    noise = torch.randn(400, 2, generator=draw).double()
    shares = variance_shares(make(position, token, noise), position, token)
    # noise lets the share of a mean of 100 wander by about 1 / 100
    assert shares[name] > (0.95 if name == "context" else 1 - 1e-9)


def test_noise_with_few_points_a_cell_is_context_on_the_mean():
    found = []
    for seed in range(40):
        draw, position, token = design(seed, 60)  # 20 cells for 60 points
        z = torch.randn(60, 1, generator=draw).double()
        found.append(variance_shares(z, position, token)["context"])
    # 1 on the mean; undivided sums would give about 40 / 59
    error = np.std(found) / 40**0.5
    assert abs(np.mean(found) - 1) < 3 * error < 0.2


def test_layer_zero_of_a_model_knows_no_context_and_later_layers_do(model):
    text = "".join(np.random.default_rng(0).choice(list("to be"), 1600))
    atlas = collect(model, ids_of(text, TOKENS), names_of(TOKENS))
    shares = [variance_shares(z, atlas.position, atlas.ids) for z in atlas.z]
    assert abs(shares[0]["context"]) < 1e-9
    assert shares[1]["context"] > 1e-3
    # coordinates of position alone are all position
    blind = build(replace(CONFIG, coordinates="position"), seed=1)
    atlas = collect(blind, ids_of(text, TOKENS), names_of(TOKENS))
    assert variance_shares(atlas.z[0], atlas.position, atlas.ids)["position"] == 1


def test_a_text_in_which_nothing_comes_twice_is_refused():
    z = torch.randn(5, 2)
    with pytest.raises(ValueError, match="none stands twice"):
        variance_shares(z, torch.arange(5), torch.zeros(5).long())


# ranks, neighbours, moves


def test_rank_correlation_equals_pandas_with_ties():
    import pandas as pd

    draw = np.random.default_rng(3)
    x, y = draw.integers(0, 9, 50), draw.integers(0, 9, 50)
    rho, low, high = rank_correlation(x, y)
    ranks = pd.DataFrame({"x": x, "y": y}).rank()
    assert abs(rho - ranks.corr().iloc[0, 1]) < 1e-12
    assert low < rho < high


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    draw = np.random.default_rng(4)
    r = 0.6
    truth = 6 / np.pi * np.arcsin(r / 2)  # Spearman's ρ of a normal pair
    hits = 0
    for _ in range(400):
        x = draw.standard_normal(40)
        y = r * x + (1 - r * r) ** 0.5 * draw.standard_normal(40)
        _, low, high = rank_correlation(x, y)
        hits += low < truth < high
    # 95% of 400 with a standard deviation of 4.4
    assert 362 <= hits <= 396


def test_ranks_within_groups_ignore_what_lies_between_them():
    x = [*range(10), *range(100, 110)]
    y = [*range(9, -1, -1), *range(109, 99, -1)]
    groups = ["a"] * 10 + ["b"] * 10
    assert rank_correlation(x, y)[0] > 0.4
    assert rank_correlation(x, y, groups)[0] == pytest.approx(-1)


@pytest.mark.parametrize("x, y", [([1, 2, 3], [1, 2, 3]), (range(9), [1] * 9)])
def test_what_cannot_be_ranked_is_nan(x, y):
    assert all(np.isnan(v) for v in rank_correlation(x, y))


def test_no_row_is_its_own_neighbour_even_where_rows_are_equal():
    table = torch.zeros(6, 2)
    near = nearest(table, 3)
    assert not (near == torch.arange(6)[:, None]).any()
    with pytest.raises(ValueError, match="use 1 to 5"):
        nearest(table, 6)


def test_shuffling_gives_the_chance_that_counting_gives():
    kinds = ["a"] * 4 + ["b"] * 9 + ["c"] * 2
    near = nearest(torch.randn(15, 2, generator=torch.Generator().manual_seed(1)), 2)
    dealt = shuffled(near, kinds, 3000, torch.Generator().manual_seed(2))
    chance = sum(c * (c - 1) for c in (4, 9, 2)) / (15 * 14)
    assert abs(dealt.mean() - chance) < 4 * dealt.std() / 3000**0.5
    groups = torch.tensor([[1], [0], [3], [2]])
    assert agreement(groups, ["a", "a", "b", "b"]) == 1
    assert agreement(groups, ["a", "b", "a", "b"]) == 0


def test_moves_are_measured_in_distances_between_points():
    z = torch.randn(200, 4, generator=torch.Generator().manual_seed(3))
    shift = torch.full((4,), 2.0)
    distance = torch.cdist(z.double(), z.double()).square().mean().sqrt().item()
    assert moves(torch.stack([z, z + shift])).item() == pytest.approx(
        shift.norm().item() / distance, rel=1e-5)


# the page


def chromium():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no Chromium, Chrome or Edge is on the PATH; install one "
                    "(Debian: chromium)")
    return found


@pytest.fixture(scope="module")
def page_file(atlas, tmp_path_factory):
    view = project(atlas.z)
    path = tmp_path_factory.mktemp("atlas") / "지도 1.html"
    return write([("지도", "Atlas", atlas_figure(atlas, view))], path, "A <b> & 지도")


@pytest.mark.slow
def test_the_page_opens_without_a_network_and_points_carry_token_mass_and_layer(
    page_file, atlas
):
    view = project(atlas.z)
    asked, errors = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=[
            "--no-sandbox", "--disable-gpu", "--use-gl=angle",
            "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            "--disable-background-networking", "--disable-component-update"])
        context = browser.new_context(offline=True)
        page = context.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda m: m.type == "error" and errors.append(m.text))
        page.goto(page_file.as_uri())
        page.wait_for_selector("#atlas-0 .gl-container canvas", state="attached")
        assert page.title() == "A <b> & 지도"
        read = """() => document.getElementById('atlas-0').data
            .filter((trace) => trace.customdata && trace.visible !== false)
            .map((t) => [t.customdata, t.text, [...t.x], [...t.y], [...t.z]])"""
        for layer in (0, 2):
            if layer:  # the real slider: its last stop
                page.locator("#atlas-0 .slider-rail-touch-rect").click(
                    position={"x": page.locator(
                        "#atlas-0 .slider-rail-touch-rect").bounding_box()["width"] - 2,
                        "y": 5})
                page.wait_for_function(
                    "document.getElementById('atlas-0').layout.sliders[0].active == 2")
            points = [point for trace in page.evaluate(read)
                      for point in zip(*trace, strict=True)]
            assert len(points) == len(TEXT)
            mine = sorted(
                (label, round(mass, 3), layer, place, kind, *xyz)
                for label, mass, place, kind, xyz in zip(
                    atlas.labels, atlas.mass.tolist(), atlas.position.tolist(),
                    atlas.kinds, np.round(view.places[layer].tolist(), 3).tolist(),
                    strict=True))
            theirs = sorted((*data, x, y, z) for data, _, x, y, z in points)
            for one, two in zip(mine, theirs, strict=True):
                assert one[0] == two[0] and one[2:5] == tuple(two[2:5])
                assert np.allclose([one[1], *one[5:]], [two[1], *two[5:]], atol=2e-3)
        page.get_by_text("mass", exact=True).first.click()
        page.wait_for_function(
            "document.getElementById('atlas-0').data.at(-1).visible === true")
        colours = page.evaluate(
            "[...document.getElementById('atlas-0').data.at(-1).marker.color]")
        assert np.allclose(colours, atlas.mass, atol=1e-3)
        browser.close()
    assert asked == [page_file.as_uri()]
    assert not errors


def test_no_label_opens_a_tag_and_the_raw_one_is_kept(atlas):
    figure = json.loads(atlas_figure(atlas, project(atlas.z)).to_json())
    pairs = {(point[0], shown) for trace in figure["data"] if "customdata" in trace
             for point, shown in zip(trace["customdata"], trace["text"], strict=True)}
    assert ("<", "＜") in pairs and ("&", "＆") in pairs and ("T", "T") in pairs
    assert not any("<" in shown or "&" in shown for _, shown in pairs)


def test_the_line_is_broken_between_windows(atlas):
    line = atlas_figure(atlas, project(atlas.z)).data[0]
    gaps = [i for i, x in enumerate(line.x) if x is None]
    assert gaps == [17 * n - 1 for n in range(1, (len(TEXT) - 1) // 16 + 1)]


# wrong use


def keep(folder, config):
    save(folder, whole(model=build(config, 0).state_dict()), {"configuration": {
        "kind": "gravity_lm", "model": asdict(config), "tokenizer": TOKENS.to_json(),
        "options": {"dataset": "tinyshakespeare"}}})
    return folder


def test_a_checkpoint_gives_back_the_model_and_its_tokenizer(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    source = opened(keep(tmp_path / "ngt", CONFIG), data_path=str(file))
    ids = to_show("not to be", source, 5)
    assert source.tokens.decode(ids.tolist()) == "not to be"
    atlas = collect(source.model, ids, names_of(source.tokens))
    fresh = collect(build(CONFIG, 0), ids, names_of(TOKENS))
    assert torch.equal(atlas.z, fresh.z)
    assert len(to_show(None, source, 5)) == 5


def test_wrong_use_is_one_sentence_that_says_what_to_do(tmp_path, model):
    file = tmp_path / "text.txt"
    file.write_text(TEXT, encoding="utf-8")
    vanilla = keep(tmp_path / "vanilla", replace(CONFIG, attention="dot"))
    source = opened(keep(tmp_path / "ngt", CONFIG), data_path=str(file))
    for wrong, kind, words in (
        (lambda: opened(tmp_path / "nowhere"), CheckpointError, "no checkpoint"),
        (lambda: opened(vanilla), ValueError, "is vanilla"),
        (lambda: opened(None, "shakespear"), ValueError, "use one of"),
        (lambda: to_show("", source, 5), ValueError, "text is empty"),
        (lambda: to_show("한글", source, 5), ValueError, "never saw '한'"),
        (lambda: to_show("be " * 2000, source, 5), ValueError, "at most 4,096"),
        (lambda: place_for("text.txt/a.html", tmp_path), ValueError, "is a file"),
        (lambda: place_for("", tmp_path), ValueError, "is a folder"),
        (lambda: collect(build(replace(CONFIG, attention="dot"), 0),
                         ids_of("be", TOKENS), names_of(TOKENS)), ValueError, "NGT"),
        (lambda: collect(model, ids_of("", TOKENS), names_of(TOKENS)), ValueError,
         "empty"),
    ):
        with pytest.raises(kind) as caught:
            wrong()
        said = str(caught.value)
        assert words in said and "\n" not in said


def test_a_relative_output_begins_at_the_root_and_its_folder_is_made(tmp_path):
    folder = tmp_path / "new" / "한글"
    assert place_for("new/한글/atlas.html", tmp_path) == folder / "atlas.html"
    assert folder.is_dir()
    elsewhere = tmp_path / "other.html"
    assert place_for(elsewhere, tmp_path / "root") == elsewhere
