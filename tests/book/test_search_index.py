"""The search index: words, particles, and which section a word is found in."""

import json

from hypothesis import given
from hypothesis import strategies as st

from book.search import PARTICLES, build_index, forms, words

PAGE = """<html><body><article class="page"><section id="top"><h1>중력 좌표</h1>
<p>입자마다 <b>질량</b>이 있습니다.</p><p>끝.</p><section id="mass">
<h2>질량<a class="headerlink">#</a></h2>
<p>질량을 잽니다. <code>d_model</code></p>
<script>secret()</script></section>
</section></article></body></html>"""


def index_of(tmp_path):
    folder = tmp_path / "ko"
    folder.mkdir()
    (folder / "gravity.html").write_text(PAGE, encoding="utf-8")
    assert build_index(folder, tmp_path / "search-ko.js") == 2
    text = (tmp_path / "search-ko.js").read_text(encoding="utf-8")
    return json.loads(text.removeprefix("window.bookSearchIndex=").rstrip(";\n"))


def test_particles_are_taken_off_longest_first():
    assert forms("토크나이저에서는")[1] == "토크나이저"
    assert "어텐션" in forms("어텐션은") and forms("softmax") == ["softmax"]


@given(st.text("가나다라마바사", min_size=2, max_size=6), st.sampled_from(PARTICLES))
def test_every_word_is_found_with_any_particle(stem, particle):
    assert stem in forms(stem + particle)


def test_words_are_lower_case_and_split_at_underscores():
    assert words("Softmax d_model") == ["softmax", "d_model", "d", "model"]


def test_a_heading_weighs_more_than_text_and_scripts_are_left_out(tmp_path):
    index = index_of(tmp_path)
    hits = dict(zip(*[iter(index["postings"][index["terms"].index("질량")])] * 2,
                    strict=True))
    assert hits[1] > hits[0] > 0
    assert "secret" not in index["terms"]
    assert [entry[1] for entry in index["entries"]] == ["", "mass"]
    assert "#" not in index["entries"][1][2]
    assert index["entries"][0][3] == "입자마다 질량이 있습니다. 끝."


def test_terms_stand_in_the_order_in_which_the_browser_compares(tmp_path):
    terms = index_of(tmp_path)["terms"]
    assert terms == sorted(terms, key=lambda term: term.encode("utf-16-be"))
