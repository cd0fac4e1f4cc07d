"""The pair of a chapter: written from its source, and edited from either side."""

import asyncio
import codecs
import json
import os
import shutil
import tomllib

import jupytext
import nbformat
import pytest
from jupytext.cli import jupytext as jupytext_command
from nbformat.v4 import new_code_cell, new_output

from book import sync
from book.fingerprint import load
from book.sync import ROOT, SyncError, paired, rendered, sync_one

SOURCE = """\
# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown] tags=["lang-ko"]
# <!-- label: first -->
# # 제목
# %% [markdown] tags=["lang-en"]
# <!-- label: first -->
# # A title

# %% tags=["parameters"]
steps = 3  # how many

# %% [markdown] tags=["lang-ko"]
# <!-- label: second -->
# ## 둘째
# %% [markdown] tags=["lang-en"]
# <!-- label: second -->
# ## The second

# %%
# %matplotlib inline
print("안녕", steps)

# %% tags=["solution", "hide-cell"]
steps * 2
"""


@pytest.fixture
def source(tmp_path):
    """A copy of a small book: its settings and one chapter."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    folder = tmp_path / "notebooks"
    folder.mkdir()
    file = folder / "01_small.py"
    file.write_text(SOURCE, encoding="utf-8")
    return file


def read(ipynb):
    return nbformat.read(ipynb, as_version=4)


def jupytext_sync(file):
    """`jupytext --sync FILE`, without the seconds of starting Python again."""
    assert jupytext_command(["--sync", "--quiet", str(file)]) == 0


def make_newer(file, than):
    later = than.stat().st_mtime_ns + 5_000_000_000
    os.utime(file, ns=(later, later))


def test_the_pair_has_the_cells_and_tags_of_the_source_and_no_outputs(source):
    sync_one(source)
    nb = read(source.with_suffix(".ipynb"))
    assert [c.cell_type for c in nb.cells] == [
        "markdown", "markdown", "code", "markdown", "markdown", "code", "code"
    ]
    assert nb.cells[2].metadata.tags == ["parameters"]
    assert nb.cells[6].metadata.tags == ["solution", "hide-cell"]
    assert nb.cells[5].source == '%matplotlib inline\nprint("안녕", steps)'
    assert all(not c.outputs for c in nb.cells if c.cell_type == "code")
    nbformat.validate(nb)


@pytest.mark.parametrize("form", ["mark", "line ends", "both"])
def test_an_editor_of_windows_may_save_the_source(source, form):
    plain, text = paired(source), source.read_bytes()
    if form != "mark":
        text = text.replace(b"\n", b"\r\n")
    if form != "line ends":
        text = codecs.BOM_UTF8 + text
    source.write_bytes(text)
    assert paired(source) == plain


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
@pytest.mark.parametrize(("mask", "mode"), [(0o077, 0o600), (0o002, 0o664)])
def test_a_written_file_has_the_permissions_that_its_owner_wants(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        sync.write_atomically(tmp_path / "report.md", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "report.md").stat().st_mode & 0o777 == mode


def test_an_unchanged_source_changes_no_byte_and_is_not_written_again(source):
    ipynb = source.with_suffix(".ipynb")
    assert sync_one(source).state == "written"
    first, number = ipynb.read_bytes(), ipynb.stat().st_ino
    assert sync_one(source).state == "same"
    assert ipynb.stat().st_ino == number
    ipynb.unlink()
    sync_one(source)
    assert ipynb.read_bytes() == first
    assert rendered(source).encode() == first


def test_an_edit_leaves_the_ids_of_other_sections_alone(source):
    before = [c.id for c in paired(source).cells]
    text = SOURCE.replace("# # A title", "# # Another title").replace(
        "steps = 3", "import os\nsteps = 4"
    ).replace("# ## 둘째", "# ## 셋째")
    source.write_text(text, encoding="utf-8")
    assert [c.id for c in paired(source).cells] == before
    more = SOURCE.replace('# %% tags=["parameters"]', "# %%\n1\n\n# %%\n2\n\n# %% ")
    source.write_text(more, encoding="utf-8")
    after = [c.id for c in paired(source).cells]
    assert after[-4:] == before[-4:]
    assert len(set(after)) == len(after)


def test_check_names_the_pair_that_is_out_of_step_and_writes_nothing(source, capsys):
    assert sync.main(["--check", str(source)]) == 1
    assert "01_small.ipynb is missing" in capsys.readouterr().err
    ipynb = source.with_suffix(".ipynb")
    assert not ipynb.exists()
    assert sync.main([str(source)]) == 0
    assert sync.main(["--check", str(source)]) == 0
    source.write_text(SOURCE.replace("steps = 3", "steps = 4"), encoding="utf-8")
    kept = ipynb.read_bytes()
    assert sync.main(["--check", str(source)]) == 1
    assert "01_small.ipynb differs from the source at cell 3" in capsys.readouterr().err
    assert ipynb.read_bytes() == kept


def test_outputs_never_stay_in_the_pair(source, capsys):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    nb.cells[5].outputs = [new_output("stream", text="안녕 3\n")]
    nbformat.write(nb, ipynb)
    assert sync.main(["--check", str(source)]) == 1
    assert "holds outputs" in capsys.readouterr().err
    make_newer(ipynb, than=source)
    sync_one(source)
    assert "안녕 3" not in json.dumps(read(ipynb), ensure_ascii=False)


@pytest.mark.parametrize("newer", ["notebook", "source"])
def test_an_edit_of_the_notebook_is_not_lost_whichever_file_is_newer(source, newer):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    nb.cells[1].source += "\n\nTyped in JupyterLab."
    nbformat.write(nb, ipynb)
    newer, older = (ipynb, source) if newer == "notebook" else (source, ipynb)
    make_newer(newer, than=older)
    said = r"\(differs from the source at cell 2\): .*--take .*01_small.ipynb.*--force"
    with pytest.raises(SyncError, match=said):
        sync_one(source)
    assert sync.main(["--edited", str(source)]) == 1
    assert "Typed in JupyterLab." in ipynb.read_text(encoding="utf-8")
    assert "Typed in JupyterLab." in load(source).cells[1].source
    sync_one(source, force=True)
    assert "Typed in JupyterLab." not in ipynb.read_text(encoding="utf-8")
    assert sync.main(["--edited", str(source)]) == 0


@pytest.mark.parametrize("newer", ["notebook", "source"])
def test_of_two_edits_neither_is_lost(source, newer):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    nb.cells[5].source += "  # from the notebook"
    nbformat.write(nb, ipynb)
    text = SOURCE.replace("steps = 3", "steps = 4")
    source.write_text(text, encoding="utf-8")
    newer, older = (ipynb, source) if newer == "notebook" else (source, ipynb)
    make_newer(newer, than=older)
    for work in (sync_one, load):
        with pytest.raises(SyncError, match=r"--take .*--force"):
            work(source)
    assert "# from the notebook" in ipynb.read_text(encoding="utf-8")
    assert source.read_text(encoding="utf-8") == text


def test_an_edit_of_the_notebook_is_taken_into_the_source_whatever_the_clock(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    nb.cells[2].source = "steps = 5  # how many"
    nb.cells[5].outputs = [new_output("stream", text="안녕 5\n")]
    nbformat.write(nb, ipynb)
    make_newer(source, than=ipynb)  # as a checkout does
    assert sync.main(["--take", str(ipynb)]) == 0
    expected = SOURCE.replace("steps = 3", "steps = 5")
    assert source.read_text(encoding="utf-8") == expected
    assert sync_one(source, check=True).state == "same"


def test_an_edit_of_the_source_wins_whatever_the_clock(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    source.write_text(SOURCE.replace("steps = 3", "steps = 4"), encoding="utf-8")
    make_newer(ipynb, than=source)
    assert load(ipynb).cells[2].source.startswith("steps = 4")
    sync_one(source)
    assert read(ipynb).cells[2].source.startswith("steps = 4")


def test_a_pair_without_a_stamp_is_not_written_over(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    del nb.metadata["agt"]
    nb.cells[1].source += "\n\nWritten before there were stamps."
    nbformat.write(nb, ipynb)
    make_newer(source, than=ipynb)
    with pytest.raises(SyncError, match="holds an edit"):
        sync_one(source)


def test_jupytext_sync_leaves_a_pair_in_step_as_it_is(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    bytes_before = source.read_bytes(), ipynb.read_bytes()
    jupytext_sync(source)
    assert (source.read_bytes(), ipynb.read_bytes()) == bytes_before
    make_newer(ipynb, than=source)
    jupytext_sync(ipynb)
    assert (source.read_bytes(), ipynb.read_bytes()) == bytes_before


def test_an_edit_of_the_source_reaches_the_notebook_by_jupytext_sync(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    text = SOURCE.replace("# # A title", "# # A better title")
    source.write_text(text, encoding="utf-8")
    make_newer(source, than=ipynb)
    jupytext_sync(source)
    assert "# A better title" in read(ipynb).cells[1].source
    assert read(ipynb).cells[1].metadata.tags == ["lang-en"]
    assert source.read_text(encoding="utf-8") == text
    assert sync_one(source).state in ("same", "written")
    assert sync_one(source, check=True).state == "same"


def test_an_edit_of_the_notebook_reaches_the_source_by_jupytext_sync(source):
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    nb = read(ipynb)
    nb.cells[4].source += "\n\nA new paragraph."
    nb.cells[5].outputs = [new_output("stream", text="안녕 3\n")]
    nb.cells.append(new_code_cell("steps + 1", metadata={"tags": ["hide-input"]}))
    nbformat.write(nb, ipynb)
    make_newer(ipynb, than=source)
    jupytext_sync(ipynb)
    expected = SOURCE.replace(
        "# ## The second\n", "# ## The second\n#\n# A new paragraph.\n"
    ) + '\n# %% tags=["hide-input"]\nsteps + 1\n'
    assert source.read_text(encoding="utf-8") == expected
    sync_one(source)
    nb = read(ipynb)
    assert nb.cells[7].source == "steps + 1"
    assert all(not c.outputs for c in nb.cells if c.cell_type == "code")


def test_saving_in_jupyterlab_writes_both_files(source):
    from jupyter_server.services.contents.largefilemanager import (
        AsyncLargeFileManager,
    )

    sync_one(source)
    kind = jupytext.build_async_jupytext_contents_manager_class(AsyncLargeFileManager)
    manager = kind(root_dir=str(source.parents[1]))  # JupyterLab's own, in-process

    async def open_edit_save():
        model = await manager.get("notebooks/01_small.ipynb")
        model["content"]["cells"][0]["source"] += "\n\n새 문단."
        await manager.save(model, "notebooks/01_small.ipynb")

    asyncio.run(open_edit_save())
    assert source.read_text(encoding="utf-8") == SOURCE.replace(
        "# # 제목\n", "# # 제목\n#\n# 새 문단.\n"
    )
    sync_one(source)
    assert sync_one(source, check=True).state == "same"


def test_a_broken_notebook_file_is_put_aside_and_written_anew(source):
    ipynb = source.with_suffix(".ipynb")
    ipynb.write_text('{"cells": [', encoding="utf-8")
    make_newer(ipynb, than=source)
    kept = ipynb.with_name("01_small.ipynb.kept")
    said = sync_one(source).reason
    assert said == f"is not a readable notebook, and is kept as {kept}"
    assert len(read(ipynb).cells) == 7
    assert kept.read_text(encoding="utf-8") == '{"cells": ['


def test_an_unknown_file_is_one_sentence(source, capsys):
    assert sync.main([str(source.with_name("99_gone.py"))]) == 1
    said = capsys.readouterr().err
    assert "99_gone.py is not a chapter source; the book has:" in said
    assert said.count("\n") == 1


def test_the_settings_of_jupytext_are_those_that_the_pairs_carry():
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert table["tool"]["jupytext"] == sync.FILTERS


@pytest.mark.slow
def test_every_chapter_of_the_book_is_in_step():
    found = [sync_one(file, check=True) for file in sync.sources()]
    assert [p.ipynb.name for p in found if p.state != "same"] == []
    assert sync.orphans() == []
