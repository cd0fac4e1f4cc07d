"""What `notebooks/batch.toml` names: groups of notebooks, and the jobs they make.

Standard library only, so that a wrong name is answered before anything is imported.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from book.files import ROOT, shown
from book.parameters import UsageError, quoted

NOTEBOOKS = ROOT / "notebooks"


@dataclass(frozen=True)
class Job:
    """A notebook to execute: either file of its pair, a profile, parameters.

    ``out`` gets a copy of the executed notebook. ``force`` executes in any case.
    ``needs`` names notebooks (by stem) of the same call that must pass before.
    """

    notebook: Path
    profile: str = "book"
    parameters: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    force: bool = False
    needs: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return Path(self.notebook).stem


@dataclass(frozen=True)
class Catalogue:
    """What `batch.toml` names: profiles, groups and what belongs to each."""

    folder: Path
    profiles: tuple[str, ...]
    groups: dict[str, list[str]]
    needs: dict[str, list[str]]
    key_results: dict[str, list[str]]
    pages: dict[str, dict[str, Any]]
    presets: dict[str, dict[str, Any]]
    always: tuple[str, ...] = ()
    meanings: dict[str, str] = field(default_factory=dict)
    checks: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)

    def chapters(self) -> list[Path]:
        """The chapter notebooks that are there, by either file of the pair."""
        files = {
            p.stem: p
            for suffix in ("ipynb", "py")
            for p in self.folder.glob(f"[0-9][0-9]_*.{suffix}")
        }
        return [files[name] for name in sorted(files)]

    def numbered(self, number: str) -> Path | None:
        """The notebook of a chapter number."""
        found = [p for p in self.chapters() if p.name.startswith(f"{number}_")]
        return found[0] if found else None

    def members(self, group: str) -> list[Path]:
        """The notebooks of a group, groups inside it opened, each once."""
        found: list[Path] = []
        for entry in self.groups[group]:
            inner = self.groups.get(entry)
            paths = self.members(entry) if inner else [self.numbered(entry)]
            for path in paths:
                if path is None:
                    raise UsageError(
                        f"group '{group}' in batch.toml names notebook {entry}, which "
                        f"is not in {shown(self.folder)}; the folder has: "
                        f"{', '.join(p.stem for p in self.chapters()) or 'none'}"
                    )
                if path not in found:
                    found.append(path)
        return found

    def needed(self, path: Path) -> tuple[str, ...]:
        """Names of the notebooks that must pass before this one."""
        numbers = self.needs.get(path.stem[:2], [])
        return tuple(p.stem for n in numbers if (p := self.numbered(n)))

    def page(self, path: Path) -> dict[str, Any]:
        """The parameters with which the page of the book is made."""
        return self.pages.get(path.stem[:2], {})

    def group(self, what: str) -> str | None:
        """The group of that name, however its words are joined (`WikiText-103`)."""
        return next((g for g in self.groups if joined(g) == joined(what)), None)

    def find(self, what: str) -> list[Path]:
        """The notebooks that a GROUP, number, name or path means."""
        if group := self.group(what):
            return self.members(group)
        for path in self.chapters():
            numbers = (path.stem[:2], path.stem[:2].lstrip("0"))
            if what in numbers or joined(what) == joined(path.stem):
                return [path]
        path = Path(what)
        if path.suffix in (".ipynb", ".py") and os.path.isfile(path):
            return [path]
        raise UsageError(
            f"{quoted(what)} is no group, notebook or file{self._meant(what)}; groups: "
            f"{', '.join(self.groups)}; notebooks: "
            f"{', '.join(p.stem for p in self.chapters()) or 'none yet'}"
        )

    def _meant(self, what: str) -> str:
        """The group that a word of another program may mean, as a question."""
        words = re.split(r"[-_ ]+", what.lower())
        near = [*self.aliases.get("_".join(words), ()), *words,
                *difflib.get_close_matches(what, self.groups, 1)]
        meant = next((word for word in near if word in self.groups), None)
        return f" (did you mean '{meant}'?)" if meant else ""

    def known(self, name: str, names: list[str]) -> str | None:
        """The parameter that another name may mean: by `[aliases]`, or one like it."""
        near = [*self.aliases.get(name.lower(), ()),
                *difflib.get_close_matches(name, names, 1)]
        return next((word for word in near if word in names), None)


def joined(name: str) -> str:
    """A name without what joins its words.

    >>> joined("WikiText-103"), joined("02_qkv_tracing")
    ('wikitext103', '02qkvtracing')
    """
    return re.sub(r"[-_ ]", "", name.lower())


def catalogue(folder: Path = NOTEBOOKS) -> Catalogue:
    """Read `batch.toml` of a folder of notebooks."""
    file = folder / "batch.toml"
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
        more = {name: table.get(name, {}) for name in (
            "needs", "key_results", "pages", "presets", "meanings", "checks", "aliases"
        )}
        return Catalogue(
            folder, tuple(table["profiles"]), table["groups"],
            always=tuple(table.get("always", ())), **more,
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError) as error:
        raise UsageError(f"{shown(file)} cannot be used: {error}") from None


def book_jobs(profile: str = "book", folder: Path = NOTEBOOKS) -> list[Job]:
    """One job for each chapter that is there, as `run book` makes them."""
    known = catalogue(folder)
    return [
        Job(path, profile, known.page(path), needs=known.needed(path))
        for path in known.chapters()
    ]
