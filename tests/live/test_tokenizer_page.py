"""The tokenizer bench in the pages of chapters 14 to 16, used as a reader would."""

import gzip
import json
import re

import pytest

from lib.tokens.bench import rebuilt
from tests.real_data import gpt2
from tests.site.pages import CHAPTERS
from tests.site.test_pages import AXE

PAGES = {name[:2]: name for name in CHAPTERS if name[:2] in ("14", "15", "16")}
TEXT = ("The lighthouses’ keeper: 그는 물을 마신다. 👩‍👩‍👧‍👦 don't\tx²≠½ 0x7f\n\n"
        "    return weights[i] += 00822280 ''' ppp <|endoftext|> 습니다 naïve ﷽")


def bench(page):
    """The bench of a page, opened by its button."""
    figure = page.locator("figure[data-live=tokenizer]")
    figure.locator(".ask-live").click()
    figure.locator(".bench-panel h3").wait_for()
    return figure


def findings(page):
    """What axe finds in the bench that is serious or worse."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("async () => (await axe.run('figure[data-live=tokenizer]'))"
                          ".violations")
    return [(one["id"], one["nodes"][0]["target"]) for one in found
            if one["impact"] in ("serious", "critical")]


def exported(site, chapter, name):
    """An export as the page loads it."""
    text = (site / f"assets/live/{chapter}-{name}.js").read_text("utf-8")
    return json.loads(re.fullmatch(r'bookLive\.data\("[^"]+",(.*)\);\n', text)[1])


def written(figure, text):
    figure.locator("textarea").fill(text)
    figure.page.wait_for_function(
        "(n) => document.querySelectorAll('.card-word').length === n",
        arg=len(gpt2().pre_tokenizer.pre_tokenize_str(text)))
    return [[[*map(int, ids.split())] for ids in card] for card in figure.locator(
        ".card-word").evaluate_all(
            "cards => cards.map((card) => card.dataset.ids.split('|'))")]


def ids_of(tokenizer, text):
    tokenizer.encode_special_tokens = True
    return tokenizer.encode(text).ids


@pytest.mark.parametrize("chapter", PAGES)
def test_the_ids_in_the_page_are_those_of_python(site, address, visit, chapter):
    shown = visit(f"{address}/ko/{PAGES[chapter]}.html")
    assert not [url for url in shown.requests if "/live/" in url]  # on click only
    ways = [*zip(*written(bench(shown.page), TEXT), strict=True)]
    rows = [[index for ids in way for index in ids] for way in ways]
    teacher = type(gpt2()).from_str(gpt2().to_str())
    assert rows[0] == ids_of(teacher, TEXT)
    if chapter != "14":
        parts = exported(site, chapter, {"15": "gpt2_unigram",
                                         "16": "gpt2_reassigned"}[chapter])
        python = rebuilt(teacher, parts, parts.get("changes", ()))
        assert rows[1] == ids_of(python, TEXT)
    assert shown.errors == []


def test_the_vocabulary_is_light(site):
    data = [file.read_bytes() for name in ("14-gpt2_merges", "15-gpt2_unigram",
                                           "16-gpt2_reassigned")
            for file in [site / f"assets/live/{name}.js"]]
    assert sum(len(gzip.compress(text)) for text in data) < 1_500_000


def test_a_merge_is_taken_out_and_put_back_by_keyboard(site, visit):
    page = visit((site / "en" / f"{PAGES['14']}.html").as_uri(), 390, "dark").page
    page.emulate_media(reduced_motion="reduce")
    figure = bench(page)
    written(figure, " repositioned")
    row = figure.locator(".bench-merges > .bench-row .chip small")
    before = row.all_inner_texts()
    step = figure.locator(".bench-steps .step").nth(1)
    step.focus()
    page.keyboard.press("Enter")
    assert "before, " in figure.locator(".bench-effect").inner_text()
    assert row.all_inner_texts() != before
    page.keyboard.press("Enter")  # the focus is on what puts it back
    assert row.all_inner_texts() == before
    slider = figure.locator("input[type=range]")
    slider.focus()
    page.keyboard.press("Home")
    assert "with nothing joined" in figure.locator(".bench-now").inner_text()
    assert figure.locator(".bench-tree .branch").count() == 0
    page.keyboard.press("ArrowRight")
    assert figure.locator(".bench-tree .branch").count() == 1
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    assert findings(page) == []
    # a long text is read up to a place, which is not within a character, and told so
    figure.locator("textarea").fill("x" * 19_999 + "😀")
    verdict = figure.locator(".bench-verdict", has_text="the first 20,000 letters")
    verdict.wait_for()
    assert "U+FFFD" not in verdict.inner_text()


def test_rule_tie_and_certificate_are_a_click_away(site, visit):
    shown = visit((site / "en" / f"{PAGES['15']}.html").as_uri(), 390)
    figure = bench(shown.page)
    reason = figure.locator(".bench-reason")
    assert "Why it is sound" in reason.inner_text()
    assert figure.locator(".bench-lattice .cut").count() >= 1
    for story in ("A tie", "A certificate"):  # whatever the scores, one word has it
        figure.get_by_role("button", name=story).click()
        said = []
        for card in figure.locator(".card-word").all()[:2]:
            card.click()
            said.append(reason.inner_text())
        assert any(f"{story}. " in text for text in said)
    table = figure.locator(".bench-table", has_text="The lattice as a table")
    table.locator("summary").click()
    assert table.locator("tbody tr").count() > 10
    assert figure.locator(".bench-hint").is_visible()  # it scrolls, and says so
    assert shown.errors == []
    assert findings(shown.page) == []


def test_without_scripts_the_still_picture_stays(site, browser):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    for name in PAGES.values():
        page.goto((site / "ko" / f"{name}.html").as_uri())
        figure = page.locator("figure[data-live=tokenizer]")
        assert figure.locator("svg").first.is_visible()
        assert figure.locator("figcaption").inner_text()
        assert figure.locator("button").count() == 0
    context.close()
