"""The gravity sandbox under a reader's hand, in the built pages."""

import pytest

from tests.live.sandbox_cases import settings
from tests.live.test_sandbox import FLAT, largest_gap
from tests.site.test_pages import accessibility

CHAPTERS = {"08": "08_dot_to_distance", "09": "09_gravity_coordinates"}
SETTLED = """(said) => {
    const now = document.querySelector('.sandbox .live-said').textContent;
    return now && now !== said;
}"""


def opened(seen):
    """Go to the sandbox and wait until it is alive and has said what it shows."""
    seen.page.locator("[data-live=sandbox]").scroll_into_view_if_needed()
    seen.page.wait_for_selector("[data-live=sandbox][data-awake=yes]")
    seen.page.wait_for_function(SETTLED, arg="")
    return seen.page


def weights(page):
    """What the bars say of each token: gravity and dot product."""
    return page.eval_on_selector_all(".weights tbody tr:not([hidden])", """(rows) =>
        Object.fromEntries(rows.map((row) => [row.querySelector("th").textContent,
            [...row.querySelectorAll(".number")].map((text) => +text.textContent)]))""")


def after(page, action):
    """What the bars say once an action has been taken in."""
    said = page.locator(".sandbox .live-said").text_content()
    action()
    page.wait_for_function(SETTLED, arg=said)
    return weights(page)


def token(page, name):
    return page.locator(".token", has_text=name).first


def middle(locator):
    box = locator.locator(".disc").bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def drag(page, name, dx, dy):
    x, y = middle(token(page, name))
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + dx / 2, y + dy / 2)
    page.mouse.move(x + dx, y + dy)
    page.mouse.up()


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_by_mouse_a_token_is_dragged_and_everything_moves(address, visit, lang):
    seen = visit(f"{address}/{lang}/{CHAPTERS['08']}.html")
    assert not [url for url in seen.requests if "/live/sandbox" in url], "too early"
    page = opened(seen)
    start, field = weights(page), page.locator("canvas").screenshot()
    prose = page.locator("#distance-summary .live").all_text_contents()
    assert {f"{start['heavy'][0]:.3g}", f"{start['long'][1]:.3g}"} <= set(prose)
    moved = after(page, lambda: drag(page, "near", 90, 40))
    assert moved["near"][0] < start["near"][0]
    assert moved["near"][1] != start["near"][1]
    assert page.locator("canvas").screenshot() != field
    radius = after(page, lambda: page.click("[data-preset=radius]"))
    assert radius["far"][0] == 0 < radius["far"][1] + start["far"][0]
    assert page.locator(".ring").is_visible()
    assert all(sum(column) == pytest.approx(1, abs=3e-3)
               for column in zip(*radius.values(), strict=True))
    many = after(page, lambda: page.click("[data-preset=many]"))
    assert len(page.locator(".token").all()) == 64 and len(many) < 12
    assert seen.errors == [] and all(url.startswith(address) for url in seen.requests)


def test_by_keyboard_from_a_folder_on_a_phone_in_the_dark(site, visit):
    url = (site / "ko" / f"{CHAPTERS['09']}.html").as_uri()
    seen = visit(url, width=390, theme="dark")
    page = opened(seen)
    start = weights(page)
    token(page, "c").focus()
    nearer = after(page, lambda: [page.keyboard.press("Shift+ArrowDown")
                                  for _ in range(3)])
    assert nearer["c"][0] > start["c"][0] and nearer["c"][1] == start["c"][1]
    heavier = after(page, lambda: page.keyboard.press("+"))
    assert heavier["c"][0] > nearer["c"][0] and heavier["c"][1] == nearer["c"][1]
    asked = after(page, lambda: page.keyboard.press("Enter"))
    assert asked != heavier
    assert page.locator(".token[aria-pressed=true]").text_content() == "c"
    strength = page.locator(".knobs input").first
    strength.focus()
    assert after(page, lambda: page.keyboard.press("End")) != asked
    said = page.locator(".sandbox .live-slider output").all_text_contents()
    assert all(said) and page.evaluate(
        "document.documentElement.scrollWidth") <= 390
    assert all(url.startswith(("file:", "data:", "blob:")) for url in seen.requests)
    assert seen.errors == []
    assert accessibility(page) == []


def test_by_touch_with_reduced_motion_and_in_both_themes(address, browser):
    context = browser.new_context(viewport={"width": 390, "height": 860},
                                  has_touch=True, reduced_motion="reduce")
    try:
        page = context.new_page()
        page.goto(f"{address}/en/{CHAPTERS['08']}.html")
        page.locator("[data-live=sandbox]").scroll_into_view_if_needed()
        page.wait_for_selector("[data-live=sandbox][data-awake=yes]")
        page.wait_for_function(SETTLED, arg="")
        start = weights(page)
        token(page, "long").scroll_into_view_if_needed()
        x, y = middle(token(page, "long"))
        touch = context.new_cdp_session(page)

        def finger():
            for kind, dx in (("touchStart", 0), ("touchMove", -40), ("touchMove", -80),
                             ("touchEnd", None)):
                points = [] if dx is None else [{"x": x + dx, "y": y}]
                touch.send("Input.dispatchTouchEvent",
                           {"type": kind, "touchPoints": points})

        moved = after(page, finger)
        assert moved["long"][0] > start["long"][0]
        assert moved["long"][1] < start["long"][1]
        light = page.locator("canvas").screenshot()
        page.locator(".theme-button").click()
        page.wait_for_function("document.documentElement.dataset.theme === 'dark'")
        assert page.locator("canvas").screenshot() != light
        assert accessibility(page) == []
    finally:
        context.close()


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_with_scripts_off_the_still_and_its_caption_remain(site, browser, lang):
    context = browser.new_context(java_script_enabled=False)
    try:
        page = context.new_page()
        page.goto((site / lang / f"{CHAPTERS['08']}.html").as_uri())
        figure = page.locator("[data-live=sandbox]")
        assert figure.locator(".figure-body[role=img] svg").is_visible()
        assert len(figure.locator("figcaption").inner_text()) > 40
    finally:
        context.close()


def test_the_browser_computes_what_lib_does(address, visit):
    page = opened(visit(f"{address}/en/{CHAPTERS['08']}.html"))
    cases = list(settings(1000, seed=1))
    code = f"(input) => {{ const {{ gravity }} = bookLive.pure; let output; {FLAT}" \
        " return output; }"
    assert largest_gap(page.evaluate(code, cases), cases) < 1e-6


def test_where_a_script_does_not_come_the_still_stays_and_the_page_says_so(
    address, visit
):
    seen = visit(f"{address}/en/{CHAPTERS['09']}.html")
    page = seen.page
    page.route("**/live/sandbox*", lambda route: route.abort())
    page.locator("[data-live=sandbox]").scroll_into_view_if_needed()
    said = page.locator("[data-live=sandbox] .live-failed")
    said.wait_for()
    assert "the still one stays" in said.text_content()
    assert page.locator("[data-live=sandbox] .figure-body svg").is_visible()
    assert not page.locator("[data-live=sandbox] .instrument").count()
