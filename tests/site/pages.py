"""Which pages the site has, as the table of contents names them; what they hold."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[2]
LANGS = ("ko", "en")


def page_names() -> list[str]:
    """Every page of an edition."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    files = [toc["root"], *(chapter["file"] for part in toc["parts"]
                            for chapter in part["chapters"])]
    return [Path(file).name for file in files]


PAGES = [f"{lang}/{name}.html" for lang in LANGS for name in page_names()]
ALL = ["index.html", *PAGES]


@dataclass(frozen=True)
class Told:
    """What a built page holds, read once for all the tests that ask."""

    lang: str
    sections: list[str]  # their ids, in order
    ids: set[str]
    links: list[str]
    hreflang: set[str]
    alts: list[str]  # of its images and drawn figures
    interface: str  # the words around the article
    moving: set[str]  # kinds of figures that a reader moves


@cache
def told(file: Path) -> Told:
    """Read a page that the build wrote."""
    soup = BeautifulSoup(file.read_text(encoding="utf-8"), "html.parser")
    alts = [image.get("alt", "") for image in soup.select("article img")]
    alts += [box.get("aria-label", "") for box in soup.select(".figure-body")
             if not box.select_one("img")]
    moving = {kind for kind, boxes in (
        ("plotly", "[data-plotly]"), ("widget", ".figure-body.widget"))
        if soup.select_one(boxes)}
    found = (soup.html["lang"],
             [tag["id"] for tag in soup.select("article section[id]")],
             {tag["id"] for tag in soup.select("[id]")},
             [tag["href"] for tag in soup.select("a[href]")],
             {link["hreflang"] for link in soup.select("link[hreflang]")}, alts)
    for node in soup.select("article, .language"):
        node.decompose()
    return Told(*found, soup.body.get_text(" ", strip=True), moving)
