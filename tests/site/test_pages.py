"""Every page of both editions, in a real browser, served and from a folder."""

import json
import re
from urllib.parse import unquote, urlparse

import pytest
from bs4 import BeautifulSoup

from book.labels import HOLE, HOVER, LISTS, WORDS, entries
from tests.site.pages import (
    ALL,
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


def accessibility(page, part="html"):
    """What axe finds on an open page, or a part, that is serious or worse."""
    page.add_script_tag(path=str(AXE))
    found = page.evaluate(
        "async (part) => (await axe.run(part)).violations", part)
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


#: What an open page shows: heads, names of controls, drawn texts, and plotly's figures
#: with all their steps. What stands in a shadow is no part of the page's own tree.
SHOWN = """() => {
    const roots = [document.querySelector("article")];
    for (const root of roots)
        for (const node of root.querySelectorAll("*"))
            if (node.shadowRoot) roots.push(node.shadowRoot);
    const all = (tags) => roots.flatMap((root) => [...root.querySelectorAll(tags)]);
    const numbers = (key, value) => ArrayBuffer.isView(value) ? undefined : value;
    return {
        texts: all("th, caption, legend, label, option, button, dt, text, tspan")
            .flatMap((node) => [node.textContent, node.dataset.unformatted ?? ""]),
        plots: all(".plot").map(({ data, layout, _transitionData }) =>
            JSON.stringify([data, layout, _transitionData?._frames], numbers)),
    };
}"""


def shown_labels(page):
    """The labels of an open page after its scripts have run."""
    shown = page.evaluate(SHOWN)
    plots = [text for plot in shown["plots"] for text in titles(json.loads(plot))]
    assert not shown["plots"] or plots, "no title was read from plotly's figures"
    return {text.strip() for text in [*shown["texts"], *plots]}


def titles(content, key=""):
    """Titles, names and steps of a figure of plotly, and what hovering shows."""
    if isinstance(content, dict):
        for inner, value in content.items():
            yield from titles(value, inner.rpartition(".")[2])  # title.text
    elif isinstance(content, list):
        for value in content:
            yield from titles(value, key if key in LISTS else "")
    elif isinstance(content, str) and key == "hovertemplate":
        yield from content.removesuffix("<extra></extra>").split(HOVER)
    elif isinstance(content, str) and key in WORDS | LISTS:
        yield content


def foreign(labels, lang, chapter):
    """Those of some labels that the other edition shows; `{}` stands for any words."""
    pairs = [(en, ko) if lang == "ko" else (ko, en)
             for en, ko in entries(chapter).items() if en != ko]
    own = {mine for _, mine in pairs}
    others = [re.compile(".+?".join(map(re.escape, other.split(HOLE))))
              for other, _ in pairs if other not in own]
    return {text for text in labels - own if any(p.fullmatch(text) for p in others)}


@pytest.mark.parametrize("served", SECTIONED, indirect=True)
def test_heads_and_labels_are_in_the_language_of_the_edition(served):
    lang, name = served.page.url.split("/")[-2:]
    assert foreign(shown_labels(served.page), lang, name[:2]) == set()


def test_labels_are_read_from_tables_drawings_shadows_and_steps(visit, tmp_path):
    (tmp_path / "page.html").write_text("""<html data-ready><body><article>
        <table><th>head</th></table> <svg><text>drawn</text></svg>
        <details><table><th>folded</th></table></details> <div class="plot"></div>
        <section id="shadow"></section></article><script>
        shadow.attachShadow({ mode: "open" }).innerHTML = "<label>hidden</label>";
        Object.assign(document.querySelector(".plot"), {
            data: [{ hovertemplate: "%{y} · over<extra></extra>", x: ["tick"] }],
            layout: { sliders: [{ steps: [{ label: "step" }] }] },
            _transitionData: { _frames: [{ layout: { title: { text: "later" } } }] },
        });</script>""")
    page = visit((tmp_path / "page.html").as_uri()).page
    assert shown_labels(page) >= {"head", "drawn", "folded", "hidden", "over", "tick",
                                  "step", "later"}


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


def test_both_editions_have_the_same_pages_and_sections(site):
    for name in page_names():
        both = [BeautifulSoup((site / lang / f"{name}.html").read_text("utf-8"),
                              "html.parser") for lang in LANGS]
        korean, english = map(table_of, both)
        if name == "glossary":  # each in the order of its own alphabet
            korean, english = sorted(korean), sorted(english)
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
