"""Telling Weights & Biases how a training goes, for those who ask for it.

The package is no part of the book: it is looked for when it is asked for, and imported
when the first step is told.
"""

import importlib.util
import netrc
import os
from pathlib import Path
from typing import Any
from urllib.parse import urlparse


def expect_wandb() -> None:
    """Refuse where the package is not installed, or nobody is logged in."""
    spec = importlib.util.find_spec("wandb")
    if spec is None or spec.origin is None:  # a folder of that name is no package
        raise ValueError(
            "wandb was asked for and is not installed; run pip install wandb in "
            "the environment of the book, or leave wandb out")
    without = os.environ.get("WANDB_MODE") in ("offline", "disabled", "dryrun")
    if not (os.environ.get("WANDB_API_KEY") or without or _in_netrc()):
        raise ValueError(
            "wandb was asked for and nobody is logged in; run .venv/bin/wandb login, "
            "set WANDB_MODE=offline to keep the log here, or leave wandb out")


def _in_netrc() -> bool:
    """Whether `wandb login` has left a key for the server that is asked."""
    url = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")
    for name in (os.environ.get("NETRC"), "~/.netrc", "~/_netrc"):
        file = Path(name or "").expanduser()
        if name and file.is_file():
            try:
                known = netrc.netrc(file).authenticators(urlparse(url).netloc)
            except netrc.NetrcParseError:
                return False
            return known is not None
    return False


class Wandb:
    """An `on_step` of `lib.training.loop.fit` that tells of each new entry."""

    def __init__(self, project: str, configuration: dict[str, Any], name: str):
        expect_wandb()
        self.about = {"project": project, "config": configuration, "name": name}
        self.run: Any = None

    def __call__(self, step: Any) -> None:
        """Log the entry of a `Step`, if any; the first call begins the run."""
        if self.run is None:
            import wandb  # pyright: ignore[reportMissingImports]  # an extra

            self.run = wandb.init(**self.about)
        if step.point is not None:
            point = {name: x for name, x in step.point.items() if x is not None}
            self.run.log(point, step=step.step)
        if step.step == step.steps:
            self.run.finish()
            self.run = None
