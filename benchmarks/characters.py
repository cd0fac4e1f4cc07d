"""Three texts whose characters a small model learns: plays, an encyclopedia, code.

    tinyshakespeare  as `lib.data` gives it, untouched
    wikipedia        the articles of the row `wikipedia_en`, in its order
    python           the modules at the top of this Python's standard library, in the
                     order of their names

Wikipedia and Python are reduced to printable ASCII and line breaks: accents are taken
off letters (NFKD), and what is then still another character becomes `?`. The last
tenth of a text is for validation.
"""

import json
import platform
import sysconfig
import unicodedata
from pathlib import Path

from lib import data

TEXTS = ("tinyshakespeare", "wikipedia", "python")
SUBSTITUTE = "?"


def characters(name: str) -> tuple[str, str]:
    """A text and what it really is. DataError: it cannot be had."""
    if name == "tinyshakespeare":
        return data.text(name), data.describe(name)
    if name == "wikipedia":
        lines = data.path("wikipedia_en").read_text(encoding="utf-8").splitlines()
        whole = "\n".join(json.loads(line)["text"] for line in lines)
        return reduced(whole), data.describe("wikipedia_en")
    folder = Path(sysconfig.get_paths()["stdlib"])
    whole = "\n".join(file.read_text("utf-8") for file in sorted(folder.glob("*.py")))
    return reduced(whole), f"standard library of Python {platform.python_version()}"


def reduced(text: str) -> str:
    """Printable ASCII and line breaks alone.

    >>> reduced("Café – 1\\t2")
    'Cafe ? 1?2'
    """
    plain = (c for c in unicodedata.normalize("NFKD", text)
             if not unicodedata.combining(c))
    return "".join(c if " " <= c <= "~" or c == "\n" else SUBSTITUTE for c in plain)
