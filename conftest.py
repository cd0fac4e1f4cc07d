"""How the tests share their workers (`-n 2`), and which files are no tests.

A file stays whole: what it loads once (a model, a Wine folder) is loaded once. All of
`tests/site` goes to one worker, because it reads one build with one browser. What the
check of the notebooks executed is kept, so that this build need not do it again.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

# The sources of the notebooks are run as notebooks (the paired .ipynb), not imported.
collect_ignore_glob = ["notebooks/*.py"]


class ByFile(LoadFileScheduling):
    """One file, one worker; and one worker for the site."""

    def _split_scope(self, nodeid: str) -> str:
        site = nodeid.startswith("tests/site/")
        return "tests/site" if site else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """Deal the files out in the order in which they were collected."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where nbmake checks notebooks, let it keep for the site what passed."""
    if any(getattr(item, "nbmake", False) for item in items):
        from nbmake import pytest_items

        from book.checked import KeptRun

        pytest_items.NotebookRun = KeptRun
