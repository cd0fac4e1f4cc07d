"""Staging: one language a page, results in the prose, captions on the figures."""

import json

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from book.editions import fill, prose, stage_notebook
from book.outputs import (
    PLOTLY_MIME,
    RECORD_MIME,
    SVG_MIME,
    TABLE_MIME,
    WIDGET_MIME,
    WIDGET_STATE_MIME,
    BuildError,
    edition_html,
)

RECORDS = {"02": {"error": "1.2e-07"}, "09": {"loss": "1.91"}}
SVG = '<svg viewBox="0 0 1 1"><text>layer</text></svg>'


def shown(data):
    return new_output("display_data", data=data)


def markdown(source, *tags):
    return new_markdown_cell(source, metadata={"tags": list(tags)})


def chapter(*cells):
    """A chapter whose first picture has its caption in both languages."""
    return new_notebook(cells=[
        markdown("<!-- label: q -->\n# 제목", "lang-ko"),
        markdown("<!-- label: q -->\n# Title", "lang-en"),
        *cells,
    ])


def captions(ko="그림입니다. <!-- alt: 선 하나 -->",
             en="A figure. <!-- alt: A line -->"):
    return markdown(ko, "lang-ko", "caption"), markdown(en, "lang-en", "caption")


def staged(notebook, lang):
    return stage_notebook(notebook, lang, RECORDS, "02_x")


def html_of(notebook):
    return "".join(output.data.get("text/html", "") for cell in notebook.cells
                   for output in cell.get("outputs", []))


@pytest.mark.parametrize(("lang", "title", "other"), [
    ("ko", "제목", "Title"), ("en", "Title", "제목")])
def test_each_edition_holds_its_own_prose_only(lang, title, other):
    text = "\n".join(cell.source for cell in staged(chapter(), lang).cells)
    assert f"(q)=\n# 02 · {title}" in text
    assert other not in text


def test_a_workbench_has_no_chapter_number():
    records = RECORDS | {"90": RECORDS["02"]}
    page = stage_notebook(chapter(), "en", records, "90_x")
    assert "(q)=\n# Title" in "\n".join(cell.source for cell in page.cells)


def test_results_are_filled_from_this_and_from_other_chapters():
    text = fill("차이 ⟨error⟩, 손실 ⟨09.loss⟩", "ko", RECORDS, "02", "x")
    assert "1.2&nbsp;×&nbsp;10<sup>−7</sup>" in text and "1.91" in text


def test_a_result_in_maths_or_code_stays_plain():
    assert fill("$x = ⟨error⟩$", "en", RECORDS, "02", "x") == "$x = 1.2e-07$"


@pytest.mark.parametrize("text", ["⟨eror⟩", "⟨15.error⟩", "⟨09.error⟩"])
def test_a_result_that_no_run_recorded_ends_the_build(text):
    with pytest.raises(BuildError, match="is not recorded"):
        fill(text, "en", RECORDS, "02", "page")


def test_links_between_chapters_become_links_of_the_site():
    links = "[a](../notebooks/09_g.ipynb#mass) [b](../book/start.md)"
    text = prose(links, "en", {}, "", "x")
    assert text == "[a](#mass) [b](start.md)"


def test_a_figure_carries_caption_alt_text_and_table():
    table = {"columns": ["", "토큰 | token"], "rows": [["0", "a<b"]]}
    cell = new_code_cell("show()", outputs=[shown({SVG_MIME: SVG, TABLE_MIME: table})])
    html = html_of(staged(chapter(cell, *captions()), "en"))
    assert 'role="img" aria-label="A line"' in html
    assert "<figcaption><p>A figure.</p>" in html
    assert "<th>token</th>" in html and "a&lt;b" in html and "토큰" not in html


def test_a_figure_without_a_caption_ends_the_build():
    cell = new_code_cell("show()", outputs=[shown({SVG_MIME: SVG})])
    with pytest.raises(BuildError, match="no caption"):
        staged(chapter(cell), "ko")


def test_a_caption_without_alt_text_ends_the_build():
    cell = new_code_cell("show()", outputs=[shown({SVG_MIME: SVG})])
    with pytest.raises(BuildError, match="alt"):
        staged(chapter(cell, *captions(ko="그림입니다.")), "ko")


def test_a_caption_without_a_figure_ends_the_build():
    with pytest.raises(BuildError, match="shows no figure"):
        staged(chapter(new_code_cell("1"), *captions()), "ko")


def test_a_plotly_figure_becomes_data_that_cannot_end_its_own_script():
    figure = {"data": [{"type": "scatter3d", "text": ["</script>"]}], "layout": {}}
    cell = new_code_cell("show()", outputs=[shown({PLOTLY_MIME: figure})])
    html = html_of(staged(chapter(cell, *captions()), "ko"))
    assert 'data-plotly="gl3d"' in html
    assert html.count("</script>") == 1
    script = html.split('"application/json">')[1].split("</script>")[0]
    assert json.loads(script)["data"][0]["text"] == ["</script>"]


def test_what_hovering_over_a_figure_shows_is_in_the_language_of_the_edition():
    hover = "%{text} · layer %{customdata[0]}<extra></extra>"
    figure = {"data": [{"type": "scatter", "hovertemplate": hover}], "layout": {}}
    cell = new_code_cell("show()", outputs=[shown({PLOTLY_MIME: figure})])
    pages = {lang: html_of(staged(chapter(cell, *captions()), lang))
             for lang in ("ko", "en")}
    assert "%{text} · 층 %{customdata[0]}<extra>" in pages["ko"]
    assert "%{text} · layer %{customdata[0]}<extra>" in pages["en"]


def test_records_and_progress_bars_leave_no_trace():
    bar = {WIDGET_MIME: {"model_id": "m"}, "text/plain": "train:  12%|#  | 3/25"}
    cell = new_code_cell("train()", outputs=[
        shown(bar), shown({RECORD_MIME: {"a": {"value": 1, "text": "1"}}}),
        new_output("stream", name="stderr", text="100%|##| 25/25")])
    code = [c for c in staged(chapter(cell), "ko").cells if c.cell_type == "code"]
    assert code[0].outputs == []


def test_only_widgets_on_the_page_and_their_links_keep_their_state():
    def model(name, **state):
        return {"model_name": name, "model_module": "m", "model_module_version": "1",
                "state": state}

    state = {
        "version_major": 2, "version_minor": 0, "state": {
            "box": model("VBoxModel", children=["IPY_MODEL_menu", "IPY_MODEL_text"]),
            "menu": model("DropdownModel", _options_labels=["산문 | prose"]),
            "text": model("HTMLModel", value='<b data-lang="ko">가</b>'
                                             '<b data-lang="en">a</b>'),
            "link": model("LinkModel", source=["IPY_MODEL_menu", "index"]),
            "bar": model("FloatProgressModel", value=3),
        }}
    cell = new_code_cell("box", outputs=[shown({WIDGET_MIME: {"model_id": "box"}})])
    notebook = chapter(cell, *captions())
    notebook.metadata["widgets"] = {WIDGET_STATE_MIME: state}
    html = html_of(staged(notebook, "en"))
    kept = json.loads(html.split(f'<script type="{WIDGET_STATE_MIME}">')[1]
                      .split("</script>")[0].replace(r"<\/", "</"))["state"]
    assert set(kept) == {"box", "menu", "text", "link"}
    assert kept["menu"]["state"]["_options_labels"] == ["prose"]
    assert kept["text"]["state"]["value"] == '<b data-lang="en">a</b>'


def test_html_outputs_keep_one_language_and_scroll_when_wide():
    html = edition_html(
        '<p><i data-lang="ko">값</i><i data-lang="en">value</i></p>'
        "<table><tr><th>종류 | kind</th><td>P(a | b)</td></tr></table>", "ko")
    assert "value" not in html and "<th>종류</th>" in html
    assert "P(a | b)" in html and 'class="table-wrap"' in html


def test_a_cell_that_failed_ends_the_build():
    error = new_output("error", ename="ValueError", evalue="", traceback=[])
    with pytest.raises(BuildError, match="ValueError"):
        staged(chapter(new_code_cell("x", outputs=[error])), "ko")


def test_columns_of_words_are_told_from_columns_of_numbers():
    html = edition_html(
        "<table><thead><tr><td></td><th>모델 | model</th><th>n</th></tr></thead><tbody>"
        "<tr><th>0</th><td>dot</td><td>1,234.5</td></tr>"
        "<tr><th>1</th><td>newton</td><td>−2.0e-05</td></tr></tbody></table>", "en")
    words = BeautifulSoup(html, "html.parser").select(".words")
    assert [cell.get_text() for cell in words] == ["model", "dot", "newton"]


def test_the_name_of_an_index_stands_in_the_row_of_the_columns():
    frame = pd.DataFrame({"값 | value": [1]}, index=pd.Index(["a"], name="종류 | kind"))
    rows = BeautifulSoup(edition_html(frame.to_html(), "en"), "html.parser")
    assert [[cell.get_text() for cell in row.select("th")]
            for row in rows.select("thead tr")] == [["kind", "value"]]
