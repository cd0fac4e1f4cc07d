"""The five analyses: numbers of real computations, figures drawn without a warning."""

import json
import math

import numpy as np
import pandas as pd
import pytest
import torch
import zoo
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from PIL import Image
from torch import nn

from lib.page.figures import to_svg, use_style
from lib.trace.analyses import (
    Snapshots,
    as_matrix,
    attention_figure,
    attention_plot,
    attention_table,
    feed_forward_figure,
    feed_forward_plot,
    feed_forward_table,
    gradient_figure,
    gradient_plot,
    gradient_table,
    heads_table,
    path_figure,
    path_plot,
    path_table,
    qkv_figure,
    qkv_plot,
    qkv_table,
    save_png,
)
from lib.trace.figures import readable, romanise
from lib.trace.recorder import trace

whole = pytest.mark.parametrize("family", zoo.WHOLE)
KOREAN = ["2026", "년", " ", "3월", "$x$", "猫", "</s>"]
LATIN = ["<bos>", "March", " ", "$5$", ","]
TOKENS = {"encoder": KOREAN, "decoder": LATIN, "": KOREAN}


@pytest.fixture(autouse=True)
def style():
    with plt.rc_context():
        use_style()
        yield
    plt.close("all")


def traced_with_gradients(family):
    model, batch = zoo.make(family)
    with trace(model) as traced:
        zoo.logits(model(**batch)).square().mean().backward()
    return model, traced


def tables(family):
    """All five tables of one model, by name."""
    model, traced = traced_with_gradients(family)
    stack = list(traced.blocks)[-1]
    return {
        "qkv": qkv_table(traced, TOKENS),
        "attention": attention_table(traced, TOKENS),
        "feed_forward": feed_forward_table(traced, TOKENS),
        "gradient": gradient_table(model),
        "path": path_table(traced, TOKENS, stack=stack),
    }


def loss(model, batch):
    logits = zoo.logits(model(**batch))
    return logits.square().sum(), logits.shape[1]


def trained(family, steps=4, every=2, **options):
    """A few steps of training, watched."""
    model, batch = zoo.make(family)
    options = {"tokens": TOKENS, "loss": loss} | options
    snapshots = Snapshots(batch, every=every, **options)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for step in range(steps + 1):
        snapshots(step, model)
        optimizer.zero_grad()
        total, count = loss(model, batch)
        (total / count).backward()
        optimizer.step()
    return snapshots


# ---- the numbers --------------------------------------------------------------------


@whole
def test_norms_spread_and_cosines_are_those_of_numpy(family):
    _, traced = traced_with_gradients(family)
    table = qkv_table(traced, row=1)
    assert set(table["part"]) == {"q", "k", "v"}
    assert set(table["attention"]) == set(traced.attentions)
    for row in table.itertuples():
        x = traced[f"{row.attention}.{row.part}"][1, row.head].double().numpy()
        norms = np.linalg.norm(x, axis=-1)
        assert row.norm == pytest.approx(norms.mean())
        centred = x - x.mean(0)
        assert row.spread == pytest.approx(math.sqrt((centred**2).sum(-1).mean()))
        unit = x / norms[:, None]
        between = (unit @ unit.T)[~np.eye(len(x), dtype=bool)]
        assert row.cosine == pytest.approx(between.mean())
        assert math.isnan(row.change)


def test_the_change_is_the_cosine_with_the_snapshot_before():
    model, batch = zoo.make("our transformer")
    traces = {}
    for step in (0, 5):
        with trace(model) as traces[step], torch.no_grad():
            model(**batch)
            model.encoder[0].attention.query.weight.add_(0.1)
    assert qkv_table(traces[0])["change"].isna().all()
    later = qkv_table(traces[5], before=traces[0])
    name = "encoder.blocks.0.attn"
    x, y = (traces[step][f"{name}.q"][0].double().numpy() for step in (0, 5))
    cosine = (x * y).sum(-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)
    own = later[(later["attention"] == name) & (later["part"] == "q")]
    assert own["change"].tolist() == pytest.approx(cosine.mean(-1).tolist())
    assert (own["change"] < 0.999).all()
    same = later[(later["attention"] == name) & (later["part"] == "k")]
    assert same["change"].tolist() == pytest.approx([1.0] * len(same))


@whole
def test_rows_of_weights_sum_to_one(family):
    _, traced = traced_with_gradients(family)
    table = attention_table(traced)
    sums = table.groupby(["attention", "head", "query"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    size = sum(traced[f"{name}.pattern"][0].numel() for name in traced.attentions)
    assert len(table) == size


def test_the_tables_of_a_part_of_a_trace_are_those_of_the_whole():
    _, traced = traced_with_gradients("our transformer")
    part = traced.only("*.pattern", "*.[qkv]", "*.mlp.*", "*.resid_pre", "*.ln2")
    for table in (attention_table, qkv_table, heads_table, feed_forward_table):
        pd.testing.assert_frame_equal(table(part, TOKENS), table(traced, TOKENS))
    paths = [path_table(each, TOKENS, stack="decoder") for each in (part, traced)]
    pd.testing.assert_frame_equal(*paths)
    with pytest.raises(KeyError, match="resid_pre' was not recorded"):
        path_table(traced.only("*.pattern"), stack="decoder")


def test_padding_beyond_the_tokens_is_left_out_and_the_rows_still_sum_to_one():
    model, batch = zoo.make("our transformer")  # source 1 is five tokens and padding
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    tokens = {"encoder": list("abcde"), "decoder": list("vwxyz")}
    cross = attention_table(traced, tokens, row=1, names=["decoder.blocks.1.cross"])
    assert cross["key"].max() == 4
    assert set(cross["key_token"]) == set("abcde")
    assert set(cross["query_token"]) == set("vwxyz")
    sums = cross.groupby(["head", "query"])["weight"].sum()
    assert sums.to_numpy() == pytest.approx(np.ones(len(sums)))
    # and what stands in the padding changes no other number
    with trace(model) as other, torch.no_grad():
        batch["source"][1, 5:] = 0
        model(**batch)
    for table in (qkv_table, heads_table, feed_forward_table):
        pd.testing.assert_frame_equal(
            table(traced, tokens, row=1), table(other, tokens, row=1)
        )
    assert len(path_table(traced, tokens, row=1, stack="encoder")) == 3 * 5


def test_a_matrix_of_the_table_is_the_recorded_map():
    _, traced = traced_with_gradients("marian")
    name = "decoder.blocks.2.cross"
    table = attention_table(traced, TOKENS, names=[name])
    matrix = as_matrix(table, head=3)
    assert matrix.to_numpy() == pytest.approx(traced[f"{name}.pattern"][0, 3].numpy())
    assert matrix.index.tolist() == ["<bos>", "March", "␣", "$5$", ","]
    assert matrix.columns.tolist()[:3] == ["2026", "년", "␣"]
    with pytest.raises(ValueError, match="head 9 is not there; use one of 0, 1, 2, 3"):
        as_matrix(table, head=9)


def test_a_head_that_looks_one_back_is_seen_as_one():
    model, batch = zoo.make("our decoder")
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    weights = torch.zeros(4, 7, 7)
    weights[:, 0, 0] = 1
    weights[:2].diagonal(-1, 1, 2).fill_(1)
    weights[2:].diagonal(0, 1, 2).fill_(0.5)
    weights[2:, 1:, 0] += 0.5
    traced._tensors["blocks.0.attn.pattern"] = weights[None]
    table = heads_table(traced)
    own = table[table["layer"] == 0].set_index("head")
    assert own.loc[0, ["entropy", "top", "before", "itself"]].tolist() == [0, 1, 1, 0]
    assert own.loc[0, "first"] == pytest.approx(1 / 6)
    assert own.loc[2, ["entropy", "top", "first", "itself"]].tolist() == [1, .5, .5, .5]


def test_cross_attention_has_no_token_before():
    _, traced = traced_with_gradients("bart")
    table = heads_table(traced, TOKENS)
    cross = table["kind"] == "cross"
    assert table.loc[cross, ["before", "itself"]].isna().all(axis=None)
    assert table.loc[~cross, ["before", "itself"]].notna().all(axis=None)


@whole
def test_feed_forward_numbers_are_those_of_numpy(family):
    _, traced = traced_with_gradients(family)
    for row in feed_forward_table(traced).itertuples():
        block = traced.blocks[row.stack][row.layer]
        x = traced[f"{block}.mlp.{row.part}"][0].double().numpy()
        assert row.active == pytest.approx((x > 0).mean())
        assert row.mean == pytest.approx(x.mean(), abs=1e-12)
        assert row.std == pytest.approx(x.std())
        assert row.largest == pytest.approx(np.abs(x).max())
        share = (x**2).sum(-1) ** 2 / (x**4).sum(-1) / x.shape[-1]
        assert row.effective == pytest.approx(share.mean())
        assert 1 / x.shape[-1] <= row.effective <= 1


def test_relu_switches_off_what_is_below_zero_and_nothing_else():
    _, traced = traced_with_gradients("our transformer")
    table = feed_forward_table(traced).set_index(["stack", "layer", "part"])
    for stack, layer in {key[:2] for key in table.index}:
        pre, post = table.loc[(stack, layer, "pre")], table.loc[(stack, layer, "post")]
        assert pre["active"] == post["active"]
        assert post["mean"] > pre["mean"]


@pytest.mark.slow
@whole
def test_gradient_norms_add_up_to_that_of_the_whole_model(family):
    model, _ = traced_with_gradients(family)
    table = gradient_table(model)
    # what the table leaves out: heads and norms outside of the named parts
    named = {id(p) for module in counted(model) for p in module.parameters(False)}
    total = sum(p.grad.double().pow(2).sum() for p in model.parameters()
                if p.grad is not None and id(p) in named)
    assert table["gradient"].pow(2).sum() == pytest.approx(total.item())
    with_size = table[table["weight"] > 0]
    ratio = with_size["gradient"] / with_size["weight"]
    assert with_size["ratio"].tolist() == pytest.approx(ratio.tolist())
    kinds = {"query", "key", "value", "output", "up", "down"}
    for _, own in table[table["layer"].between(0, 1)].groupby(["stack", "layer"]):
        assert kinds <= set(own["kind"])


def counted(model):
    from lib.trace.layout import layout

    parts = layout(model)
    found = [module for _, module in parts.embeddings] + list(parts.last.values())
    for block in parts.blocks:
        found += [module for name, module in block.parts.items()
                  if isinstance(module, nn.Module) and name not in ("attn", "cross")]
    return found


def test_joined_projections_of_gpt2_are_taken_apart():
    model, _ = traced_with_gradients("gpt2")
    table = gradient_table(model)
    own = table[(table["layer"] == 1) & (table["parameter"] == "weight")]
    gradient = model.transformer.h[1].attn.c_attn.weight.grad.split(32, dim=1)
    for kind, third in zip(("query", "key", "value"), gradient, strict=True):
        found = own.loc[own["kind"] == kind, "gradient"].item()
        assert found == pytest.approx(third.norm().item())


def test_joined_projections_of_gpt_neox_are_taken_apart_head_by_head():
    model, _ = traced_with_gradients("gpt_neox")
    table = gradient_table(model)
    module = model.gpt_neox.layers[1].attention.query_key_value
    for parameter, kind in ((module.weight, "weight"), (module.bias, "bias")):
        own = table[(table["layer"] == 1) & (table["parameter"] == kind)]
        heads = parameter.grad.unflatten(0, (4, 3, 8))  # head, part, d_head
        for i, part in enumerate(("query", "key", "value")):
            found = own.loc[own["kind"] == part, "gradient"].item()
            assert found == pytest.approx(heads[:, i].norm().item())


def test_gradients_are_asked_for_after_backward():
    model, _ = zoo.make("gpt2")
    with pytest.raises(ValueError, match=r"call backward\(\) on a loss first"):
        gradient_table(model)


@whole
def test_the_path_begins_at_the_embedding_and_keeps_distances(family):
    model, batch = zoo.make(family)
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    stack = list(traced.blocks)[-1]
    table = path_table(traced, stack=stack)
    stream = traced.stream(stack)[:, 0].double().numpy()
    assert table["layer"].max() == len(traced.blocks[stack])
    start = table[table["layer"] == 0]
    assert start["norm"].tolist() == pytest.approx(
        np.linalg.norm(stream[0], axis=-1).tolist())
    assert start["cosine"].tolist() == pytest.approx([1.0] * len(start))
    # coordinates are projections of what was recorded on three orthogonal axes
    flat = stream.reshape(-1, stream.shape[-1])
    centred = flat - flat.mean(0)
    xyz = table[["x", "y", "z"]].to_numpy()
    variances = np.linalg.eigvalsh(centred.T @ centred)[::-1]
    assert xyz.T @ xyz == pytest.approx(np.diag(variances[:3]), abs=1e-8)
    shares = variances[:3] / variances.sum()
    assert table.attrs["explained"] == pytest.approx(shares.tolist())
    seen = np.linalg.norm(xyz[0] - xyz[-1])
    assert seen <= np.linalg.norm(centred[0] - centred[-1]) + 1e-9


def test_paths_of_vectors_of_one_length_do_not_depend_on_their_length():
    model, batch = zoo.make("llama")
    with trace(model) as traced, torch.no_grad():
        model(**batch)
    table = path_table(traced, unit=True)
    for name in list(traced):
        if name.endswith(("resid_pre", "resid_post")):
            traced._tensors[name] = traced[name] * 7
    longer = path_table(traced, unit=True)
    assert longer["norm"].tolist() == pytest.approx((7 * table["norm"]).tolist())
    columns = ["x", "y", "z", "cosine"]
    # seven times a number of float32 is rounded once more, by up to 2^-24 of it
    assert longer[columns].to_numpy() == pytest.approx(
        table[columns].to_numpy(), abs=2.0**-23
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda t: attention_table(t, ["a"] * 9), "9 tokens came and 7 were traced"),
        (lambda t: attention_table(t, names=["blocks.7.attn"]),
         "'blocks.7.attn' is no attention layer"),
        (lambda t: path_table(t, stack="decoder"), "stack 'decoder' is not there"),
    ],
)
def test_what_does_not_fit_the_trace_is_named(call, words):
    _, traced = traced_with_gradients("gpt2")
    with pytest.raises((ValueError, KeyError), match=words):
        call(traced)


def test_one_list_of_tokens_is_not_enough_for_two_stacks():
    _, traced = traced_with_gradients("marian")
    with pytest.raises(ValueError, match="one list of tokens came"):
        qkv_table(traced, KOREAN)


@pytest.mark.parametrize("table", [qkv_table, attention_table, feed_forward_table])
def test_what_was_not_recorded_is_asked_for(table):
    model, batch = zoo.make("gpt2")
    with trace(model, ("embed",)) as traced, torch.no_grad():
        model(**batch)
    with pytest.raises(KeyError, match="was recorded; open trace"):
        table(traced)


# ---- snapshots ----------------------------------------------------------------------


@pytest.mark.slow
@whole
def test_snapshots_hold_what_a_trace_at_that_step_holds(family):
    model, batch = zoo.make(family)
    snapshots = Snapshots(batch, TOKENS, loss=loss)
    snapshots(0, model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.1)
    snapshots(1, model)
    with trace(model) as traced:
        total, count = loss(model, batch)
    (total / count).backward()
    expected = {"heads": heads_table(traced, TOKENS),
                "feed_forward": feed_forward_table(traced, TOKENS),
                "gradients": gradient_table(model)}
    for name, table in expected.items():
        own = getattr(snapshots, name)
        own = own[own["step"] == 1].drop(columns="step").reset_index(drop=True)
        pd.testing.assert_frame_equal(own, table)
    for name in traced.attentions:
        maps = snapshots.attention(name)
        maps = maps[maps["step"] == 1].drop(columns="step").reset_index(drop=True)
        pd.testing.assert_frame_equal(
            maps, attention_table(traced, TOKENS, names=[name])
        )
    assert snapshots.qkv.loc[snapshots.qkv["step"] == 1, "change"].notna().all()


@pytest.mark.slow
@pytest.mark.parametrize("family", ["our transformer", "gpt2"])
def test_a_training_does_not_notice_that_it_is_watched(family):
    def train(watch):
        model, batch = zoo.make(family)
        model.train()
        first = next(model.modules())
        layer = [module for module in model.modules() if module is not first][3]
        layer.eval()  # a mode of its own must survive
        torch.manual_seed(0)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        snapshots = Snapshots(batch, loss=loss)
        for step in range(3):
            total, _ = loss(model, batch)
            total.backward()
            if watch:  # between backward and the step: gradients must survive
                snapshots(step, model)
            assert not layer.training
            optimizer.step()
            optimizer.zero_grad()
        return model.state_dict()

    quiet, watched = train(False), train(True)
    for name, tensor in quiet.items():
        assert torch.equal(tensor, watched[name])


def test_an_error_in_a_snapshot_leaves_the_model_as_it_was():
    model, batch = zoo.make("our decoder")
    model.train()
    model(**batch).sum().backward()
    gradients = {name: p.grad for name, p in model.named_parameters()}

    def broken(model, batch):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        Snapshots(batch, loss=broken)(0, model)
    assert model.training
    assert all(p.grad is gradients[name] for name, p in model.named_parameters())


@pytest.mark.slow
def test_snapshots_are_taken_every_n_steps_and_at_the_end():
    model, batch = zoo.make("our decoder")
    snapshots = Snapshots(batch, every=3)

    class Step:  # as lib.training.loop.fit tells it
        def __init__(self, step):
            self.step, self.steps, self.model = step, 7, model

    for step in range(1, 8):
        snapshots(Step(step))
    assert snapshots.steps == [3, 6, 7]
    again = Snapshots(batch, every=3)
    for step in range(5):
        again(step, model)
    assert again.steps == [0, 3]


@pytest.mark.slow
def test_snapshots_keep_only_what_is_small():
    model, batch = zoo.make("our transformer")
    snapshots = Snapshots(batch)
    for step in range(3):
        snapshots(step, model)
    kept = [x for weights in snapshots._weights for x in weights.values()]
    maps = 6 * 4 * 7 * 7  # at most: layers, heads, queries, keys
    assert sum(x.numel() for x in kept) <= 3 * maps
    assert all(x.untyped_storage().nbytes() == x.nbytes for x in kept)
    assert all(name.rsplit(".")[-1] in "qkv" for name in snapshots._before)


def test_what_snapshots_do_not_hold_is_named():
    model, batch = zoo.make("our decoder")
    snapshots = Snapshots(batch)
    with pytest.raises(ValueError, match="no snapshot yet"):
        snapshots.attention()
    with pytest.raises(ValueError, match="pass it as on_step"):
        _ = snapshots.qkv
    snapshots(0, model)
    with pytest.raises(ValueError, match="give Snapshots a loss"):
        _ = snapshots.gradients
    with pytest.raises(KeyError, match=r"'blocks.9.attn' is no attention layer"):
        snapshots.attention("blocks.9.attn")
    with pytest.raises(ValueError, match="every is 0"):
        Snapshots(batch, every=0)


# ---- the figures --------------------------------------------------------------------

FIGURES = {"qkv": qkv_figure, "attention": attention_figure,
           "feed_forward": feed_forward_figure, "gradient": gradient_figure,
           "path": path_figure}
PLOTS = {"qkv": qkv_plot, "attention": attention_plot,
         "feed_forward": feed_forward_plot, "gradient": gradient_plot,
         "path": path_plot}


def evolutions(family):
    snapshots = trained(family)
    return {"qkv": snapshots.qkv, "attention": snapshots.attention(),
            "feed_forward": snapshots.feed_forward, "gradient": snapshots.gradients}


def is_png(path):
    with Image.open(path) as image:
        image.load()
        return image.format == "PNG" and image.width > 400 and image.height > 200


@pytest.mark.slow
@pytest.mark.parametrize("family", ["our transformer", "gpt2", "bert", "llama"])
def test_every_figure_is_drawn_as_svg_and_png_without_a_warning(family, tmp_path):
    for name, table in tables(family).items():
        figure = FIGURES[name](table)
        assert isinstance(figure, Figure)
        svg = to_svg(figure, name)
        assert "년" not in svg  # the font has no Hangul
        assert is_png(save_png(figure, tmp_path / "deep" / f"{name}.png"))
    assert not plt.get_fignums()
    assert [p.name for p in (tmp_path / "deep").glob(".*")] == []


@pytest.mark.slow
@pytest.mark.parametrize("family", ["our transformer", "gpt2"])
def test_every_evolution_is_drawn_as_svg_and_png_without_a_warning(family, tmp_path):
    for name, table in evolutions(family).items():
        figure = FIGURES[name](table)
        to_svg(figure, name)
        assert is_png(save_png(figure, tmp_path / f"{name}_evolution.png"))


def test_attention_maps_show_the_weights_of_each_head_with_their_labels():
    _, traced = traced_with_gradients("our transformer")
    name = "decoder.blocks.0.cross"
    figure = attention_figure(attention_table(traced, TOKENS), name, heads=[1, 3])
    for axis, head in zip(figure.axes, (1, 3), strict=True):
        assert axis.get_title() == f"head {head}"
        drawn = axis.images[0].get_array()
        expected = traced[f"{name}.pattern"][0, head].numpy()
        assert np.asarray(drawn) == pytest.approx(expected)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["2026", "nyeon", "␣", "3wol", r"\$x\$", "#5", "</s>"]
    assert "Hangul romanised" in figure._supxlabel.get_text()
    assert figure._suptitle.get_text() == "cross-attention, layer 0"
    with pytest.raises(ValueError, match="head 9 is not there"):
        attention_figure(attention_table(traced), heads=[9])
    with pytest.raises(ValueError, match="'nowhere' is not in the table"):
        attention_figure(attention_table(traced), "nowhere")


def test_an_evolution_shows_heads_down_and_steps_across():
    snapshots = trained("our transformer", steps=6, every=1)
    figure = attention_figure(snapshots.attention(), heads=[0, 2], steps=3)
    titles = [axis.get_title() for axis in figure.axes]
    assert titles == [f"head {head} · step {step}"
                      for head in (0, 2) for step in (0, 3, 6)]
    maps = snapshots.attention()
    drawn = figure.axes[4].images[0].get_array()
    expected = as_matrix(maps, head=2, step=3).to_numpy()
    assert np.asarray(drawn) == pytest.approx(expected)


def test_labels_that_the_font_has_stay_as_they_are():
    assert readable(["cat", "␣물", "猫"]) == (
        ["cat", "␣mul", "#2"], "Hangul romanised; #n: no letters for it")
    assert readable(["café", "␣the", "⏎", "·1/3"])[1] == ""


@pytest.mark.parametrize(
    ("korean", "latin"),  # of the standard's own examples, where no sounds change
    [("구미", "gumi"), ("영동", "yeongdong"), ("대관령", "daegwanryeong"),
     ("한밭", "hanbat"), ("부산", "busan"), ("옥천", "okcheon"), ("합덕", "hapdeok")],
)
def test_hangul_is_romanised_letter_by_letter(korean, latin):
    assert romanise(korean) == latin


@pytest.mark.slow
@whole
def test_every_plot_holds_numbers_only_and_is_light(family):
    for name, table in tables(family).items():
        figure = PLOTS[name](table)
        content = figure.to_json()
        assert len(content) < 4_000_000
        json.loads(content, parse_constant=pytest.fail)  # NaN is no JSON
        for change in restyles(figure):
            for key, values in change.items():
                assert len(values) == len(figure.data), (name, key)


def restyles(figure):
    return [step.args[0] for slider in figure.layout.sliders for step in slider.steps]


@pytest.mark.parametrize("family", ["our transformer", "gpt2", "bert"])
def test_sliders_of_a_training_go_through_its_steps(family):
    for name, table in evolutions(family).items():
        figure = PLOTS[name](table)
        slider = figure.layout.sliders[0]
        assert [step.label for step in slider.steps] == ["0", "2", "4"]
        assert slider.active == 2
        # what is drawn first is what the slider says
        key = "z" if name == "attention" else "y"
        shown = [tuple(np.ravel(trace[key])) for trace in figure.data]
        said = [tuple(np.ravel(values)) for values in slider.steps[2].args[0][key]]
        assert shown == said
        json.loads(figure.to_json(), parse_constant=pytest.fail)


def test_the_menu_changes_what_is_seen_and_the_slider_what_it_is():
    snapshots = trained("our transformer")
    figure = attention_plot(snapshots.attention("decoder.blocks.1.cross"))
    buttons = figure.layout.updatemenus[0].buttons
    assert [button.label for button in buttons] == [
        f"layer 1 · head {head}" for head in range(4)]
    for place, button in enumerate(buttons):
        assert list(button.args[0]) == ["visible"]
        assert np.flatnonzero(button.args[0]["visible"]).tolist() == [place]
    for step, change in zip(snapshots.steps, restyles(figure), strict=True):
        assert list(change) == ["z"]
        maps = snapshots.attention("decoder.blocks.1.cross")
        matrix = as_matrix(maps, head=2, step=step).to_numpy()
        assert np.array(change["z"][2]) == pytest.approx(matrix, abs=5e-4)


def test_a_plot_of_one_trace_slides_over_layers_and_shows_hangul():
    _, traced = traced_with_gradients("marian")
    table = attention_table(traced, TOKENS)
    figure = attention_plot(table)
    assert figure.layout.title.text == "cross-attention"
    assert [step.label for step in figure.layout.sliders[0].steps] == ["0", "1", "2"]
    heat = figure.data[0]
    assert [label.rstrip("\u200b") for label in heat.x][:2] == ["2026", "년"]
    assert len(set(heat.x)) == 7
    own = attention_plot(table, "encoder self-attention")
    assert len(own.layout.sliders[0].steps) == 2
    with pytest.raises(ValueError, match="'sideways' is not in the table; use one of"):
        attention_plot(table, "sideways")


def test_equal_tokens_keep_places_of_their_own():
    _, traced = traced_with_gradients("gpt2")
    figure = attention_plot(attention_table(traced, ["a", "b", "a", "a"]))
    assert len(set(figure.data[0].x)) == 4
    assert {label.strip("\u200b") for label in figure.data[0].x} == {"a", "b"}


def test_the_path_grows_with_the_slider():
    _, traced = traced_with_gradients("llama")
    table = path_table(traced, KOREAN)
    figure = path_plot(table)
    assert len(figure.data) == len(KOREAN)
    for upto, change in enumerate(restyles(figure), start=1):
        assert {len(values) for values in change["x"]} == {upto}
        assert [text[-1] for text in change["text"]][1] == "년"
    last = restyles(figure)[-1]["x"][0]
    own = table[table["place"] == 0].sort_values("layer")
    assert last == pytest.approx(own["x"].tolist(), rel=1e-3)


def test_only_matplotlib_figures_become_png(tmp_path):
    _, traced = traced_with_gradients("gpt2")
    with pytest.raises(TypeError, match="use the …_figure function instead"):
        save_png(qkv_plot(qkv_table(traced)), tmp_path / "a.png")


def test_a_png_that_cannot_be_written_leaves_nothing(tmp_path):
    figure = plt.figure()
    figure.text(0, 0, "a")
    figure.savefig = lambda *_, **__: (_ for _ in ()).throw(OSError("disk full"))
    with pytest.raises(OSError, match="disk full"):
        save_png(figure, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_same_trace_draws_the_same_bytes():
    first, second = tables("our transformer"), tables("our transformer")
    for name, draw in PLOTS.items():
        assert draw(first[name]).to_json() == draw(second[name]).to_json()
    for name, draw in FIGURES.items():
        one, other = (to_svg(draw(found[name]), name) for found in (first, second))
        assert one == other
