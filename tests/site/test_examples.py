"""What a teacher would try in the built page, from a folder and without a kernel:
choose a layer and a head, change the temperature, step through training."""

import pytest

QKV, TRAINING = "02_qkv_tracing", "05_training"
LANGS = pytest.mark.parametrize("lang", ["ko", "en"])


def set_range(slider, value):
    slider.evaluate(
        "(node, value) => { node.value = value;"
        " node.dispatchEvent(new Event('input', { bubbles: true })); }", str(value))


def along(seen, section, count):
    """Click along the slider of a section's plotly figure; what it showed each time."""
    rail = seen.page.locator(f"section#{section} .slider-rail-touch-rect").first
    picture = seen.page.locator(f"section#{section} .plot").first
    shown = []
    for place in range(count):
        rail.scroll_into_view_if_needed()
        box = rail.bounding_box()
        share = 0.01 + 0.98 * place / (count - 1)
        seen.page.mouse.click(box["x"] + box["width"] * share,
                              box["y"] + box["height"] / 2)
        wanted = picture.evaluate(  # between two steps it may take either
            "(plot, share) => share * (plot.layout.sliders[0].steps.length - 1)", share)
        seen.page.wait_for_function(
            "([plot, wanted]) => Math.abs("
            "(plot.layout.sliders[0].active ?? 0) - wanted) < 0.6",
            arg=[picture.element_handle(), wanted])
        shown.append(picture.evaluate(
            "(plot) => ({title: plot.layout.title.text, traces: plot.data.filter("
            "(trace) => trace.visible !== false).map((trace) => "
            "Array.from(trace.z ?? trace.y, (row) => row.length ? [...row] : row))})"))
    return shown


@LANGS
def test_a_layer_and_a_head_are_chosen(site, visit, lang):
    seen = visit((site / lang / f"{QKV}.html").as_uri()).scroll_through()
    figure = seen.page.locator("[data-figure]").first
    told = set()
    for layer, head in ((0, 0), (16, 0), (29, 8)):
        set_range(figure.locator("[data-ax=layer]"), layer)
        set_range(figure.locator("[data-ax=head]"), head)
        assert figure.locator("output").all_inner_texts()[:2] == [str(layer), str(head)]
        told.add(figure.locator(".ax-view").inner_html())
    assert len(told) == 3
    assert seen.errors == []


@LANGS
def test_a_higher_temperature_spreads_the_weights(site, visit, lang):
    seen = visit((site / lang / f"{QKV}.html").as_uri()).scroll_through()
    cold, _, hot = along(seen, "qkv-temperature", 3)
    for state in (cold, hot):
        assert sum(state["traces"][0]) == pytest.approx(1, abs=1e-5)
    assert max(hot["traces"][0]) < max(cold["traces"][0])
    assert seen.errors == []


@LANGS
def test_training_is_stepped_through(site, visit, lang):
    seen = visit((site / lang / f"{TRAINING}.html").as_uri()).scroll_through()
    states = along(seen, "train-steps", 3)
    assert len({str(state["traces"]) for state in states}) >= 2
    for state in states:
        for row in state["traces"][0]:
            assert sum(row) == pytest.approx(1, abs=0.01)  # shown in thousandths
    assert seen.errors == []
