"""What a GPU measured, for a page: figures of `benchmarks.on_gpu`, or that none are.

The file holds an entry for each part of the program: device, date, PyTorch, rows.
A page that asks it changes by itself once the program has run on a GPU.
"""

import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lib.commands import ROOT
from lib.page.record import as_text

GPU_RESULTS = ROOT / "benchmarks" / "results" / "on_gpu.json"
NOT_MEASURED = "재지 못함 | not measured"


def gpu_rows(part: str, file: Path = GPU_RESULTS, **settings: Any
             ) -> list[dict[str, Any]]:
    """The rows of a part that have these settings; none where nothing was measured."""
    if not file.exists():
        return []
    entry = json.loads(file.read_text("utf-8")).get(part, {"rows": [], "smoke": False})
    return [row for row in entry["rows"]
            if settings.items() <= row.items() and not entry["smoke"]]


def gpu_figure(part: str, column: str, file: Path = GPU_RESULTS, **settings: Any
               ) -> str:
    """The mean of a column over the rows with these settings, as the book writes it.

    >>> gpu_figure("attention", "ratio_to_sdpa", Path("nowhere"), form="newton")
    '재지 못함 | not measured'
    """
    values = [row[column] for row in gpu_rows(part, file, **settings)]
    return as_text(statistics.mean(values)) if values else NOT_MEASURED


def gpu_device(part: str, file: Path = GPU_RESULTS) -> str:
    """On what a part was measured, and when."""
    if not gpu_rows(part, file):
        return NOT_MEASURED
    entry = json.loads(file.read_text("utf-8"))[part]
    return f"{entry['device']}, PyTorch {entry['torch']}, {entry['date']}"


def gpu_table(parts: Sequence[str], index: str, columns: str, value: str,
              file: Path = GPU_RESULTS, write: Callable[[float], str] = as_text
              ) -> pd.DataFrame:
    """A column of some parts by two others, with the device at the head."""
    rows = [row for part in parts for row in gpu_rows(part, file)]
    if not rows:
        return pd.DataFrame({"": [NOT_MEASURED]}, index=["GPU"])
    table = pd.DataFrame(rows).pivot_table(value, index, columns, sort=False)
    table = table.map(lambda number: "–" if pd.isna(number) else write(number))
    table.columns = [f"{columns} = {name:,}" if isinstance(name, int) else str(name)
                     for name in table.columns]
    devices = (gpu_device(part, file) for part in parts if gpu_rows(part, file))
    return table.rename_axis("; ".join(dict.fromkeys(devices)))


def in_each_language(**texts: str) -> dict[str, str]:
    """Texts "ko | en" as results for `record`, a name for each language.

    >>> in_each_language(gpu="재지 못함 | not measured", ratio="0.98")
    {'gpu_ko': '재지 못함', 'gpu_en': 'not measured', 'ratio_ko': '0.98',
     'ratio_en': '0.98'}
    """
    return {f"{name}_{language}": text.split(" | ")[side if " | " in text else 0]
            for name, text in texts.items()
            for side, language in enumerate(("ko", "en"))}
