"""How the tests share their workers (`-n 2`), and which files are no tests.

A file stays whole: what it loads once (a model, a Wine folder) is loaded once; only the
pages of the site are two halves, one a language. What the check of the notebooks
executed is kept for the build of the site. One worker builds it while the other goes on
with the rest; whoever is free then reads the pages.
"""

import pytest
from xdist.scheduler import LoadFileScheduling

# The sources of the notebooks are run as notebooks (the paired .ipynb), not imported.
collect_ignore_glob = ["notebooks/*.py"]


BUILDER = "tests/site/test_examples.py"  # a short file, whose first test builds


class ByFile(LoadFileScheduling):
    """One file, one worker; a half of the pages, one worker."""

    def _split_scope(self, nodeid: str) -> str:
        return super()._split_scope(nodeid) + " en" * ("test_pages.py" in nodeid
                                                       and "[en/" in nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log) -> ByFile:
    """Deal the files out in the order in which they were collected."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fast`: what one runs after every change."""
    parser.addoption("--fast", action="store_true",
                     help="leave out notebooks, site and tests marked slow")


def is_slow(item: pytest.Item) -> bool:
    """Whether `--fast` leaves a test out."""
    return (getattr(item, "nbmake", False) or item.nodeid.startswith("tests/site/")
            or item.get_closest_marker("slow") is not None)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """The pages last; where nbmake checks notebooks, let it keep what passed."""
    if config.getoption("--fast"):
        config.hook.pytest_deselected(items=[item for item in items if is_slow(item)])
        items[:] = [item for item in items if not is_slow(item)]
    items.sort(key=lambda item: item.nodeid.startswith("tests/site/")
               and not item.nodeid.startswith(BUILDER))
    if any(getattr(item, "nbmake", False) for item in items):
        from nbmake import pytest_items

        from book.checked import KeptRun

        pytest_items.NotebookRun = KeptRun
