"""Every page of both editions, in a real browser, served and from a folder."""

import json
import re
from urllib.parse import unquote, urlparse

import pytest
from bs4 import BeautifulSoup

from book.labels import entries
from tests.site.pages import (
    ALL,
    CHAPTERS,
    LANGS,
    PAGES,
    ROOT,
    SECTIONED,
    page_names,
    scroll_to,
    switch_language,
)

AXE = ROOT / "book" / "node_modules" / "axe-core" / "axe.min.js"
HANGUL = re.compile(r"[가-힣]")
TEXT_LIMIT, FIGURE_LIMIT = 1_500_000, 4_000_000


def weight(site, visit):
    """Add up the files that a page loaded, uncompressed."""
    files = {site / unquote(urlparse(url).path).lstrip("/") for url in visit.requests
             if url.startswith("http")}
    return sum(file.stat().st_size for file in files if file.is_file())


def table_of(soup):
    return [tag["id"] for tag in soup.select("article section[id]")]


def accessibility(page):
    """What axe finds on an open page that is serious or worse."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate("async () => (await axe.run()).violations")
    return [
        (finding["id"], node["target"], node["failureSummary"][:200])
        for finding in found if finding["impact"] in ("serious", "critical")
        for node in finding["nodes"][:3]
    ]


@pytest.mark.parametrize("served", ALL, indirect=True)
def test_page_loads_all_from_its_own_site_without_an_error(site, address, served):
    hosts = {urlparse(url).netloc for url in served.requests
             if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlparse(address).netloc}
    assert served.errors == []
    figures = served.page.locator(
        "[data-plotly], [data-figure], .figure-body.widget").count()
    limit = FIGURE_LIMIT if figures else TEXT_LIMIT
    loaded = weight(site, served)
    assert loaded <= limit, f"{served.page.url} loads {loaded:,} bytes"


@pytest.mark.parametrize("served", ALL, indirect=True)
def test_page_has_no_serious_accessibility_finding_in_light(served):
    assert accessibility(served.page) == []


@pytest.mark.parametrize("served", ALL, indirect=True)
def test_page_has_no_serious_accessibility_finding_in_the_dark(served):
    page = served.page
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(
        "(light) => getComputedStyle(document.body).backgroundColor !== light",
        arg=light)
    assert accessibility(page) == []


@pytest.mark.parametrize("served", SECTIONED, indirect=True)
def test_language_switch_keeps_page_and_section(address, served):
    """The last look at a page: it leaves it."""
    page, (lang, name) = served.page, served.page.url.split("/")[-2:]
    other = {"ko": "en", "en": "ko"}[lang]
    sections = page.eval_on_selector_all(
        "article section section[id]", "(all) => all.map((section) => section.id)")
    section = sections[len(sections) // 2]
    scroll_to(page, section)
    switch_language(page, other)
    assert page.url == f"{address}/{other}/{name}#{section}"
    page.evaluate("() => document.fonts.ready.then(() => true)")
    box = page.locator(f"[id='{section}']").first.bounding_box()
    assert -5 <= box["y"] <= 430


@pytest.mark.parametrize("page", ALL)
def test_page_works_from_a_folder_and_fits_a_phone(site, visit, page):
    seen = visit((site / page).as_uri(), width=390).scroll_through()
    assert all(url.startswith(("file:", "data:", "blob:")) for url in seen.requests)
    assert seen.errors == []
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("page", PAGES)
def test_every_image_has_alt_text_in_the_language_of_its_page(site, page):
    soup = BeautifulSoup((site / page).read_text(encoding="utf-8"), "html.parser")
    korean = page.startswith("ko/")
    alts = [image.get("alt", "") for image in soup.select("article img")]
    alts += [box.get("aria-label", "") for box in soup.select(".figure-body")
             if not box.select_one("img")]
    for alt in alts:
        assert len(alt) >= 10 and not re.search(r"\.(png|svg|jpe?g)\b", alt), alt
        assert bool(HANGUL.search(alt)) == korean, alt


def shown_labels(page):
    """Heads of tables, and the texts of drawn and of plotly's figures."""
    soup = BeautifulSoup(page, "html.parser")
    for node in soup.select("article th, article .figure-body.svg text, article tspan"):
        yield node.get_text().strip()
    for data in soup.select("article [data-plotly] script"):
        yield from titles(json.loads(data.string))


def titles(content, key=""):
    """Titles, names and steps of a figure of plotly."""
    if isinstance(content, dict):
        for inner, value in content.items():
            yield from titles(value, inner)
    elif isinstance(content, list):
        for value in content:
            yield from titles(value)
    elif isinstance(content, str) and key in ("text", "name", "label", "title"):
        yield content.strip()


@pytest.mark.parametrize("name", CHAPTERS)
def test_heads_and_labels_are_in_the_language_of_the_edition(site, name):
    known = entries(name[:2])
    foreign = {"ko": {en for en, ko in known.items() if "{}" not in en},
               "en": {ko for en, ko in known.items() if "{}" not in en}}
    for lang in LANGS:
        shown = {*shown_labels((site / lang / f"{name}.html").read_text("utf-8"))}
        assert shown & foreign[lang] == set()


def test_both_editions_have_the_same_pages_and_sections(site):
    for name in page_names():
        both = [BeautifulSoup((site / lang / f"{name}.html").read_text("utf-8"),
                              "html.parser") for lang in LANGS]
        korean, english = map(table_of, both)
        if name == "glossary":  # a term's section is named after its heading
            korean, english = len(korean), len(english)
        assert korean == english, name
        for lang, soup in zip(LANGS, both, strict=True):
            assert soup.html["lang"] == lang
            links = {link["hreflang"] for link in soup.select("link[hreflang]")}
            assert links == {"ko", "en", "x-default"}


def test_no_section_is_addressed_by_a_number_that_a_heading_left_behind(site):
    for page in PAGES:
        soup = BeautifulSoup((site / page).read_text("utf-8"), "html.parser")
        numbered = [i for i in table_of(soup) if re.fullmatch(r"(id|section)-?\d+", i)]
        assert numbered == [], page


def test_every_link_inside_the_site_leads_somewhere(site):
    links, ids, broken = [], {}, []
    for page in ALL:
        soup = BeautifulSoup((site / page).read_text("utf-8"), "html.parser")
        links += [(site / page, tag["href"]) for tag in soup.select("a[href]")]
        ids[site / page] = {tag["id"] for tag in soup.select("[id]")}
    for file, link in links:
        url = urlparse(link)
        if url.scheme or url.netloc:
            continue
        target = (file.parent / unquote(url.path)).resolve() if url.path else file
        lost = url.fragment and unquote(url.fragment) not in ids.get(target, ())
        if not target.is_file() or lost:
            broken.append((file.name, link))
    assert links and broken == []


def test_korean_edition_shows_no_english_interface(site):
    for name in page_names():
        soup = BeautifulSoup((site / "ko" / f"{name}.html").read_text("utf-8"),
                             "html.parser")
        for node in soup.select("article, .language"):
            node.decompose()
        text = soup.body.get_text(" ", strip=True)
        words = re.findall(r"\b(?:Previous|Next|Contents|Search|Copy|Show|By)\b", text)
        assert words == [], (name, words)
        assert "으로 " + "The" not in text
