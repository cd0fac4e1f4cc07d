"""How an instrument comes into a page: its data, its scripts, the place it opens in."""

import json

import numpy as np
import pytest
from bs4 import BeautifulSoup
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output
from matplotlib import pyplot as plt
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from traitlets.config import Config

from book import instruments
from book.editions import LANGS, stage_notebook
from book.instruments import Mounts, exports_of
from book.outputs import BuildError
from lib.page.live import alive, export, packed
from tests.live.node import computed

CAPTION = "그림입니다. <!-- alt: 점 하나가 있는 그림 -->"


@pytest.fixture(scope="module", autouse=True)
def shell():
    """What is displayed leaves an output only where IPython is at work."""
    memory = Config()
    memory.HistoryAccessor.enabled = False
    yield InteractiveShell.instance(config=memory)
    InteractiveShell.clear_instance()


def executed(action):
    """The outputs that a cell leaves which calls this."""
    with capture_output() as captured:
        action()
    return [new_output("display_data", data=NotebookNode(shown.data))
            for shown in captured.outputs]


def still(instrument="sandbox", data="sandbox", **more):
    alive(plt.figure(), instrument, data, **more)


def chapter(*actions):
    """An executed chapter: what each action shows, the last one with a caption."""
    cells = [new_code_cell(" ", outputs=executed(action)) for action in actions]
    return new_notebook(cells=[
        new_markdown_cell("# 제목", metadata={"tags": ["lang-ko"]}), *cells,
        new_markdown_cell(CAPTION, metadata={"tags": ["lang-ko", "caption"]})])


def mounted(notebook, exports):
    mounts = Mounts(exports)
    page = stage_notebook(notebook, "ko", {}, "08_x", "", mounts)
    html = "".join(output.data["text/html"] for cell in page.cells
                   for output in cell.get("outputs", []))
    return BeautifulSoup(html, "html.parser").figure, mounts


def test_a_figure_that_comes_alive_names_its_scripts_and_keeps_its_still(tmp_path):
    made = chapter(lambda: export("sandbox", n=1), lambda: still(view="start"))
    figure, mounts = mounted(made, {"08": exports_of(made)})
    assert figure["data-live"] == "sandbox" and figure["data-exports"] == "08.sandbox"
    assert json.loads(figure["data-options"]) == {"view": "start"}
    assert figure.select_one(".figure-body[aria-label='점 하나가 있는 그림'] svg")
    mounts.write(tmp_path, LANGS)
    for name in figure["data-scripts"].split():
        text = (tmp_path / name.partition("?")[0]).read_text("utf-8")
        assert instruments.stamped(name.partition("?")[0], text) == name
    assert '{"n":1}' in (tmp_path / "live/08-sandbox.js").read_text("utf-8")


def test_an_export_that_is_missing_stops_the_build():
    with pytest.raises(BuildError, match=r"'08\.sandbox' is not there.*exports other"):
        mounted(chapter(still), {"08": {"other": {}}})


def test_an_instrument_that_is_missing_stops_the_build():
    with pytest.raises(BuildError, match="'sandbax' is not in book/live"):
        mounted(chapter(lambda: still("sandbax")), {"08": {"sandbox": {}}})


def test_without_the_other_chapter_the_still_remains_and_nothing_is_loaded(tmp_path):
    figure, mounts = mounted(chapter(lambda: still(data="05.sandbox")), {"05": None})
    assert figure.svg and "data-live" not in figure.attrs
    mounts.write(tmp_path, LANGS)
    assert list(tmp_path.iterdir()) == []


def test_an_export_made_twice_stops_the_build():
    made = chapter(lambda: export("sandbox", n=1), lambda: export("sandbox", n=2))
    with pytest.raises(BuildError, match="'sandbox' is made twice"):
        exports_of(made)


@pytest.mark.parametrize("name", ["common", *instruments.names()])
def test_words_are_there_in_both_languages(name):
    tables = instruments.table(name)

    def keys(words):
        return {(key, *more) for key, value in words.items()
                for more in (keys(value) if isinstance(value, dict) else [()])}

    assert keys(tables["ko"]) == keys(tables["en"])


def test_arrays_arrive_in_the_page_as_they_were_exported():
    draw = np.random.default_rng(0)
    whole = np.arange(65536, dtype=np.uint16)
    arrays = {"half": whole.view(np.float16), "single": draw.normal(size=(3, 2)).astype(
        np.float32), "double": draw.normal(size=4), "int": np.array([-2**31, 7], "i4"),
        "ids": whole[::997], "bytes": np.arange(256, dtype=np.uint8)}
    found = computed("""
        const { revive } = require("./common/arrays.js");
        const text = (x) => Number.isFinite(x) ? x : String(x);
        const arrays = Object.values(revive(input));
        output = arrays.map((array) => [array.shape, Array.from(array, text)]);
        """, {name: packed(array) for name, array in arrays.items()})
    for (shape, flat), array in zip(found, arrays.values(), strict=True):
        numbers = np.array([float(str(x).replace("Infinity", "inf")) for x in flat])
        np.testing.assert_array_equal(numbers.reshape(shape), array.astype(float))
