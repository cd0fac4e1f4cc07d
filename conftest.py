"""How the tests share their workers (`-n 2`), and which files are no tests.

A file stays whole: what it loads once (a model, a Wine folder) is loaded once. Only the
tests of the site, which is built once for all workers, are dealt out one by one: one of
them first, so that the build begins at once, and the others last, when it is there.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

# The sources of the notebooks are run as notebooks (the paired .ipynb), not imported.
collect_ignore_glob = ["notebooks/*.py"]


SITE = "tests/site/"
BUILDS_THE_SITE = SITE + "test_examples.py"


class ByFile(LoadFileScheduling):
    """One file, one worker; of the site's files, one test."""

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(SITE) and not nodeid.startswith(BUILDS_THE_SITE):
            return nodeid.split("[")[0]
        return super()._split_scope(nodeid)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the file that builds the site in front and what reads the site at the end."""
    def place(item: pytest.Item) -> int:
        if item.nodeid.startswith(BUILDS_THE_SITE):
            return 0
        return 2 if item.nodeid.startswith(SITE) else 1

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """Deal the files out in the order in which they were collected."""
    config.option.loadscopereorder = False
    return ByFile(config, log)
