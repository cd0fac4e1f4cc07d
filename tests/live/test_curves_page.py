"""The book's slider, where it pushes a token away in chapter 08."""

import pytest

CHAPTER = "08_dot_to_distance"


def output(page):
    return page.locator(".curves output").text_content()


def becomes(page, wanted):
    page.wait_for_function(
        "(wanted) => document.querySelector('.curves output').textContent === wanted",
        arg=wanted)


@pytest.fixture
def page(browser, site):
    """The chapter from a folder on a phone, for a reader who wants less motion."""
    context = browser.new_context(viewport={"width": 390, "height": 860},
                                  reduced_motion="reduce")
    page = context.new_page()
    page.goto((site / "ko" / f"{CHAPTER}.html").as_uri())
    page.locator("[data-live=curves]").scroll_into_view_if_needed()
    page.wait_for_selector("[data-live=curves][data-awake=yes]")
    yield page
    context.close()


def test_at_its_end_the_slider_says_what_the_prose_says(page):
    start = output(page)
    slider = page.get_by_label("토큰 d의 거리 r", exact=True)
    slider.focus()
    slider.press("End")
    becomes(page, "4.0")
    page.wait_for_function(
        "document.querySelector('.curves .live-said').textContent.includes('4.0')")
    shown = page.eval_on_selector_all(".curves .values b", "(all) => all.map((b) => "
                                      "b.textContent)")
    prose = page.locator("#distance-picture p .live").all_text_contents()
    dot, _, newton, heavy, cut = shown
    assert [dot, newton, heavy] == [prose[-4], prose[-2], prose[-1]] and cut == "0"
    page.get_by_label("토큰 d의 거리 r: 처음 값으로").click()
    becomes(page, start)
    page.get_by_label("토큰 d의 거리 r: 한 걸음").click()
    becomes(page, f"{float(start) + 0.1:.1f}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_playing_goes_on_until_it_is_paused(page):
    page.emulate_media(reduced_motion="no-preference")
    start = output(page)
    page.get_by_label("토큰 d의 거리 r: ", exact=False).first.click()
    page.wait_for_function(
        "(from) => +document.querySelector('.curves output').textContent > from + 0.15",
        arg=float(start))
    page.get_by_label("토큰 d의 거리 r: 멈춤").click()
    page.get_by_label("토큰 d의 거리 r: 재생").wait_for()


def test_a_page_that_needs_plotly_no_more_does_not_load_it(site):
    for lang in ("ko", "en"):
        text = (site / lang / f"{CHAPTER}.html").read_text("utf-8")
        assert "data-plotly" not in text and 'data-live="curves"' in text
