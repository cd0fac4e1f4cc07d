"""Instruments of the page: scripts from `book/live`, data from executed notebooks.

An instrument is a folder `book/live/NAME`: scripts, a look, and `instrument.toml` with
its words in both languages. The build joins them into one classic script an edition
(`assets/live/NAME-ko.js`) and writes each export of a chapter as another
(`assets/live/08-NAME.js`), so that a page from a folder loads them as well. A page
names what it loads in its mount, with a hash of the content: nothing is inlined, and no
cache shows an old one.
"""

import hashlib
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from nbformat import NotebookNode

from book.outputs import BuildError
from lib.page.live import EXPORT_MIME

LIVE = Path(__file__).parent / "live"
COMMON = "common"

Exports = Mapping[str, Mapping[str, Any] | None]
"""Exports by chapter number and name; None: the chapter did not run."""


def names() -> list[str]:
    """The instruments there are."""
    return sorted(file.parent.name for file in LIVE.glob("*/instrument.toml")
                  if file.parent.name != COMMON)


def exports_of(notebook: NotebookNode) -> dict[str, Any]:
    """What an executed notebook exported, by name.

    Raises
    ------
    BuildError
        If it exported the same name twice.
    """
    found: dict[str, Any] = {}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            for name, content in output.get("data", {}).get(EXPORT_MIME, {}).items():
                if name in found:
                    raise BuildError(f"the export {name!r} is made twice in one "
                                     "notebook; give the second its own name.")
                found[name] = content
    return found


def table(name: str) -> dict[str, Any]:
    """What `instrument.toml` says: words in `ko` and `en`, scripts it `uses`."""
    return tomllib.loads((LIVE / name / "instrument.toml").read_text("utf-8"))


def parts(name: str) -> list[Path]:
    """The scripts of an instrument in their order: shared ones, its own, its view."""
    own = sorted((LIVE / name).glob("*.js"),
                 key=lambda file: (file.stem == "view", file.name))
    return [*(LIVE / other for other in table(name).get("uses", [])), *own]


def light(source: str) -> str:
    r"""A script without its comments, its indents and the spaces around its arrows.

    >>> light('// why\n  f("http://a"); // what\n\n')
    'f("http://a");\n'
    """
    source = re.sub(r"(^|[ \t]+)// .*$", "", source, flags=re.MULTILINE)
    source = re.sub(r"^[ \t]*\n|^[ \t]+", "", source, flags=re.MULTILINE)
    return source.replace(" => ", "=>")


@cache
def script(name: str, lang: str) -> str:
    """One classic script of all that an instrument is in one edition."""
    looks = sorted((LIVE / name).glob("*.css"))
    look = "".join(file.read_text("utf-8") for file in looks)
    look = re.sub(r"/\*.*?\*/", "", look, flags=re.DOTALL)
    look = re.sub(r"\s*([{};,])\s*|(?<=:) ", r"\1", look).strip()
    source = light("\n".join(file.read_text("utf-8") for file in parts(name)))
    known = (f"bookLive.words({as_json(name)}, {as_json(table(name)[lang])});\n"
             f"bookLive.style({as_json(look)});\n")
    # what is shared makes the names that the rest is registered under
    return source + "\n" + known if name == COMMON else known + source


def as_json(value: object) -> str:
    """JSON as it may stand in a script."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def data_script(key: str, content: object) -> str:
    """A script that hands an export to the page; read when an instrument asks for it.

    >>> data_script("08.sandbox", {"names": ["a"]})
    'bookLive.data("08.sandbox",{"names":["a"]});\\n'
    """
    return f"bookLive.data({as_json(key)},{as_json(content)});\n"


def stamped(path: str, content: str) -> str:
    """An address that changes with what is there."""
    return f"{path}?{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def data_path(key: str) -> str:
    """The file of an export: `live/08-sandbox.js` for `08.sandbox`."""
    return f"live/{key.replace('.', '-')}.js"


@dataclass
class Mounts:
    """The places where instruments open, and the exports that these use."""

    exports: Exports
    opened: set[str] = field(default_factory=set)
    used: dict[str, str] = field(default_factory=dict)

    def attributes(self, live: Mapping[str, Any], lang: str, chapter: str,
                   where: str) -> str:
        """What the figure of an instrument says of it; nothing if its data did not run.

        Raises
        ------
        BuildError
            On an instrument or an export that is not there.
        """
        name = live["instrument"]
        if name not in names():
            raise BuildError(f"{where}: instrument {name!r} is not in book/live, which "
                             f"has {', '.join(names())}.")
        keys, later = ([key if "." in key else f"{chapter}.{key}" for key in live[kind]]
                       for kind in ("data", "later"))
        contents = [self.content(key, where) for key in [*keys, *later]]
        if None in contents:
            return ""
        self.opened.add(name)
        scripts = [stamped(f"live/{part}-{lang}.js", script(part, lang))
                   for part in (COMMON, name)]
        addresses = {}
        for key, content in zip([*keys, *later], contents, strict=True):
            self.used[key] = data_script(key, content)
            addresses[key] = stamped(data_path(key), self.used[key])
        scripts += [addresses[key] for key in keys]
        facts = {"live": name, "scripts": " ".join(scripts), "exports": " ".join(keys),
                 "later": as_json({key: addresses[key] for key in later}),
                 "options": as_json(live["options"]),
                 "when": "asked" if live["asked"] else "near"}
        return "".join(f' data-{fact}="{escape(text, quote=True)}"'
                       for fact, text in facts.items())

    def content(self, key: str, where: str) -> Any:
        """An export by its key; None if its chapter did not run."""
        number, _, name = key.partition(".")
        made = self.exports.get(number, {})
        if made is None:
            return None
        if name not in made:
            known = ", ".join(sorted(made)) or "nothing"
            raise BuildError(f"{where}: the export {key!r} is not there; chapter "
                             f"{number} exports {known}.")
        return made[name]

    def write(self, assets: Path, langs: Iterable[str]) -> None:
        """Write what the places load below the folder of assets."""
        shared = {COMMON} if self.opened else set()
        files = {f"live/{name}-{lang}.js": script(name, lang)
                 for name in shared | self.opened for lang in langs}
        files |= {data_path(key): text for key, text in self.used.items()}
        for path, text in files.items():
            (assets / path).parent.mkdir(parents=True, exist_ok=True)
            (assets / path).write_text(text, encoding="utf-8")
