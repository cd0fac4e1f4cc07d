"""How the tests share two workers, and which files are no tests.

Files stay whole: what a file loads once (a model, a wine folder) is loaded once. All
of `tests/site` goes to one worker, because it reads one build and one browser.
"""

from pathlib import Path

import pytest

ROOT = Path(__file__).parent

# The sources of the notebooks are run as notebooks (the paired .ipynb), not imported.
collect_ignore_glob = ["notebooks/*.py"]


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put each test into the group of its file, or into the site's."""
    for item in items:
        place = item.path.relative_to(ROOT).as_posix()
        group = "site" if place.startswith("tests/site/") else place
        item.add_marker(pytest.mark.xdist_group(group))
