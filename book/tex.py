r"""The letters of a formula: where each stands, with its accent and its indices.

``atoms(r"\tilde{q}_i W_Q^\top")`` gives ``\tilde q_i`` and ``W_Q``, each with its place
in the source, and after each what stands inside it. Words set as words
(``\operatorname{softmax}``, ``\mathrm{LN}``, ``\text{bias}``) are no letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOKEN = re.compile(r"\\[A-Za-z]+\*?|\\.|\s+|.", re.DOTALL)
ACCENTS = {"hat", "tilde", "bar", "vec", "dot", "widehat", "widetilde", "overline"}
WORDS = {"operatorname", "operatorname*", "text", "textbf", "mathrm", "mathbb",
         "mathcal", "mathbf", "mathit", "begin", "end", "htmlData"}
ARGUMENTS = {"frac": 2, "tfrac": 2, "dfrac": 2, "binom": 2, "sqrt": 1, "underset": 2}
GREEK = re.compile(
    "(?:var)?(?:epsilon|theta|phi|rho)|alpha|beta|gamma|delta|zeta|eta|iota|kappa|lambda|"
    "mu|nu|xi|pi|sigma|tau|upsilon|chi|psi|omega|ell|"
    "Gamma|Delta|Theta|Lambda|Xi|Pi|Sigma|Phi|Psi|Omega")


@dataclass(frozen=True)
class Atom:
    """A letter with what hangs on it.

    ``index`` is where its lower index stands; ``bare``: it is an argument without
    braces.
    """

    start: int
    end: int
    name: str
    sub: str = ""
    sup: str = ""
    index: tuple[int, int] = (0, 0)
    bare: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        """What it may be known as, the most exact first."""
        sub = f"_{self.sub}" if self.sub else ""
        sup = f"^{self.sup}" if self.sup else ""
        return tuple(dict.fromkeys(
            (self.name + sub + sup, self.name + sub, self.name + sup, self.name)))


def _token(tex: str, at: int, end: int) -> tuple[str, int]:
    found = TOKEN.match(tex, at, end)
    assert found
    return found[0], found.end()


def _space(tex: str, at: int, end: int) -> int:
    while at < end and tex[at].isspace():
        at += 1
    return at


def group_end(tex: str, at: int, end: int = -1) -> int:
    """Where the group that opens at ``at`` ends, behind its brace."""
    end = len(tex) if end < 0 else end
    depth = 0
    while at < end:
        token, at = _token(tex, at, end)
        depth += (token == "{") - (token == "}")
        if not depth:
            return at
    raise ValueError(f"a brace of {tex!r} is not closed")


def _argument(tex: str, at: int, end: int) -> tuple[int, int, int]:
    """The argument at ``at``: where it begins and ends inside, and what is behind.

    An argument without braces is one token, or a command of words with its own.
    """
    at = _space(tex, at, end)
    if at < end and tex[at] == "{":
        behind = group_end(tex, at, end)
        return at + 1, behind - 1, behind
    token, behind = _token(tex, at, end)
    if token[1:] in WORDS | ACCENTS:
        behind = _argument(tex, behind, end)[2]
    return at, behind, behind


def _plain(tex: str) -> str:
    """An index as it counts in a name: without spaces, braces and kinds of letters."""
    return re.sub(r"\\(?:mathrm|text|operatorname|,)|[\s{}]", "", tex)


def _letter(token: str) -> bool:
    return (len(token) == 1 and token.isascii() and token.isalpha()) or (
        token[:1] == "\\" and GREEK.fullmatch(token[1:]) is not None)


def _scripts(tex: str, at: int, end: int) -> tuple[dict[str, tuple[int, int]], int]:
    """Where the lower and the upper index behind a letter stand, and what is behind."""
    found = {"_": (0, 0), "^": (0, 0)}
    behind = at
    while (at := _space(tex, at, end)) < end and tex[at] in "_^'":
        if tex[at] == "'":
            found["^"] = (at, at + 1)
            at = behind = at + 1
        else:
            first, last, behind = _argument(tex, at + 1, end)
            found[tex[at]] = (first, last)
            at = behind
    return found, behind


def atoms(tex: str, start: int = 0, end: int = -1, bare: bool = False,
          ) -> Iterator[Atom]:
    r"""Yield the letters of a formula from left to right, the outer before the inner.

    >>> [(atom.name, atom.sub) for atom in atoms(r"\frac{\tilde q_i}d \mathrm{LN}(x)")]
    [('\\tilde q', 'i'), ('i', ''), ('d', ''), ('x', '')]
    """
    end = len(tex) if end < 0 else end
    at = start
    while at < end:
        token, behind = _token(tex, at, end)
        command = token[1:] if token[0] == "\\" else ""
        name = token if _letter(token) else ""
        if command in ACCENTS:
            first, last, behind = _argument(tex, behind, end)
            inner = tex[first:last].strip()
            name = f"{token} {inner}" if _letter(inner) else ""
            if not name:
                yield from atoms(tex, first, last, last == behind)
        elif command in WORDS:
            behind = _argument(tex, behind, end)[2]
        elif command in ARGUMENTS or token in ("_", "^"):
            for _ in range(ARGUMENTS.get(command, 1)):
                first, last, behind = _argument(tex, behind, end)
                yield from atoms(tex, first, last, last == behind)
        if name:
            scripts = {"_": (0, 0), "^": (0, 0)}
            if not bare:
                scripts, behind = _scripts(tex, behind, end)
            sub, sup = (_plain(tex[a:b]) for a, b in scripts.values())
            yield Atom(at, behind, name, sub, sup, scripts["_"], bare)
            for first, last in scripts.values():
                if last > first:
                    yield from atoms(tex, first, last, tex[first - 1] != "{")
        at = behind
