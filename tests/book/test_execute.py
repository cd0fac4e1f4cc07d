"""Notebooks are executed once for each content, in a process of their own."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import torch
from nbmake import pytest_items

from book import checked as checking
from book import execute as executing
from book.execute import Job, MergeError, execute, execute_many, merge
from book.fingerprint import code_key, data_state, full_key, library, load
from book.jobs import book_jobs
from book.sync import ROOT, paired, sync_one
from book.worker import PROBE
from lib import data

GOOD = """\
# %% [markdown] tags=["lang-en"]
# <!-- label: good -->
# # A notebook that passes

# %% tags=["parameters"]
word = "empty"  # what to say
times = 2  # how often

# %%
import os, sys
from pathlib import Path
with open(Path(r"{counter}"), "a") as file:
    file.write("run\\n")

# %% tags=["hide-input"]
from lib.page.record import record
record(length=len(word) * times)

# %%
print(word, os.environ["BOOK_PROFILE"], os.environ["OMP_NUM_THREADS"])
print(sys.executable, os.getcwd(), sep="\\n")
"""
BAD = """\
# %% [markdown] tags=["lang-en"]
# <!-- label: bad -->
# # A notebook that fails

# %%
print("before")

# %%
raise KeyError("no such head")
"""
DEAD = """\
# %% [markdown] tags=["lang-en"]
# <!-- label: dead -->
# # A notebook whose kernel dies

# %%
import os
os._exit(3)
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """Three notebooks and one that needs a failing one, run two at a time.

    A kernelspec named python3 that cannot start stands in front of the real one.
    """
    folder = tmp_path_factory.mktemp("executed 한글")
    spec = folder / "jupyter" / "kernels" / "python3"
    spec.mkdir(parents=True)
    wrong = {"argv": ["/bin/false"], "display_name": "other", "language": "python"}
    (spec / "kernel.json").write_text(json.dumps(wrong))
    texts = {
        "01_good": GOOD.format(counter=folder / "count"),
        "02_bad": BAD, "03_dead": DEAD, "04_after": BAD,
    }
    for name, text in texts.items():
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    jobs = [
        Job(folder / "01_good.py", "smoke", {"word": "질량"}, folder / "out.ipynb"),
        Job(folder / "02_bad.py", "smoke", {}, folder / "bad.ipynb"),
        Job(folder / "03_dead.py", "smoke"),
        Job(folder / "04_after.py", "smoke", needs=("02_bad",)),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executing, "EXECUTED", folder / "cache")
        patch.setenv("JUPYTER_PATH", str(folder / "jupyter"))
        patch.delenv("OMP_NUM_THREADS", raising=False)
        results = {r.name: r for r in execute_many(jobs, 2, progress=False)}
        yield SimpleNamespace(folder=folder, results=results, jobs=jobs)


def read(path):
    return nbformat.read(path, as_version=4)


def runs(ran):
    return (ran.folder / "count").read_text().count("run")


@pytest.mark.slow
def test_a_notebook_runs_with_its_profile_parameters_and_this_interpreter(ran):
    good = ran.results["01_good"]
    assert (good.status, good.cached, good.error) == ("ok", False, "")
    assert good.device == "cpu"
    said = read(good.path).cells[-1].outputs[0].text.splitlines()
    assert said == ["질량 smoke 1", sys.executable, str(ROOT)]
    assert good.records == {"length": {"value": 4, "text": "4"}}
    assert good.seconds > 0


def test_the_executed_notebook_names_no_source_to_pair_with(ran):
    nb = read(ran.results["01_good"].path)
    assert "jupytext" not in nb.metadata
    assert "papermill" not in nb.metadata
    assert nb.metadata.agt.parameters == {"word": "질량"}
    nbformat.validate(nb)


def test_a_failing_cell_is_named_and_what_ran_is_kept_but_never_cached(ran):
    bad = ran.results["02_bad"]
    assert bad.status == "failed"
    assert bad.error == "cell bad-code-2: KeyError: 'no such head'"
    outputs = [c.outputs for c in read(bad.path).cells if c.cell_type == "code"]
    assert outputs[0][0].text == "before\n"
    assert bad.path.name.endswith(".failed.ipynb")
    assert (ran.folder / "bad.failed.ipynb").exists()
    assert not (ran.folder / "bad.ipynb").exists()
    kept = [p.name for p in (ran.folder / "cache" / "smoke").iterdir()]
    assert [n for n in kept if n.startswith("02_bad") and "failed" not in n] == []


def test_a_dead_kernel_is_a_failure_with_the_cell_it_died_in(ran):
    dead = ran.results["03_dead"]
    assert dead.status == "failed"
    assert dead.error.startswith("cell dead-code: DeadKernelError")


@pytest.mark.slow
def test_what_the_reader_set_for_other_work_changes_no_result(tmp_path, monkeypatch):
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    leak = "import torch; torch.set_default_dtype(torch.float64)\n"
    (startup / "00-mine.py").write_text(leak)
    (startup.parent / "ipython_kernel_config.py").write_text(
        "c.InteractiveShell.ast_node_interactivity = 'all'\n")
    (tmp_path / "started.py").write_text(leak)
    (tmp_path / "matplotlibrc").write_text("lines.marker: o\nfont.size: 40\n")
    for name, value in {
        "IPYTHONDIR": tmp_path / "ipython", "PYTHONSTARTUP": tmp_path / "started.py",
        "MATPLOTLIBRC": tmp_path / "matplotlibrc", "MPLBACKEND": "TkAgg",
    }.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(executing, "EXECUTED", tmp_path / "executed")
    source = tmp_path / "01_own.py"
    source.write_text("# %%\nimport matplotlib, torch\n1\n"
                      "(torch.get_default_dtype(), matplotlib.rcParams['font.size'])\n")
    result = execute(source, "smoke")
    (output,) = nbformat.read(result.path, as_version=4).cells[0].outputs
    assert output.data["text/plain"] == "(torch.float32, 10.0)"


def test_what_needs_a_failed_notebook_is_not_run(ran):
    after = ran.results["04_after"]
    assert after.status == "skipped"
    assert after.error == "not run, for it needs 02_bad"
    assert after.path is None


def test_the_same_content_is_not_executed_again(ran):
    before = runs(ran)
    again = execute_many(ran.jobs[:1], progress=False)[0]
    assert runs(ran) == before
    assert again.cached
    assert again.records == ran.results["01_good"].records
    assert again.seconds == pytest.approx(ran.results["01_good"].seconds, abs=0.01)


def test_an_edit_of_prose_and_looks_shows_without_executing(ran):
    file, before = ran.folder / "01_good.py", runs(ran)
    text = file.read_text(encoding="utf-8")
    edited = text.replace("that passes", "that passes well").replace(
        'tags=["hide-input"]', 'tags=["remove-input"]'
    )
    file.write_text(edited, encoding="utf-8")
    result = execute(file, "smoke", {"word": "질량"})
    assert (result.status, result.cached, runs(ran)) == ("ok", True, before)
    page = merge(paired(file), read(result.path))
    assert "passes well" in page.cells[0].source
    code = [c for c in page.cells if c.cell_type == "code"]
    assert code[2].metadata.tags == ["remove-input"]
    assert code[-1].outputs[0].text.startswith("질량 smoke")
    assert [c.source for c in code] == [
        c.source for c in paired(file).cells if c.cell_type == "code"
    ]  # without the cell of the parameters
    file.write_text(text, encoding="utf-8")


@pytest.fixture
def checked(tmp_path, monkeypatch):
    """Run a notebook of a book as its check does; return that, and one of the site."""
    book = tmp_path / "notebooks"
    book.mkdir()
    (book / "batch.toml").write_text(
        'profiles = ["smoke"]\n[groups]\n[pages."02"]\nword = "mass"\n')
    monkeypatch.setattr(executing, "EXECUTED", tmp_path / "cache")
    monkeypatch.setattr(checking, "NOTEBOOKS", book)
    monkeypatch.delenv("JUPYTER_PATH", raising=False)  # not the one that cannot start
    monkeypatch.setenv("BOOK_PROFILE", "smoke")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def check(name, text, stale=False):
        (book / f"{name}.py").write_text(text.format(counter=tmp_path / name))
        sync_one(book / f"{name}.py")
        if stale:
            (book / f"{name}.py").write_text(text.format(counter=tmp_path / "other"))
        kept = checking.KeptRun(book / f"{name}.ipynb", 60, kernel="python3")
        error = kept.execute().error
        (job,) = (job for job in book_jobs("smoke", book) if job.name == name)
        return error, executing.Run(job)

    return check


@pytest.mark.slow
def test_what_the_check_executed_the_site_takes(checked, tmp_path):
    error, run = checked("01_good", GOOD)
    assert error is None
    assert run.from_cache()
    assert (tmp_path / "01_good").read_text() == "run\n"
    page = merge(run.nb, read(run.result.path))
    said = page.cells[-1].outputs[0].text.splitlines()
    assert said[:2] == ["empty smoke 1", sys.executable]
    assert run.result.records["length"]["value"] == 10
    assert all("execution" not in cell.metadata for cell in page.cells)


@pytest.mark.slow
@pytest.mark.parametrize("case", ["fails", "own parameters", "newer source"])
def test_what_the_site_would_execute_otherwise_it_does_not_take(checked, case):
    name = "02_good" if case == "own parameters" else "01_good"
    text = BAD if case == "fails" else GOOD
    error, run = checked(name, text, stale=case == "newer source")
    assert (error is not None) == (case == "fails")
    assert not run.from_cache()


@pytest.mark.slow
def test_the_check_of_the_notebooks_is_one_that_keeps(request):
    class Notebook:
        nbmake, nodeid = True, "notebooks/01_good.ipynb"

    (ours,) = (plugin for plugin in request.config.pluginmanager.get_plugins()
               if getattr(plugin, "__file__", None) == str(ROOT / "conftest.py"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pytest_items, "NotebookRun", None)
        ours.pytest_collection_modifyitems(request.config, [Notebook()])
        assert pytest_items.NotebookRun is checking.KeptRun


def test_merging_with_other_code_is_refused(ran):
    source = paired(ran.folder / "01_good.py")
    executed = read(ran.results["01_good"].path)
    source.cells[-1].source = "print(1)"
    with pytest.raises(MergeError, match=r"code cell 4 \(good-code-4\)"):
        merge(source, executed)
    del source.cells[-1]
    with pytest.raises(MergeError, match="3 code cells and the executed notebook 4"):
        merge(source, executed)


def test_a_damaged_cache_entry_is_found_and_the_copy_given_out_serves(ran):
    good, before = ran.results["01_good"], runs(ran)
    whole = good.path.read_bytes()
    good.path.write_bytes(whole[: len(whole) // 2])
    again = execute_many(ran.jobs[:1], progress=False)[0]  # from out.ipynb
    assert (again.cached, runs(ran)) == (True, before)
    good.path.unlink()
    again = execute_many(ran.jobs[:1], progress=False)[0]
    assert (again.cached, runs(ran)) == (True, before)
    assert good.path.read_bytes() == whole


@pytest.mark.slow
def test_data_that_a_run_fetches_itself_does_not_make_it_run_twice(
    ran, tmp_path, monkeypatch
):
    state = tmp_path / "state of the data"
    state.write_text("nothing fetched")
    monkeypatch.setattr(executing, "data_state", lambda *_: state.read_text())
    file = tmp_path / "05_fetches.py"
    file.write_text(f"# %%\nopen({str(state)!r}, 'w').write('fetched')\n")
    first = execute(file, "smoke")
    assert (first.status, first.cached, state.read_text()) == ("ok", False, "fetched")
    assert execute(file, "smoke").cached
    state.write_text("fetched from another origin")
    assert not executing.Run(Job(file, "smoke")).from_cache()


@pytest.mark.slow
def test_a_run_whose_files_are_gone_runs_again_and_a_page_does_not(ran, tmp_path):
    left, file = tmp_path / "results" / "curve.png", tmp_path / "06_writes.py"
    file.write_text(
        f"# %%\nfrom pathlib import Path\nfrom lib.page.record import wrote\n"
        f"left = Path({str(left)!r})\nleft.parent.mkdir(exist_ok=True)\n"
        'left.write_text("a curve")\nwrote([left])\n'
    )
    job = Job(file, "smoke", out=tmp_path / "out.ipynb")
    first = execute_many([job], progress=False)[0]
    assert first.records["files_written"] == {"value": str(left), "text": "1"}
    assert execute_many([job], progress=False)[0].cached
    left.unlink()
    assert executing.Run(Job(file, "smoke")).from_cache()
    again = execute_many([job], progress=False)[0]
    assert (again.cached, left.read_text()) == (False, "a curve")


@pytest.mark.slow
def test_a_run_or_a_page_whose_input_is_not_what_it_was_runs_again(ran, tmp_path):
    rules, file = tmp_path / "my" / "rules.txt", tmp_path / "07_reads.py"
    rules.parent.mkdir()
    rules.write_text("one")
    file.write_text(
        f"# %%\nfrom pathlib import Path\nfrom lib.page.record import record, used\n"
        f"folder = Path({str(rules.parent)!r})\nused([folder, None])\n"
        'record(seen="".join(f.read_text() for f in folder.iterdir()))\n'
        "# %%\nused([folder.parent / 'another that is not there'])\n"
    )
    jobs = [Job(file, "smoke"), Job(file, "smoke", out=tmp_path / "out.ipynb")]
    for job in jobs:
        execute_many([job], progress=False)
        assert execute_many([job], progress=False)[0].cached
    for change in (lambda: rules.write_text("two"),
                   lambda: rules.write_text("three"), rules.unlink):
        change()
        assert not executing.Run(jobs[0]).from_cache()
        again = execute_many([jobs[1]], progress=False)[0]
        found = rules.read_text() if rules.exists() else ""
        assert (again.cached, again.records["seen"]["value"]) == (False, found)


@pytest.mark.slow
def test_what_a_run_hands_out_has_its_results_in_its_prose(ran, tmp_path):
    file, out = tmp_path / "08_places.py", tmp_path / "out.ipynb"
    file.write_text(
        "# %% [markdown]\n"
        "# ⟨small⟩, `⟨small⟩`, $⟨none⟩$, ⟨none⟩, ⟨01.length⟩, ⟨98.far⟩\n"
        "# %%\nfrom lib.page.record import record\nrecord(small=1.23e-7)\n",
        encoding="utf-8",
    )
    job = Job(file, "smoke", out=out)
    for cached in (False, True):
        assert execute_many([job], progress=False)[0].cached == cached
        assert read(out).cells[0].source == (
            "1.2&nbsp;×&nbsp;10<sup>−7</sup>, `1.2e-07`, $–$, –, 4, (98: far)")
        assert "⟨small⟩" in read(executing.Run(job).entry()).cells[0].source
        assert "⟨small⟩" in file.read_text(encoding="utf-8")


@pytest.fixture
def tree(tmp_path):
    """A small repository: a library with a package, data and pins."""
    files = {
        "lib/__init__.py": "", "lib/a.py": "from lib.b import f",
        "lib/b.py": "from .pack import part\ndef f(): pass", "lib/c.py": "",
        "lib/late.py": "import importlib\nimportlib.import_module('lib.c')",
        "lib/pack/__init__.py": "", "lib/pack/part.py": "", "lib/pack/other.py": "",
        "lib/pack/words.txt": "one", "lib/pack/sub/more.json": "{}",
        "lib/data/__init__.py": "", "data/sources.toml": "",
        "requirements.txt": "torch==1",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return tmp_path


def names(files, tree):
    return [f.relative_to(tree).as_posix() for f in files]


def test_the_library_of_a_notebook_is_all_it_imports_and_no_more(tree):
    found = names(library(["%matplotlib inline\nfrom lib import a"], tree), tree)
    assert found == [
        "lib/__init__.py", "lib/a.py", "lib/b.py", "lib/pack/__init__.py",
        "lib/pack/part.py", "lib/pack/sub/more.json", "lib/pack/words.txt",
    ]
    assert names(library(["!ls\nimport lib.late"], tree), tree) == [
        "lib/__init__.py", "lib/c.py", "lib/late.py"
    ]
    assert library(["import os"], tree) == []


NB = """\
# %% [markdown] tags=["lang-en"]
# Words

# %% tags=["parameters"]
steps = 3

# %% tags=["hide-input"]
from lib import a, data
"""


def key_of(text, tree, profile="book", parameters=None):
    file = tree / "01_x.py"
    file.write_text(text)
    return code_key(load(file), profile, parameters or {}, tree)[0]


@pytest.mark.parametrize("file", [
    "lib/a.py", "lib/b.py", "lib/pack/part.py", "lib/pack/words.txt",
    "lib/pack/sub/more.json", "data/sources.toml", "requirements.txt",
])
def test_the_key_changes_with_all_that_the_notebook_reaches(tree, file):
    before = key_of(NB, tree)
    (tree / file).write_text("# changed\n")
    assert key_of(NB, tree) != before


@pytest.mark.parametrize("file", ["lib/c.py", "lib/pack/other.py", "README.md"])
def test_the_key_stays_when_something_else_changes(tree, file):
    before = key_of(NB, tree)
    (tree / file).write_text("# changed\n")
    assert key_of(NB, tree) == before


def test_the_key_is_of_code_profile_parameters_and_data_not_of_prose(tree):
    before = key_of(NB, tree)
    assert key_of(NB.replace("Words", "Other words"), tree) == before
    assert key_of(NB.replace("hide-input", "solution"), tree) == before
    others = [
        key_of(NB.replace("steps = 3", "steps = 4"), tree),
        key_of(NB.replace("hide-input", "raises-exception"), tree),
        key_of(NB, tree, profile="smoke"),
        key_of(NB, tree, parameters={"steps": 3}),
        key_of(NB + "\n# %%\n1\n", tree),
    ]
    assert len({before, *others}) == 6
    assert full_key(before, "data of the mirror") != full_key(before, "of the wheel")


def test_the_state_of_the_data_counts_only_where_data_is_read():
    assert data_state([ROOT / "lib" / "data" / "__init__.py"]) == data.fingerprint()
    assert data_state([ROOT / "lib" / "page" / "record.py"]) == ""


def test_of_two_files_that_differ_the_edited_one_is_executed(tmp_path):
    source = tmp_path / "01_x.py"
    source.write_text("# %%\n1\n")
    sync_one(source)
    ipynb = source.with_suffix(".ipynb")
    edited = read(ipynb)
    edited.cells[0].source = "2"
    nbformat.write(edited, ipynb)
    os.utime(ipynb, ns=(0, 0))  # older, and yet the one that was edited
    assert load(source).cells[0].source == "2"
    sync_one(source, force=True)
    source.write_text("# %%\n3\n")
    os.utime(source, ns=(0, 0))
    assert load(ipynb).cells[0].source == "3"


@pytest.mark.parametrize(("cfg", "said"), [
    (SimpleNamespace(device=torch.device("cpu")), "cpu"),
    (SimpleNamespace(device="mps"), "mps"),
    (None, "cuda" if torch.cuda.is_available() else "cpu"),
])
def test_the_device_is_that_of_the_settings(cfg, said):
    heard = io.StringIO()
    with contextlib.redirect_stdout(heard):
        exec(PROBE, {"cfg": cfg})  # noqa: S102 - as the kernel does
    assert heard.getvalue().startswith(said)


def test_no_workers_at_all_is_refused():
    with pytest.raises(ValueError, match="jobs is 0; use 1 or more"):
        execute_many([], jobs=0)


def test_notebooks_that_need_one_another_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(executing, "EXECUTED", tmp_path / "cache")
    jobs = []
    for name, other in (("01_a", "02_b"), ("02_b", "01_a")):
        (tmp_path / f"{name}.py").write_text("# %%\n1\n")
        jobs.append(Job(tmp_path / f"{name}.py", needs=(other,)))
    with pytest.raises(ValueError, match="circle: 01_a, 02_b"):
        execute_many(jobs, progress=False)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs named pipes and signals of POSIX; "
                    "run it on Linux or macOS")
def test_when_the_parent_is_killed_so_is_the_kernel_and_nothing_is_left(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    notebook = tmp_path / "01_waits.py"
    notebook.write_text(
        "# %%\nimport threading\n"
        f"pipe = open({str(pipe)!r}, 'w')\npipe.write('here')\npipe.flush()\n"
        "threading.Event().wait()\n"
    )
    program = (
        "import sys\nfrom pathlib import Path\nfrom book import execute\n"
        f"execute.EXECUTED = Path({str(tmp_path / 'cache')!r})\n"
        f"execute.execute(Path({str(notebook)!r}), 'smoke')\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT)
    with open(pipe) as reader:  # opens when the cell runs
        assert reader.read(4) == "here"
        parent.send_signal(signal.SIGKILL)
        parent.wait()
        assert reader.read() == ""  # ends when the kernel does
    assert list(Path(tmp_path / "cache").rglob("*.ipynb")) == []
