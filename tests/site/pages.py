"""Which pages the site has, as the table of contents names them."""

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
