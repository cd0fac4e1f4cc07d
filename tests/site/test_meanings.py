"""What a symbol or a term means: shown to pointer, keyboard and touch."""

import json
import re

import pytest

from tests.site.pages import LANGS, PAGES
from tests.site.test_pages import accessibility

QKV, GRAVITY = "02_qkv_tracing.html", "09_gravity_coordinates.html"
OPEN = "#meaning:not([hidden])"
PROJECTIONS = "#qkv-projections div.math"
LIMIT = 18_200  # bytes that a page grows by at first; with the style, 20 kB


@pytest.fixture
def opened(site, address, visit):
    """Open a page, from its folder or served; at the end there must be no errors."""
    visits = []

    def open_page(path, served=False, **options):
        place = f"{address}/{path}" if served else (site / path).as_uri()
        visits.append(visit(place, **options))
        return visits[-1].page

    yield open_page
    for seen in visits:
        assert seen.errors == []
        assert all(url.startswith(("file:", "data:", address)) for url in seen.requests)


def box(page, selector):
    return page.locator(selector).first.bounding_box()


def inside(page):
    """Is the card whole in the window, and nothing wider than it?"""
    return page.evaluate("""() => {
        const { left, right, top, bottom } = meaning.getBoundingClientRect();
        const { clientWidth, clientHeight, scrollWidth } = document.documentElement;
        return left >= 0 && right <= clientWidth && top >= 0 && bottom <= clientHeight
            && scrollWidth <= clientWidth;
    }""")


@pytest.mark.parametrize(("lang", "name", "where"), [
    ("ko", "쿼리", "정의한 곳: 02 · "), ("en", "queries", "Defined in 02 · ")])
def test_a_pointer_on_a_symbol_opens_its_card_and_moves_nothing(
        opened, lang, name, where):
    page = opened(f"{lang}/{QKV}")
    symbol = f"{PROJECTIONS} [data-s=query]"
    page.locator(symbol).scroll_into_view_if_needed()
    height = page.evaluate("document.documentElement.scrollHeight")
    before = box(page, symbol)
    page.hover(symbol)
    page.wait_for_selector(OPEN)
    text = page.inner_text(OPEN)
    assert name in text and where in text and "batch, head, query, d_head" in text
    assert box(page, symbol) == before and inside(page)
    assert page.evaluate("document.documentElement.scrollHeight") == height
    formula, card = box(page, PROJECTIONS), box(page, OPEN)
    assert (card["y"] + card["height"] <= formula["y"]
            or card["y"] >= formula["y"] + formula["height"])
    page.hover("#meaning")  # the pointer may go to the card
    page.hover("#meaning a")
    assert page.is_visible(OPEN)
    page.click("#meaning a")
    page.wait_for_url(f"**/{QKV}#qkv-projections")
    page.mouse.move(2, 300)
    page.wait_for_selector(OPEN, state="detached")


def test_a_term_shows_its_meaning_and_leads_to_the_glossary(opened):
    page = opened(f"en/{QKV}", served=True)
    term = page.locator("#qkv-weights a.term").first
    term.hover()
    page.wait_for_selector(OPEN)
    assert page.locator("[role=tooltip]").count() == 1
    assert term.get_attribute("aria-describedby") == "meaning"
    page.keyboard.press("Escape")
    assert not page.is_visible("#meaning")
    assert term.get_attribute("aria-describedby") is None
    term.click()
    page.wait_for_url("**/en/glossary.html#glossary-*")


def test_arrow_keys_go_from_mark_to_mark_and_a_formula_is_one_stop(opened):
    page = opened(f"ko/{QKV}", served=True, theme="dark")
    formula = page.locator(PROJECTIONS)
    page.focus("#qkv-projections a.term")
    page.keyboard.press("Tab")
    assert formula.evaluate("(node) => node === document.activeElement")
    page.wait_for_selector(OPEN)
    shown = [page.inner_text(".meaning-name")]
    for _ in range(3):
        page.keyboard.press("ArrowRight")
        page.wait_for_function("(text) => document.querySelector('.meaning-name')"
                               ".innerText !== text", arg=shown[-1])
        shown.append(page.inner_text(".meaning-name"))
        assert shown[-1].split()[-1] in page.inner_text(".meaning-spoken")
    assert len(set(shown)) == 4
    assert formula.evaluate("(node) => node === document.activeElement")
    assert accessibility(page) == []
    page.keyboard.press("Home")
    page.keyboard.press("Escape")
    assert not page.is_visible("#meaning")
    page.keyboard.press("Tab")
    assert formula.evaluate("(node) => node !== document.activeElement")


def test_a_page_of_symbols_costs_few_stops(opened):
    stops = opened(f"en/{QKV}").evaluate("""() => {
        const marks = [...document.querySelectorAll("article a.term, article .math")];
        return [marks.length, marks.filter((node) => node.tabIndex === 0).length,
                document.querySelectorAll("article section").length
                + document.querySelectorAll("article div.math").length];
    }""")
    assert stops[0] > 100 and 0 < stops[1] <= stops[2]


@pytest.mark.parametrize(("lang", "theme"), [("ko", "light"), ("en", "dark")])
def test_a_tap_opens_at_390_pixels_and_nothing_is_cut(site, browser, lang, theme):
    context = browser.new_context(viewport={"width": 390, "height": 800},
                                  has_touch=True, color_scheme=theme,
                                  reduced_motion="reduce")
    page = context.new_page()
    page.goto((site / lang / GRAVITY).as_uri())
    page.wait_for_selector("html[data-ready]")
    for symbol in page.locator("#gravity-repulsion div.math [data-s]").all():
        symbol.tap()
        page.wait_for_selector(OPEN)
        assert symbol.evaluate("(node) => node.classList.contains('asked')")
        assert inside(page)
        assert page.evaluate("getComputedStyle(meaning).animationName") == "none"
        symbol.tap()
        page.wait_for_selector(OPEN, state="detached")
    term = page.locator("#gravity-repulsion a.term").first
    term.tap()
    page.wait_for_selector(OPEN)
    assert GRAVITY in page.url and inside(page)
    page.touchscreen.tap(195, 20)
    page.wait_for_selector(OPEN, state="detached")
    context.close()


def test_every_card_leads_to_a_section_of_its_edition(site):
    for lang in LANGS:
        text = (site / "assets" / f"cards-{lang}.js").read_text("utf-8")
        made, _ = json.JSONDecoder().raw_decode(text.removeprefix("window.bookCards="))
        for name, (*_, address, place) in made["symbols"].items():
            page, _, label = address.partition("#")
            assert place and f'id="{label}"' in (
                site / lang / page).read_text("utf-8"), name


@pytest.mark.parametrize("page", PAGES)
def test_marks_are_light(site, page):
    """Marks and their script, without which the page would be as before."""
    text = (site / page).read_text("utf-8")
    assert "htmlData" not in text
    without = re.sub(r'<a class="term" href="[^"]*">(.*?)</a>', r"\1", text)
    marks = re.findall(r'<span data-s="[^"]*">', text)
    grown = (len(text) - len(without)
             + sum(len(mark) + len("</span>") for mark in marks)
             + (site / "assets" / "hover.js").stat().st_size)
    assert grown <= LIMIT
