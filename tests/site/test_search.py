"""Search on the built site: what readers type leads where they want to go."""

import json
import re
import shutil
import subprocess
import tomllib

import pytest

from tests.site.pages import ROOT

QUERIES = ROOT / "tests" / "book" / "search_queries.toml"
FIRST, RECALL = 5, 0.95


def places(site, lang):
    """The address of every labelled section of an edition."""
    found = {}
    for page in sorted((site / lang).glob("*.html")):
        ids = re.findall(r'<section[^>]* id="([^"]+)"', page.read_text("utf-8"))
        for number, label in enumerate(ids):
            found[label] = f"{page.name}#{label}" if number else page.name
    return found


@pytest.mark.parametrize("lang", ["ko", "en"])
def test_what_readers_type_is_among_the_first_five(site, lang):
    wanted = tomllib.loads(QUERIES.read_text("utf-8"))[lang]
    known = places(site, lang)
    lost = {label for labels in wanted.values() for label in labels} - set(known)
    assert not lost, f"sections that moved; mend search_queries.toml: {sorted(lost)}"
    assets = site / "assets"
    done = subprocess.run(
        [shutil.which("node"), str(ROOT / "tests" / "book" / "search.mjs"),
         str(assets / "search.js"), str(assets / f"search-{lang}.js")],
        input=json.dumps(list(wanted)), capture_output=True, text=True,
        encoding="utf-8", check=True)
    missed = {
        query: [hit["address"] for hit in hits[:FIRST]]
        for (query, labels), hits in zip(wanted.items(), json.loads(done.stdout),
                                         strict=True)
        if not {known[label] for label in labels} & {
            hit["address"] for hit in hits[:FIRST]}
    }
    recall = 1 - len(missed) / len(wanted)
    assert recall >= RECALL, f"{recall:.3f}; missed: {missed}"


@pytest.mark.parametrize(("lang", "query", "at"), [
    ("ko", "층정규화", "04_encoder_decoder.html#encdec-norm"),
    ("en", "layer norm", "04_encoder_decoder.html#encdec-norm"),
])
def test_search_by_keyboard(site, visit, lang, query, at):
    page = visit((site / lang / "start.html").as_uri(), locale=lang).page
    field = page.get_by_role("combobox")
    page.keyboard.press("Control+k")
    page.wait_for_function("document.activeElement.matches('dialog.search input')")
    page.keyboard.type(query)
    options = page.get_by_role("option")
    options.first.wait_for()
    assert field.get_attribute("aria-expanded") == "true"

    def chosen():
        [one] = page.locator("[role=option][aria-selected=true]").all()
        assert field.get_attribute("aria-activedescendant") == one.get_attribute("id")
        return one.get_attribute("href")

    addresses = [option.get_attribute("href") for option in options.all()]
    assert chosen() == addresses[0] and len(addresses) > 2
    page.keyboard.press("ArrowUp")
    assert chosen() == addresses[-1]
    for _ in range(addresses.index(at) + 1):
        page.keyboard.press("ArrowDown")
    assert chosen() == at
    page.keyboard.press("Escape")
    assert not page.locator("dialog.search").is_visible()
    assert page.url.endswith("/start.html")
    page.keyboard.press("Meta+k")
    page.wait_for_function("document.activeElement.matches('dialog.search input')")
    for _ in range(addresses.index(at)):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{lang}/{at}")
    assert page.locator(f"section#{at.split('#')[1]} > h2").is_visible()
