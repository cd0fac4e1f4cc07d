"""What a reader does on the site: switch language, search, move things."""

import pytest

from tests.site.pages import CHAPTERS, scroll_to, switch_language


def test_language_switch_works_from_a_folder(site, visit):
    page = visit((site / "ko" / "start.html").as_uri()).page
    scroll_to(page, "start-profiles")
    switch_language(page, "en")
    assert page.url == (site / "en" / "start.html").as_uri() + "#start-profiles"


@pytest.mark.parametrize(("locale", "first"), [("ko-KR", "ko"), ("en-US", "en"),
                                               ("de-DE", "en")])
def test_front_door_follows_the_browser_and_shows_both(address, visit, locale, first):
    page = visit(f"{address}/index.html", locale=locale).page
    assert page.evaluate("document.documentElement.lang") == first
    for lang in ("ko", "en"):
        assert page.locator(f"section[lang={lang}] a.first").is_visible()
    places = {lang: page.locator(f"section[lang={lang}]").bounding_box()["x"]
              for lang in ("ko", "en")}
    assert min(places, key=places.get) == first


def test_the_chosen_theme_is_kept(address, visit):
    page = visit(f"{address}/ko/index.html", theme="light").page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.click(".theme-button")
    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.goto(f"{address}/ko/start.html")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == dark
    assert light != dark


def results(page, query):
    page.keyboard.press("/")
    page.fill("dialog.search input", query)
    page.wait_for_function(
        "document.querySelector('.search-status').textContent.length > 0")
    found = page.eval_on_selector_all(
        ".search-results a", "(all) => all.map((a) => a.getAttribute('href'))")
    page.keyboard.press("Escape")
    return [address.split(".html")[0] for address in found]


QKV, GRAVITY, TOKENS = (
    "02_qkv_tracing", "09_gravity_coordinates", "15_tokenizer_distillation")


@pytest.mark.parametrize("from_folder", [False, True])
@pytest.mark.parametrize(("lang", "query", "page_name"), [
    ("ko", "질량", GRAVITY), ("ko", "질량을", GRAVITY), ("ko", "어텐션은", QKV),
    ("ko", "쿼리", QKV), ("ko", "토크나이저에서", TOKENS), ("ko", "softmax", QKV),
    ("ko", "좌표가", GRAVITY), ("ko", "유니그램으로", TOKENS),
    ("en", "mass", GRAVITY), ("en", "queries", QKV), ("en", "attention", QKV),
    ("en", "tokenizer", TOKENS), ("en", "softmax", QKV), ("en", "Unigram", TOKENS),
])
def test_search_finds_the_page(
    site, address, visit, lang, query, page_name, from_folder
):
    base = site.as_uri() if from_folder else address
    page = visit(f"{base}/{lang}/index.html").page
    assert page_name in results(page, query)


def test_search_says_when_there_is_nothing(address, visit):
    page = visit(f"{address}/ko/index.html").page
    assert results(page, "뷁뷁") == []


def with_text(site, text):
    """The chapters whose page has a text, in Korean."""
    files = [site / "ko" / f"{name}.html" for name in CHAPTERS]
    return [file for file in files if text in file.read_text("utf-8")]


def sliders(page):
    return page.evaluate(
        "[...document.querySelectorAll('.plot')].map((plot) => "
        "(plot.layout.sliders ?? []).map((slider) => slider.active ?? 0))")


AT_THE_END = """(node) => {
    const plot = node.closest(".plot");
    const rails = [...plot.querySelectorAll(".slider-rail-touch-rect")];
    const slider = plot.layout.sliders[rails.indexOf(node)];
    return (slider.active ?? 0) >= slider.steps.length - 1;
}"""


def test_a_plotly_slider_moves_the_figure_without_a_kernel(site, visit):
    moved = 0
    for file in with_text(site, '"sliders":'):
        seen = visit(file.as_uri()).scroll_through()
        for rail in seen.page.locator(".slider-rail-touch-rect").all():
            rail.scroll_into_view_if_needed()
            picture = rail.locator("xpath=ancestor::*[contains(@class,'plot')][1]")
            before = sliders(seen.page), picture.screenshot()
            box = rail.bounding_box()
            share = 0.03 if rail.evaluate(AT_THE_END) else 0.97
            seen.page.mouse.click(box["x"] + box["width"] * share,
                                  box["y"] + box["height"] / 2)
            seen.page.wait_for_function(
                "(before) => JSON.stringify([...document.querySelectorAll('.plot')]"
                ".map((plot) => (plot.layout.sliders ?? []).map((slider) => "
                "slider.active ?? 0))) !== before",
                arg=seen.page.evaluate("(x) => JSON.stringify(x)", before[0]))
            assert picture.screenshot() != before[1]
            moved += 1
    assert moved >= 2


def test_a_linked_widget_moves_without_a_kernel(site, visit):
    moved = 0
    for file in with_text(site, "figure-body widget"):
        seen = visit(file.as_uri()).scroll_through()
        for select in seen.page.locator(".figure-body.widget select").all():
            widget = select.locator("xpath=ancestor::*[contains(@class,'figure-body')]")
            before = widget.inner_text()
            now = select.evaluate("(node) => node.selectedIndex")
            select.select_option(index=now + 1)
            seen.page.wait_for_function(
                "([node, before]) => node.innerText !== before",
                arg=[widget.element_handle(), before])
            assert widget.inner_text() != before
            moved += 1
    assert moved >= 1


def test_the_attention_explorer_moves_by_keyboard(site, visit):
    seen = visit((site / "en" / f"{QKV}.html").as_uri()).scroll_through()
    slider = seen.page.locator("[data-figure] input[type=range]").first
    figure = slider.locator("xpath=ancestor::*[@data-figure]")
    before = figure.inner_html()
    slider.focus()
    slider.press("ArrowRight")
    assert figure.inner_html() != before
