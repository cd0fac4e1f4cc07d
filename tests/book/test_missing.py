"""A chapter that fails costs itself, not the book."""

import os
import shutil

import pytest
from bs4 import BeautifulSoup
from small_book import Book

from book.alone import alone
from book.assemble import install_modules
from book.cli import SCRIPT
from book.editions import fill
from book.execute import DEAD, Result
from book.missing import again, cause_of, notice, summary
from book.outputs import BuildError

LANGS, PID = ("ko", "en"), os.getpid()
CHAPTERS = {
    "01_good": "from lib import data\ndata.text('laws')\nrecord(total=42)",
    "02_breaks": "if not open('fixed.txt', 'a+').tell():\n"
                 "    raise KeyError('no such <head>')",
    "03_dies": "import os, signal\nif not open('fixed.txt', 'a+').tell():\n"
               "    os.kill(os.getpid(), signal.SIGKILL)",
    "04_reads": "from lib import data\ndata.text('plays')",
    "05_needs": "pass",
    "06_garbled": "1 $ 2",
}
ROW = """\
[{name}]
title.ko = "글"
title.en = "a text"
licence = "CC0"
default = true
result = "{name}.txt"

[[{name}.from]]
origin = "mirror"
files = [{{ name = "{name}.txt", path = "{name}.txt" }}]

"""


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    """A book whose data was there once, and of which one row is gone since."""
    install_modules()
    book = Book(tmp_path_factory.mktemp("book") / "책 a", CHAPTERS,
                '[needs]\n"05" = ["02"]\n')
    mirror = book.folder / "mirror"
    mirror.mkdir()
    for name in ("plays", "laws"):
        (mirror / f"{name}.txt").write_text("a text\n")
    table = "".join(ROW.format(name=name) for name in ("plays", "laws"))
    (book.folder / "data" / "sources.toml").write_text(table, encoding="utf-8")
    book.fetch(BOOK_DATA_MIRROR=str(mirror))
    shutil.rmtree(book.folder / "data" / "cache" / "plays")
    book.mirror = mirror
    return book


@pytest.fixture(scope="module")
def gap(book):
    """The book as built while five of its six chapters cannot run."""
    done = book.build()
    pages = {(lang, name): book.page(lang, name) for lang in LANGS for name in CHAPTERS}
    pages |= {(lang, "index"): book.page(lang, "index") for lang in LANGS}
    return done, book.ran(), pages


def article(text):
    return BeautifulSoup(text, "html.parser").select_one("article")


@pytest.mark.slow
def test_the_site_is_built_and_the_last_line_names_what_is_missing(gap):
    done, _, _ = gap
    assert done.returncode == 1
    assert "The site is in _build/site" in done.stdout
    assert "Executed 1 of 6 notebooks" in done.stdout
    assert done.stderr.splitlines()[-1] == (
        "Missing in the site: 02_breaks, 03_dies, 04_reads, 05_needs, 06_garbled did "
        "not run and their pages say why; once that is mended, "
        f"{SCRIPT} build --profile smoke runs them and nothing else.")
    assert "02_breaks did not run: cell c02-code-2: KeyError: 'no such <head>'" in (
        done.stderr)


@pytest.mark.parametrize("lang", LANGS)
@pytest.mark.parametrize(("name", "why", "jobs"), [
    ("02_breaks", "KeyError: 'no such <head>'", ""),
    ("03_dies", "c03-code-2", " --jobs 1"),
    ("04_reads", "plays", ""),
    ("05_needs", "02", ""),
    ("06_garbled", "SyntaxError: invalid syntax", ""),
])
def test_the_page_shows_prose_and_code_and_one_notice(gap, lang, name, why, jobs):
    page = article(gap[2][lang, name])
    (note,) = page.select(".notice")
    assert note.find_previous("h1") and not note.find_previous("h2")
    assert why in note.select_one("p").get_text()
    assert ("실행" in note.get_text()) == (lang == "ko")
    assert note.select_one("pre").get_text() == f"{SCRIPT} build --profile smoke{jobs}"
    assert "record(answer=1)" in page.get_text().replace("\xa0", " ")
    assert page.select(".cell_output, .book-figure") == []


def test_results_of_a_chapter_that_did_not_run_are_dashes_that_say_so(gap):
    for lang, word in (("ko", "실행되지 않음"), ("en", "not run")):
        home = article(gap[2][lang, "index"])
        assert home.select_one(".live").get_text() == "42"
        for page in (home, article(gap[2][lang, "02_breaks"])):
            mark = page.select_one(".not-run")
            assert (mark.get_text(), mark["aria-label"], mark["title"]) == (
                "–", word, word)
    assert "v = –" in gap[2]["en", "02_breaks"]  # of the formula


@pytest.mark.slow
def test_the_next_build_runs_what_is_mended_and_nothing_else(book, gap):
    assert gap[1] == ["01", "02", "03", "04"]
    (book.folder / "fixed.txt").write_text("yes")
    book.write("06_garbled", "pass")
    done = book.build(BOOK_DATA_MIRROR=str(book.mirror))
    assert done.returncode == 0, done.stderr
    assert book.ran() == ["02", "03", "04", "05", "06"]
    assert "Missing" not in done.stderr + done.stdout
    for lang in LANGS:
        for name in CHAPTERS:
            page = article(book.page(lang, name))
            assert page.select(".notice, .not-run") == []
            assert len(page.select(".book-figure")) == 1


@pytest.mark.slow
def test_a_second_build_says_who_is_at_work_and_waits(book, gap):
    building = book.folder / "book" / "build.py"
    note = book.folder / "_build" / "building.json"
    with alone(building, "build", note=note):
        second = book.start("--out", "notebooks")  # refused, once it has its turn
        said = second.stdout.readline()
        assert second.poll() is None
    assert said.startswith(f"Another build is at work in this folder (process {PID}, ")
    assert said.endswith("; waiting for it to end.\n")
    _, error = second.communicate()
    assert (second.returncode, "holds something that is no site" in error) == (1, True)


@pytest.mark.slow
def test_where_no_chapter_runs_the_last_good_site_stays(book, gap):
    before = book.page("en", "01_good")
    book.write("02_breaks", "raise KeyError(1)")
    book.chapters("02_breaks")
    done = book.build()
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "build: no chapter ran (see above), so no site was made.")
    assert book.page("en", "01_good") == before


@pytest.mark.parametrize(("result", "cause"), [
    (Result("02_x", "book", "skipped", needs=("01_y",)), "needs"),
    (Result("02_x", "book", "failed", kind=DEAD), "kernel"),
    (Result("02_x", "book", "failed", kind="ValueError", error="korean"), "error"),
    (Result("02_x", "book", "failed", kind="Unreachable",
            error="cell a: Unreachable: korean could not be fetched"), "data"),
    (Result("02_x", "book", "failed", kind="DiskFull",
            error="cell a: DiskFull: the disk is full"), "error"),
])
@pytest.mark.parametrize("lang", LANGS)
def test_the_notice_says_the_cause_in_its_language(lang, result, cause):
    assert cause_of(result) == cause
    text = notice(result, lang)
    assert "{" not in text
    assert any("가" <= sign <= "힣" for sign in text) == (lang == "ko")


def test_the_command_names_a_profile_only_where_it_is_not_the_default():
    assert again("book") == f"{SCRIPT} build"
    assert again("gpu") == f"{SCRIPT} build --profile gpu"
    (one,) = [Result("02_x", "book", "failed")]
    assert "02_x did not run and its page says why" in summary([one], "book")


def test_a_name_that_a_chapter_that_ran_did_not_record_still_ends_the_build():
    records = {"01": {"sum": "3"}, "02": None}
    assert fill("$⟨02.anything⟩$ ⟨sum⟩", "en", records, "01", "x").startswith("$–$")
    with pytest.raises(BuildError, match="is not recorded"):
        fill("⟨01.anything⟩", "en", records, "02", "x")
