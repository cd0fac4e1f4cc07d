"""The instruments of chapters 02 and 03 by key and by touch."""

import pytest

from tests.site.test_pages import accessibility


def opened(browser, url, name, touch):
    context = browser.new_context(
        viewport={"width": 390 if touch else 1280, "height": 860}, has_touch=touch,
        color_scheme="dark" if touch else "light", reduced_motion="reduce")
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    page.locator(f"[data-live={name}]").scroll_into_view_if_needed()
    page.wait_for_selector(f"[data-live={name}][data-awake=yes]")
    return page, page.locator(f"[data-live={name}]"), errors


@pytest.mark.parametrize(("lang", "touch"), [("ko", False), ("en", True)])
def test_one_query_is_followed_from_its_row_to_the_mixture(site, browser, lang, touch):
    page, figure, errors = opened(
        browser, (site / lang / "02_qkv_tracing.html").as_uri(), "head", touch)
    rows, told = figure.locator("tbody tr"), figure.locator(".hd-told")
    third = figure.locator(".hd-token").nth(2)
    if touch:
        third.tap()
    else:
        third.focus()
        page.keyboard.press("Enter")
    assert rows.count() == 3 and third.get_attribute("aria-pressed") == "true"
    weights = [float(text.rstrip("%")) for text in
               figure.locator("tbody td:nth-child(4)").all_inner_texts()]
    assert sum(weights) == pytest.approx(100, abs=0.2)
    step, temperature = figure.get_by_role("slider").all()
    step.press("Home")  # only the query is seen
    assert rows.first.locator(".hd-later").count() == 3
    step.press("ArrowRight")
    assert rows.first.locator(".hd-later").count() == 2
    step.press("End")
    step.press("ArrowLeft")
    step.press("ArrowLeft")
    before = told.inner_text()
    temperature.press("End")  # hotter: the weights draw level
    assert told.inner_text() != before
    third.press("ArrowRight")
    assert rows.count() == 4
    assert page.evaluate("document.documentElement.scrollWidth") == (
        390 if touch else 1280)
    assert errors == [] and accessibility(page, "[data-live]") == []
    page.context.close()


@pytest.mark.parametrize(("lang", "touch"), [("ko", False), ("en", True)])
def test_a_mask_is_painted_and_leaves_its_weights(site, browser, lang, touch):
    page, figure, errors = opened(
        browser, (site / lang / "03_heads_and_masks.html").as_uri(), "mask", touch)
    seen = figure.locator(".mk-grid:not(.mk-mask) tbody td")
    cells = figure.locator(".mk-mask input")
    # it begins as the still picture stands: neighbours alone
    assert [cells.nth(j).is_checked() for j in range(3)] == [True, True, False]
    figure.locator("[data-preset=self]").click()
    n = round(cells.count() ** 0.5)
    assert [text for text in seen.all_inner_texts() if text] == ["100"] * n
    if touch:
        cells.nth(1).tap()
    else:  # from cell to cell by arrows
        cells.nth(0).focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("Space")
    page.wait_for_function("(node) => node.innerText", arg=seen.nth(1).element_handle())
    assert cells.nth(1).is_checked()
    if not touch:  # a drag over a row
        figure.locator("[data-preset=self]").click()
        cells.nth(2).scroll_into_view_if_needed()
        from_, to = cells.nth(1).bounding_box(), cells.nth(3).bounding_box()
        page.mouse.move(from_["x"] + 8, from_["y"] + 8)
        page.mouse.down()
        page.mouse.move(to["x"] + 8, to["y"] + 8, steps=8)
        page.mouse.up()
        page.wait_for_function("(node) => node.innerText",
                               arg=seen.nth(3).element_handle())
        assert [cells.nth(j).is_checked() for j in range(5)] == [True] * 4 + [False]
    figure.get_by_role("textbox").fill("12,345")
    assert cells.count() == 49 and cells.nth(0).is_checked()  # the shape chosen stays
    assert not cells.nth(5).is_checked()
    figure.get_by_role("textbox").fill("Xmas")
    assert "‘X’" in figure.locator(".mk-wrong").inner_text()
    head = figure.locator(".mk-heads button").first
    head.click()
    assert head.get_attribute("aria-pressed") == "false"
    assert page.evaluate("document.documentElement.scrollWidth") == (
        390 if touch else 1280)
    assert errors == [] and accessibility(page, "[data-live]") == []
    page.context.close()
