"""The last step: maths, tables, and a site that is whole or not there."""

import pytest

from book import assemble as assembling
from book.assemble import assemble, install_modules, set_maths, wrap_tables
from book.build import check_out
from book.outputs import BuildError

PAGE = ("<html><body><article><section id='a'><h1>T</h1><p>{}</p></section></article>"
        "</body></html>")


@pytest.fixture(scope="module", autouse=True)
def modules():
    install_modules()


def page(folder, name, text):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(PAGE.format(text), encoding="utf-8")
    return folder / name


def test_formulas_are_set_with_mathml_for_screen_readers(tmp_path):
    file = page(tmp_path, "x.html", r'<span class="math notranslate nohighlight">\('
                r"a &lt; \sqrt{d_k}\)</span>")
    assert set_maths([file]) == 1
    text = file.read_text(encoding="utf-8")
    assert "<math" in text and "katex" in text and r"\(" not in text


def test_a_formula_that_does_not_parse_is_named(tmp_path):
    file = page(tmp_path, "x.html", r'<span class="math">\(\frac{1}\)</span>')
    with pytest.raises(BuildError, match=r"frac\{1\}"):
        set_maths([file])


def test_tables_of_the_prose_scroll_in_a_named_region():
    table = '<table class="docutils align-default"><tr><td>1</td></tr></table>'
    html = wrap_tables(f"<p>{table}</p>", "en")
    assert html.count('class="table-wrap" role="region" tabindex="0"') == 1
    assert "</table></div>" in html


def test_editions_with_different_pages_leave_the_last_good_site(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("old")
    builds = {lang: tmp_path / lang for lang in ("ko", "en")}
    page(builds["ko"], "a.html", "")
    page(builds["en"], "b.html", "")
    with pytest.raises(BuildError, match=r"a\.html, b\.html"):
        assemble(builds, site, [], "new")
    assert (site / "index.html").read_text() == "old"


def test_a_good_build_replaces_the_old_site_whole(tmp_path):
    site = tmp_path / "site"
    site.mkdir()
    (site / "left-over.html").write_text("old")
    builds = {lang: tmp_path / lang for lang in ("ko", "en")}
    for folder in builds.values():
        page(folder, "a.html", "x")
    assemble(builds, site, [], "landing")
    assert not (site / "left-over.html").exists()
    assert (site / "index.html").read_text() == "landing"
    assert (site / "ko" / "a.html").is_file() and (site / "en" / "a.html").is_file()
    assert list((site / "assets" / "fonts").glob("**/*.woff2"))
    assert "http" not in (site / "assets" / "katex" / "katex.min.css").read_text()
    assert [entry.name for entry in tmp_path.glob("site*")] == ["site"]


def test_a_folder_that_is_not_ours_is_never_replaced(tmp_path):
    mine = tmp_path / "thesis"
    mine.mkdir()
    assert check_out(mine) is None and check_out(tmp_path / "new") is None
    (mine / "index.html").write_text("years of work")
    for out in (mine, mine / "index.html", tmp_path):
        with pytest.raises(BuildError, match="holds something that is no site"):
            check_out(out)
    for name in ("assets", "ko", "en"):
        (mine / name).mkdir()
    assert check_out(mine) is None  # an older site of ours
    with pytest.raises(BuildError, match="cannot be written to /dev/null/x"):
        check_out(assembling.Path("/dev/null/x"))
