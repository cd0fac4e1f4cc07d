"""Which pages the site has, as the table of contents names them, and moving there."""

from pathlib import Path

import yaml

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
CHAPTERS = [name for name in page_names() if name[:2].isdigit()]
SECTIONED = [f"{lang}/{name}.html" for lang in LANGS for name in CHAPTERS]


def scroll_to(page, section):
    page.evaluate("() => document.fonts.ready.then(() => true)")
    page.evaluate(
        "(id) => { document.getElementById(id).scrollIntoView({ block: 'start', "
        "behavior: 'instant' }); }", section)
    page.wait_for_function(
        "(id) => document.querySelector('.language').hash === '#' + id", arg=section)


def switch_language(page, lang):
    """Press the button where it is: `page.click` may scroll a sticky bar's page."""
    box = page.locator(".language").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_selector(f"html[lang={lang}][data-ready]")
