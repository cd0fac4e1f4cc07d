"""`run`: a group of notebooks, a report, and what is missing the next time."""

import json
import os
import re
import signal
import subprocess
import sys
from types import SimpleNamespace

import nbformat
import pytest

from book import batch
from book import execute as executing
from book.alone import alone
from book.batch import assign, place
from book.command import parse
from book.files import ROOT
from book.jobs import book_jobs, catalogue
from book.parameters import parameters_of
from book.report import as_markdown, key_results, table
from book.sync import sync_one
from lib.commands import module_command
from lib.page.profile import PROFILES

TOML = """\
profiles = ["smoke", "book", "gpu"]
[groups]
book = ["first", "02"]
first = ["01"]
gone = ["77"]
[needs]
"02" = ["01"]
[key_results]
"01" = ["total", "gone"]
"""
FIRST = """\
# %% tags=["parameters"]
sentence = "개가 달렸다."  # what to trace
steps = 3  # how many
rate = 1e-3  # how fast
wide = False  # all layers
layers = [0, 1]
limit: float = None  # the profile decides

# %%
from lib.page.record import record
record(tokens=len(sentence), total=steps * 2)
print(sentence, steps, rate, wide, layers, limit)
"""
SECOND = """\
# %% tags=["parameters"]
steps = 1

# %%
raise ValueError("no such layer: 99")
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book of two notebooks, the second failing, run as a group once."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "batch.toml").write_text(TOML)
    (folder / "01_first.py").write_text(FIRST, encoding="utf-8")
    (folder / "02_second.py").write_text(SECOND, encoding="utf-8")
    out = folder / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(executing, "EXECUTED", folder / "cache")
        patch.setattr(batch, "RUNS", folder / "runs")
        patch.delenv("BOOK_PROFILE", raising=False)

        def run(*words):
            return batch.main([str(word) for word in words], folder)

        code = run("book", "--profile", "smoke", "--jobs", 2, "--out", out)
        report = json.loads((out / "report.json").read_text(encoding="utf-8"))
        yield SimpleNamespace(
            folder=folder, out=out, run=run, code=code, report=report,
            known=catalogue(folder),
        )


def statuses(out):
    report = json.loads((out / "report.json").read_text(encoding="utf-8"))
    return {r["name"]: (r["status"], r["kept"]) for r in report["notebooks"]}


@pytest.mark.slow
def test_one_failing_notebook_leaves_the_results_of_the_other(book):
    assert book.code == 1
    first, second = book.report["notebooks"]
    assert (first["status"], second["status"]) == ("ok", "failed")
    assert second["error"] == "cell top-code-2: ValueError: no such layer: 99"
    assert first["results"]["total"] == {"value": 6, "text": "6"}
    assert first["device"] == "cpu"
    done = nbformat.read(book.out / "01_first.ipynb", as_version=4)
    assert done.cells[1].outputs[-1].text.startswith("개가 달렸다. 3 0.001 False")
    assert not (book.out / "02_second.ipynb").exists()
    text = (book.out / "report.md").read_text(encoding="utf-8")
    assert "| 02_second | failed |" in text
    assert text.count("total = 6 |") == 1
    assert "tokens" not in text


@pytest.mark.slow
def test_a_second_call_runs_only_what_is_missing(book, capsys):
    (book.folder / "02_second.py").write_text(
        SECOND.replace('raise ValueError("no such layer: 99")', "print(steps)")
    )
    assert book.run("book", "--profile", "smoke", "--out", book.out) == 0
    assert statuses(book.out) == {
        "01_first": ("ok", True), "02_second": ("ok", False)
    }
    assert not (book.out / "02_second.failed.ipynb").exists()
    assert book.run("book", "--profile", "smoke", "--out", book.out) == 0
    assert statuses(book.out) == {"01_first": ("ok", True), "02_second": ("ok", True)}
    assert "ok, kept" in capsys.readouterr().out


@pytest.mark.slow
def test_force_and_parameters_run_again_with_the_values_given(book):
    words = ("1", "--profile", "smoke", "-p", "sentence", "42", "-p", "steps", "5",
             "-p", "layers", "[2, 3]", "-p", "limit", "1e2")
    assert book.run(*words) == 0
    (out,) = (book.folder / "runs").iterdir()
    assert out.name.startswith("1-smoke-sentence=42-steps=5-layers=_2_3_-limit=1e2-")
    done = nbformat.read(out / "01_first.ipynb", as_version=4)
    said = "42 5 0.001 False [2, 3] 100.0\n"
    assert done.cells[-1].outputs[-1].text == said
    assert statuses(out) == {"01_first": ("ok", False)}
    assert book.run(*words) == 0
    assert statuses(out) == {"01_first": ("ok", True)}
    assert book.run(*words, "--force") == 0
    assert statuses(out) == {"01_first": ("ok", False)}


NOTHING_SUCH = (
    "'nope' is no group, notebook or file; groups: book, first, gone; "
    "notebooks: 01_first, 02_second"
)
MISTYPED = (
    "unknown parameter 'sentense' (did you mean 'sentence'?); this notebook "
    "(01_first) has: layers, limit, rate, sentence, steps, wide"
)


@pytest.mark.parametrize(("words", "said"), [
    (["nope"], NOTHING_SUCH),
    (["03"], "'03' is no group, notebook or file"),
    (["99_x.ipynb"], "'99_x.ipynb' is no group, notebook or file"),
    ([], "name a group (book, first, gone) or a notebook"),
    (["gone"], "group 'gone' in batch.toml names notebook 77, which is not in"),
    (["book", "--profile", "tiny"],
     "profile 'tiny' is not known; use one of smoke, book, gpu"),
    (["01", "-p", "sentense", "x"],
     MISTYPED),
    (["book", "-p", "zzz", "1"], "unknown parameter 'zzz'; these notebooks have: "),
    (["01", "-p", "steps", "abc"],
     "parameter steps of 01_first is a whole number (default 3), and 'abc' is not"),
    (["01", "-p", "steps", "2.5"], "is a whole number (default 3), and '2.5' is not"),
    (["01", "-p", "limit", "no"], "is a number or None (default None), and 'no' is"),
    (["01", "-p", "wide", "yes"], "is True or False (default False), and 'yes' is not"),
    (["01", "-p", "rate", "fast"], "is a number (default 0.001), and 'fast' is not"),
    (["01", "-p", "layers", "7"], "is a list such as [1, 2] (default [0, 1])"),
    (["01", "-p", "steps"], "expected 2 arguments"),
    (["book", "--jobs", "two"], "--jobs is 'two'; give a whole number from 1 on"),
    (["book", "--jobs", "0"], "--jobs is '0'; give a whole number from 1 on"),
    (["book", "--jobs", "²"], "--jobs is '²'; give a whole number from 1 on"),
    (["book", "--frob"], "unrecognized arguments: --frob"),
    (["book", "--out", "/dev/null/x"],
     "the output folder /dev/null/x cannot be written"),
])
def test_a_command_that_cannot_be_meant_is_one_sentence_and_runs_nothing(
    book, capsys, monkeypatch, words, said
):
    monkeypatch.setattr(executing, "execute_many", None)  # to run anything would fail
    assert book.run(*words) == 2
    heard = capsys.readouterr()
    assert said in heard.err
    assert heard.err.count("\n") == 1
    assert heard.out == ""


@pytest.mark.parametrize(("name", "content", "said"), [
    ("03_cut.ipynb", '{"cells": [', "03_cut.ipynb is no notebook that can be read"),
    ("03_odd.ipynb", "[1]", "03_odd.ipynb is no notebook that can be read"),
    ("03_odd.ipynb", '{"cells": 3, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
     "03_odd.ipynb is no notebook that can be read"),
    ("03_half.py", '# %% tags=["parameters"]\nx = (\n',
     "the parameter cell of"),
    ("03_bytes.py", b"\xff\xfe", "cannot be read as py:percent"),
])
def test_a_notebook_that_cannot_be_read_is_one_sentence(
    book, tmp_path, capsys, name, content, said
):
    content = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(content)
    assert book.run(tmp_path / name, "--profile", "smoke") == 2
    heard = capsys.readouterr()
    assert said in heard.err and heard.err.count("\n") == 1


def test_a_broken_half_of_a_pair_names_the_way_to_write_it_anew(book, tmp_path, capsys):
    (tmp_path / "03_x.py").write_text("# %%\n1\n")
    (tmp_path / "03_x.ipynb").write_text("{")
    assert book.run(tmp_path / "03_x.py") == 2
    remedy = module_command("book.sync")
    assert f"write it anew with `{remedy} " in capsys.readouterr().err


def test_data_that_cannot_be_had_ends_the_run_before_any_notebook(
    book, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(executing, "execute_many", None)  # to run anything would fail
    monkeypatch.setenv("BOOK_DATA_CACHE", "/dev/null/cache")
    reads = tmp_path / "03_reads.py"
    reads.write_text('# %% tags=["parameters"]\nn = 1\n\n# %%\nfrom lib import data\n')
    assert book.run(reads, "--out", tmp_path / "out", "-p", "m", "2") == 2
    assert "BOOK_DATA_CACHE" not in capfd.readouterr().err  # the words come first
    assert book.run(reads, "--out", tmp_path / "out") == 1
    assert "cannot be written to /dev/null/cache" in capfd.readouterr().err


def test_an_unknown_profile_in_the_environment_is_named(book, capsys, monkeypatch):
    monkeypatch.setenv("BOOK_PROFILE", "tiny")
    assert book.run("book") == 2
    assert "profile 'tiny' is not known" in capsys.readouterr().err


def test_a_parameter_of_a_group_goes_to_the_notebooks_that_have_it(book):
    paths = book.known.find("book")
    assert [p.name for p in paths] == ["01_first.py", "02_second.py"]
    both = assign(paths, [("steps", "4"), ("sentence", "x")], book.known)
    assert list(both.values()) == [{"steps": 4, "sentence": "x"}, {"steps": 4}]


def test_a_notebook_is_found_by_number_name_and_path(book):
    first = book.folder / "01_first.py"
    for what in ("01", "1", "01_first", str(first)):
        assert book.known.find(what) == [first]
    assert book.known.needed(book.folder / "02_second.py") == ("01_first",)


def test_runs_with_other_parameters_have_other_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(batch, "RUNS", tmp_path)
    long = [("sentence", "가나다 " * 60)]
    folders = {
        place("02", "book", [], None), place("02", "smoke", [], None),
        place("02", "book", [("steps", "1")], None), place("02", "book", long, None),
        place("02", "book", [("sentence", "가나다 " * 61)], None),
        *(place("02", "book", [("sentence", text)], None)
          for text in ("좋아?", "좋아!", "a b", "a_b")),
    }
    assert len(folders) == 9
    assert all(f.is_dir() and f.parent == tmp_path for f in folders)


def test_a_tilde_is_the_home_of_the_reader_and_no_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))  # `--out=~/x` reaches us as it is
    assert place("02", "book", [], "~/results") == tmp_path / "results"


def test_a_result_with_a_bar_does_not_break_the_markdown_table():
    result = executing.Result("01_x", "book", "failed", error="a | b")
    rows = as_markdown(table([result]), "t").splitlines()
    assert rows[4] == "| 01_x | failed | 0.0 s | – | a \\| b |"


def test_list_explains_groups_notebooks_and_parameters(book, capsys):
    assert book.run("--list") == 0
    out = capsys.readouterr().out
    assert "first        01" in out
    assert "    steps = 3                     whole number: how many\n" in out
    assert "    limit = None                  number: the profile decides\n" in out
    assert book.run("01", "--list") == 0
    assert "02_second" not in capsys.readouterr().out


@pytest.mark.slow
def test_plain_papermill_runs_a_pair_with_a_parameter(book, tmp_path):
    sync_one(book.folder / "01_first.py")
    out = tmp_path / "out.ipynb"
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "--kernel", "python3",
         str(book.folder / "01_first.ipynb"), str(out), "-p", "sentence", "안녕"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    said = nbformat.read(out, as_version=4).cells[-1].outputs[-1].text
    assert said.startswith("안녕 3 0.001")
    (book.folder / "01_first.ipynb").unlink()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs named pipes and signals of POSIX; "
                    "run it on Linux or macOS")
def test_an_interrupted_run_lets_its_notebook_save_and_says_what_goes_on_from_there(
    book, tmp_path
):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    second = book.folder / "02_second.py"
    second.write_text(
        "# %%\nimport pathlib\nimport threading\n"
        f"pipe = open({str(pipe)!r}, 'w')\npipe.write('here')\npipe.flush()\n"
        "try:\n    threading.Event().wait()\nexcept KeyboardInterrupt:\n"
        f"    pathlib.Path({str(tmp_path / 'saved')!r}).touch()\n"
        "    raise KeyboardInterrupt('stopped at step 3 of 9') from None\n"
    )
    program = (
        "import sys\nfrom pathlib import Path\nfrom book import batch, execute\n"
        f"folder = Path({str(book.folder)!r})\n"
        "execute.EXECUTED = folder / 'cache'\n"
        "sys.exit(batch.main(['book', '--profile', 'smoke', '--out', "
        f"{str(tmp_path / 'out')!r}], folder))\n"
    )
    running = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )
    with open(pipe) as reader:  # opens when the second notebook runs
        assert reader.read(4) == "here"
        running.send_signal(signal.SIGINT)
        assert reader.read() == ""  # ends when its kernel does
    _, said = running.communicate()
    assert running.returncode == 130
    assert (tmp_path / "saved").exists()
    assert "KeyboardInterrupt: stopped at step 3 of 9\n" in said
    assert said.endswith(
        "interrupted; finished: 01_first; the same command goes on from there\n"
    )
    assert statuses(tmp_path / "out") == {
        "01_first": ("ok", True), "02_second": ("interrupted", False)
    }
    second.write_text("# %%\n1\n")
    assert book.run("book", "--profile", "smoke", "--out", tmp_path / "out") == 0
    assert statuses(tmp_path / "out") == {
        "01_first": ("ok", True), "02_second": ("ok", False)
    }


@pytest.fixture
def planner(tmp_path, monkeypatch):
    """From the text of a `batch.toml` to: which jobs does a command plan, and how?"""
    monkeypatch.setattr(batch, "RUNS", tmp_path / "runs")
    (tmp_path / "01_first.py").write_text(FIRST, encoding="utf-8")
    (tmp_path / "02_second.py").write_text(SECOND, encoding="utf-8")

    def make(toml, what):
        (tmp_path / "batch.toml").write_text(toml)
        known = catalogue(tmp_path)

        def planned(*words):
            jobs = batch.plan(parse([*words, "--profile", "smoke"]), known)[0]
            return {job.name: getattr(job, what) for job in jobs}

        return planned

    return make


def test_a_page_of_the_book_has_parameters_of_its_own(tmp_path, planner):
    planned = planner(TOML + '[pages]\n"01" = { steps = 9 }\n', "parameters")
    of_pages = {job.name: job.parameters for job in book_jobs("book", tmp_path)}
    assert of_pages == {"01_first": {"steps": 9}, "02_second": {}}
    assert planned("book") == of_pages  # so that a build finds what `run book` made
    assert planned("first") == planned("01") == {"01_first": {}}
    assert planned("book", "-p", "steps", "4")["01_first"] == {"steps": 4}


def test_a_notebook_that_knows_what_holds_is_executed_each_time_but_for_its_page(
    planner
):
    forced = planner('always = ["02"]\n' + TOML, "force")
    assert forced("02") == {"02_second": True}
    assert forced("first") == {"01_first": False}
    assert not any(forced("book").values()) and all(forced("book", "--force").values())


def test_a_group_brings_parameters_of_its_own_and_an_explicit_one_wins(
    tmp_path, planner, capsys
):
    planned = planner(
        TOML.replace("[needs]", 'wide = ["01"]\n[presets]\nwide = { wide = true, '
                                "steps = 7 }\n[needs]"), "parameters")
    assert planned("wide") == {"01_first": {"wide": True, "steps": 7}}
    assert planned("wide", "-p", "steps", "4")["01_first"] == {"wide": True, "steps": 4}
    assert planned("first") == planned("01") == {"01_first": {}}
    assert planned("book")["01_first"] == {}
    assert batch.main(["--list"], tmp_path) == 0
    assert "wide         01; wide True; steps 7\n" in capsys.readouterr().out


def test_the_presets_of_a_group_are_parameters_of_its_notebooks():
    known = catalogue()
    assert known.presets["vanilla"] == {"model": "vanilla"}
    for group, given in known.presets.items():
        for path in known.members(group):
            assert given.keys() <= parameters_of(path).keys(), group


def test_the_parameters_of_a_page_are_parameters_of_its_notebook():
    known = catalogue()
    for number, given in known.pages.items():
        assert given.keys() <= parameters_of(known.numbered(number)).keys(), number


def test_the_profiles_of_batch_are_those_of_the_library():
    assert catalogue().profiles == PROFILES


def test_the_group_book_is_all_chapters():
    known = catalogue()
    assert [p.stem for p in known.members("book")] == [
        p.stem for p in known.chapters()
    ]


def test_the_key_results_of_a_chapter_are_recorded_by_it():
    known = catalogue()
    for number, names in known.key_results.items():
        source = known.numbered(number).with_suffix(".py").read_text(encoding="utf-8")
        assert [n for n in names if not re.search(rf"\b{n}\b", source)] == [], number


def test_without_chosen_results_the_report_shows_the_last_ones():
    recorded = {f"r{n}": {"value": n, "text": str(n)} for n in range(6)}
    result = executing.Result("01_x", "book", "ok", records=recorded)
    assert key_results(result) == "r2 = 2; r3 = 3; r4 = 4; r5 = 5"
    assert key_results(result, ["r5", "none"]) == "r5 = 5"


@pytest.mark.slow
def test_a_second_run_into_the_same_folder_waits_for_the_first(tmp_path):
    (tmp_path / "01_x.py").write_text("# %%\n1\n")
    out = tmp_path / "out"
    out.mkdir()
    (out / ".lock").touch()
    program = (
        "import sys\nfrom pathlib import Path\nfrom book import batch, execute\n"
        f"execute.EXECUTED = Path({str(tmp_path / 'cache')!r})\n"
        f"code = batch.main([{str(tmp_path / '01_x.py')!r}, '--out', {str(out)!r}])\n"
        "sys.exit(code)\n"
    )
    with alone(out / ".lock", "run", note=out / ".running.json"):
        second = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        said = second.stdout.readline()
        assert not (out / "01_x.ipynb").exists()
    second.communicate()
    assert said == (f"Another run is at work in {out} (process {os.getpid()}, since "
                    f"{said.split('since ')[1][:8]}); waiting for it to end.\n")
    assert second.returncode == 0 and (out / "01_x.ipynb").exists()
