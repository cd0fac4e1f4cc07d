"""Build one edition with Sphinx: `python -m book.edition ko STAGED OUT`.

A process of its own: Sphinx keeps the language of its interface in a global, and
two editions are built at once.
"""

import sys
from pathlib import Path

import yaml
from jupyter_book.config import get_final_config
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace, patch_docutils

from book.assemble import stamp
from book.editions import PROMPTS
from book.outputs import one_side

ROOT = Path(__file__).parent.parent
HUES = ("attention", "gravity", "tokens")


def parts(toc: dict) -> dict[str, list[str]]:
    """List the pages of each of the three systems' parts, in the book's order."""
    found = {}
    for part in toc["parts"]:
        pages = [Path(chapter["file"]).name for chapter in part["chapters"]]
        number = next((page[4:] for page in pages if page.startswith("part")), None)
        if number:
            found[HUES[int(number) - 1]] = pages
    return found


def settings(lang: str) -> dict:
    """Make the Sphinx settings of an edition from `_config.yml`."""
    sphinx, _ = get_final_config(
        user_yaml=ROOT / "_config.yml", cli_config={"latex_individualpages": False}
    )
    for unused in ("html_theme_options", "comments_config"):  # of the default theme
        sphinx.pop(unused, None)
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    title = one_side(config["title"], lang)
    return sphinx | {
        "language": lang,
        "html_title": title,
        "project": title,
        "author": one_side(config["author"], lang),
        "html_theme_path": [str(ROOT / "book" / "theme")],
        "html_static_path": [],
        "nb_code_prompt_show": PROMPTS[lang]["hide-input"],
        "nb_code_prompt_hide": PROMPTS[lang]["hide-input"],
        "book_parts": parts(toc),
        "book_stamp": stamp(),
        "nitpicky": True,
    }


def main(arguments: list[str]) -> int:
    """Build; any warning is an error, and every one is shown."""
    lang, staged, out = arguments
    doctrees = Path(out).parent / f"doctrees-{lang}"
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            srcdir=staged, confdir=None, outdir=out, doctreedir=str(doctrees),
            buildername="html", confoverrides=settings(lang), status=None,
            warning=sys.stderr, freshenv=True, warningiserror=True, keep_going=True,
        )
        app.build(force_all=True)
    return app.statuscode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
