"""A small book in a folder of its own: the real build around a few short chapters."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ("_config.yml", "pyproject.toml", "requirements.txt")
INDEX = """\
::::{lang} ko
<!-- label: home -->
# 작은 책

합은 ⟨01.total⟩, 없는 값은 ⟨02.answer⟩입니다. [둘째 장](../notebooks/02_breaks.ipynb)
::::

::::{lang} en
<!-- label: home -->
# A small book

The sum is ⟨01.total⟩, a value ⟨02.answer⟩. [The second](../notebooks/02_breaks.ipynb)
::::

<!-- cards -->
"""
CHAPTER = """\
# %% [markdown] tags=["lang-ko"]
# <!-- label: c{number} -->
# # 제목 {number}
#
# 값은 ⟨answer⟩이고 식은 $v = ⟨answer⟩$입니다.

# %% [markdown] tags=["lang-en"]
# <!-- label: c{number} -->
# # Title {number}
#
# The value is ⟨answer⟩, as a formula $v = ⟨answer⟩$.

# %% tags=["cover"]
from IPython.display import display
display({{"image/svg+xml": "<svg viewBox='0 0 1 1'></svg>"}}, raw=True)

# %% [markdown] tags=["caption", "lang-ko"]
# 그림 ⟨answer⟩ <!-- alt: 빈 그림 하나입니다 ⟨answer⟩ -->

# %% [markdown] tags=["caption", "lang-en"]
# Figure ⟨answer⟩ <!-- alt: One empty figure ⟨answer⟩ -->

# %%
from lib.page.record import record
open({counter!r}, "a").write("{number}\\n")
{code}
record(answer=1)
"""


class Book:
    """A small checkout in `folder`; `chapters` maps a chapter's stem to its code."""

    def __init__(self, folder: Path, chapters: dict[str, str], batch: str = ""):
        self.folder, self.counter = folder, folder / "ran.txt"
        skip = shutil.ignore_patterns("node_modules", "__pycache__", "*.md")
        shutil.copytree(ROOT / "book", folder / "book", ignore=skip)
        shutil.copytree(ROOT / "lib", folder / "lib", ignore=skip)
        (folder / "book" / "node_modules").symlink_to(ROOT / "book" / "node_modules")
        for name in CONFIG:
            shutil.copy(ROOT / name, folder)
        (folder / "book" / "index.md").write_text(INDEX, encoding="utf-8")
        (folder / "notebooks").mkdir()
        (folder / "data").mkdir()
        (folder / "notebooks" / "batch.toml").write_text(
            f'profiles = ["smoke", "book", "gpu"]\n[groups]\n{batch}')
        for name, code in chapters.items():
            self.write(name, code)
        self.chapters(*chapters)

    def chapters(self, *names: str) -> None:
        """Make these the chapters of the book."""
        listed = "".join(f"  - file: notebooks/{name}\n" for name in names)
        (self.folder / "_toc.yml").write_text(
            "format: jb-book\nroot: book/index\nparts:\n- caption: 장 | Chapters\n"
            f"  chapters:\n{listed}", encoding="utf-8")

    def write(self, name: str, code: str) -> None:
        """Write the source of a chapter that runs `code`."""
        text = CHAPTER.format(number=name[:2], code=code, counter=str(self.counter))
        file = self.folder / "notebooks" / f"{name}.py"
        file.write_text(text, encoding="utf-8")

    def build(self, **env: str) -> subprocess.CompletedProcess:
        """Build in the smoke profile, in this checkout."""
        return self._wait(self.start(**env))

    def start(self, *words: str, **env: str) -> subprocess.Popen:
        """Start a build."""
        return self._python("book.build", env, "--profile", "smoke", *words)

    def _wait(self, process: subprocess.Popen) -> subprocess.CompletedProcess:
        out, error = process.communicate()
        return subprocess.CompletedProcess(process.args, process.returncode, out, error)

    def _python(self, module: str, env: dict, *words: str) -> subprocess.Popen:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("BOOK_")}
        env = {"PYTHONPATH": str(self.folder), "PYTHONUTF8": "1",
               "BOOK_DATA_CACHE": str(self.folder / "data" / "cache"), **env}
        command = [sys.executable, "-m", module, *words]
        return subprocess.Popen(
            command, cwd=self.folder, env=kept | env, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, encoding="utf-8")

    def fetch(self, **env: str) -> None:
        """Fetch the data of this checkout."""
        self._wait(self._python("lib.data", env)).check_returncode()

    def ran(self) -> list[str]:
        """The numbers of the chapters executed since the last call."""
        lines = self.counter.read_text().split() if self.counter.exists() else []
        self.counter.write_text("")
        return sorted(lines)

    def page(self, lang: str, name: str) -> str:
        file = self.folder / "_build" / "site" / lang / f"{name}.html"
        return file.read_text(encoding="utf-8")
