"""The search: what is read from a page, and what the page's own script finds in it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from book.search import build_index

HERE = Path(__file__).parent
SCRIPT = HERE.parents[1] / "book" / "static" / "search.js"
PAGE = """<html><body><article class="page"><section id="top"><h1>중력 좌표</h1>
<p>입자마다 <b>질량</b>이 있습니다.</p><p>끝.</p><section id="mass">
<h2>질량<a class="headerlink">#</a></h2>
<p>질량을 잽니다. 여러 번 나눕니다. <code>d_model</code></p>
<div class="cell"><pre>d_model = secrets(rows)</pre></div>
<script>hidden()</script></section>
<section id="rope"><h2>돌리기</h2>
<p>회전 위치 임베딩입니다. Masks hide it by <span class="math"><span class="katex">
<annotation>\\sqrt d</annotation><b>d</b></span></span>.</p></section>
</section></article></body></html>"""
ENDINGS = """은 이 을 의 에 도 만 으로 에서 에서의 에서는 까지 부터 보다 처럼
이라는 이란 이었습니다 입니다 인지 이면 들을 이나"""
MASS, ROPE = "gravity.html#mass", "gravity.html#rope"


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "ko"
    folder.mkdir()
    (folder / "gravity.html").write_text(PAGE, encoding="utf-8")
    out = folder.parent / "search-ko.js"
    assert build_index(folder, out) == 3
    return out


def search(index, *queries):
    """Let the page's own script search, under Node."""
    node = shutil.which("node")
    assert node, "the build needs Node as well"
    done = subprocess.run(
        [node, str(HERE / "search.mjs"), str(SCRIPT), str(index)], check=True,
        input=json.dumps(queries), capture_output=True, text=True, encoding="utf-8")
    return json.loads(done.stdout)


def test_code_is_kept_apart_and_scripts_are_left_out(index):
    text = index.read_text("utf-8").removeprefix("window.bookSearchIndex=")
    read = json.loads(text.rstrip(";\n"))
    assert "hidden" not in json.dumps(read["sections"])
    _, anchor, heading, prose, code = read["sections"][1]
    assert (anchor, heading) == ("mass", "질량")
    assert prose == "질량을 잽니다. 여러 번 나눕니다. d_model"
    assert code == "secrets rows"
    assert read["sections"][0][1:4] == [
        "", "중력 좌표", "입자마다 질량이 있습니다. 끝."]


def test_a_short_formula_is_quoted(index):
    [hits] = search(index, "hide")
    assert "by √d" in "".join(piece for piece, _ in hits[0]["pieces"])


def test_code_is_found_and_never_quoted(index):
    [hits] = search(index, "secrets")
    assert [hit["address"] for hit in hits] == [MASS]
    assert "secrets" not in "".join(piece for piece, _ in hits[0]["pieces"])


def test_a_heading_counts_more_than_text_and_the_words_are_marked(index):
    [hits] = search(index, "질량")
    assert [hit["address"] for hit in hits[:2]] == [MASS, "gravity.html"]
    assert [piece for piece, marked in hits[0]["pieces"] if marked] == ["질량을"]


def test_words_meet_whatever_they_end_in(index):
    queries = ["질량" + ending for ending in ENDINGS.split()]
    queries += ["나누는", "나누었습니다", "나눠", "나누는지", "나누면"]
    queries += ["재는", "재었습니다"]
    for query, hits in zip(queries, search(index, *queries), strict=True):
        assert hits and hits[0]["address"] == MASS, query
    for query, hits in zip(["mask", "masking", "masked"],
                           search(index, "mask", "masking", "masked"), strict=True):
        assert hits and hits[0]["address"] == ROPE, query


def test_a_term_is_found_by_any_spelling_in_either_language(index):
    queries = ["RoPE", "로터리 임베딩", "로터리임베딩에서는", "회전위치임베딩",
               "rotary embeddings", "Rotary-Position Embedding", "로프(RoPE)가"]
    for query, hits in zip(queries, search(index, *queries), strict=True):
        assert hits and hits[0]["address"] == ROPE, query


def test_nothing_is_found_where_nothing_is(index):
    assert search(index, "xyzzy", "뷁뷁", "", "?!") == [[], [], [], []]
