"""What every chapter uses: profiles, results, figures, verdicts."""

import html
import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from lib.exercises import correct, exercise, not_yet
from lib.page import figures
from lib.page.profile import pick_device, profile_name, settings
from lib.page.record import as_text, record


@pytest.mark.parametrize(("value", "text"), [
    (50257, "50,257"), (0.99653, "0.997"), (0.0, "0"), (3.14e-7, "3.1e-07"),
    (1_234_567.0, "1.2e+06"), (1234.56, "1,234.6"), (-0.25, "−0.25"), (True, "True"),
    (-0.0, "0"),
])
def test_numbers_print_the_way_the_book_prints_them(value, text):
    assert as_text(value) == text


@pytest.mark.parametrize("name", ["Loss", "2x", "a-b", ""])
def test_a_result_needs_a_name_that_prose_can_quote(name):
    with pytest.raises(ValueError, match="cannot be quoted"):
        record(name, 1)


def test_a_result_may_be_called_value_or_name(capsys):
    record(value=1, name="SmolLM2")
    assert "value = 1\\nname = SmolLM2" in capsys.readouterr().out


def test_a_result_without_its_value_is_refused():
    with pytest.raises(TypeError, match="1 arguments without a name; write record"):
        record("loss")


def test_a_way_to_print_needs_a_result():
    with pytest.raises(ValueError, match="a result cannot be called text"):
        record(text="SmolLM2")


def test_what_the_reader_gives_wins_over_the_profile():
    cfg = settings("smoke", smoke={"steps": 2, "d": 8},
                   book={"steps": 3, "d": 9},
                   gpu={"steps": 4, "d": 9},
                   given={"steps": 0, "d": None}, device="cpu")
    assert (cfg.steps, cfg.d, cfg.profile) == (0, 8, "smoke")


@pytest.mark.parametrize(
    ("known", "wrong", "right", "kind"),
    [(600, "many", 0.5, "a number"), ([4, 64], 7, (1, 2), "a list"),
     (True, 1, False, "True or False"), ("hard", [1], "soft", "text")],
)
def test_an_option_of_another_kind_is_refused_in_one_sentence(
    known, wrong, right, kind
):
    profiles = {name: {"x": known} for name in ("smoke", "book", "gpu")}
    cfg = settings("smoke", **profiles, given={"x": right}, device="cpu")
    assert cfg.x == right
    sentence = f"x is {kind} in the profiles (here {known!r}), and {wrong!r} is not"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        settings("smoke", **profiles, given={"x": wrong}, device="cpu")


def test_profiles_must_agree_on_their_options():
    with pytest.raises(ValueError, match="width"):
        settings("book", smoke={"width": 1}, book={}, gpu={})


def test_the_environment_sets_the_default_profile(monkeypatch):
    monkeypatch.setenv("BOOK_PROFILE", "smoke")
    assert profile_name() == "smoke" and profile_name("gpu") == "gpu"
    monkeypatch.setenv("BOOK_PROFILE", "quick")
    with pytest.raises(ValueError, match="'quick' is not known; use one of smoke"):
        profile_name()


@pytest.mark.parametrize("name", ["gpu0", "tpu"])
def test_an_unknown_device_is_named_with_the_known_ones(name):
    with pytest.raises(ValueError, match="use one of auto, cpu, cuda, mps"):
        pick_device(name)


def drawn():
    figures.use_style()
    figure, axes = plt.subplots()
    axes.plot([1, 2, 4])
    axes.set_xlabel("layer")
    return figure


@pytest.mark.slow
@pytest.mark.parametrize(
    "label", ["$$", "$5 and $6", r"$\frac$", r"\alpha", "a_b^c", "<b>&"])
def test_a_label_of_the_reader_stands_as_it_was_written_and_is_no_formula(label):
    figures.use_style()
    figure, axes = plt.subplots()
    axes.plot([0, 1], [1e-3, 10], label=label)
    axes.set(title=label, yscale="log", xticks=[0, 1], xticklabels=[label, "b"])
    axes.text(0, 1, label)
    axes.legend()
    svg = re.sub("<!--.*?-->", "", figures.to_svg(figure), flags=re.DOTALL)
    texts = [html.unescape(text) for text in re.findall("<text[^>]*>([^<]*)", svg)]
    assert texts.count(label) == 4
    assert not any("mathdefault" in text for text in texts)  # the powers of the scale


def test_a_figure_is_the_same_bytes_each_time_and_follows_the_page_colours():
    first, second = (figures.to_svg(drawn(), "a") for _ in range(2))
    plt.close("all")
    assert first == second
    assert "var(--c-attention, #2f55c6)" in first and "var(--ink" in first
    assert "<metadata" not in first and 'id="axes' not in first


def test_only_figures_are_shown():
    with pytest.raises(TypeError, match="dict came"):
        figures.show({})


def test_a_table_alternative_keeps_index_and_columns():
    frame = pd.DataFrame({"a": [0.12345]}, index=["고양이"])
    assert figures.table_payload(frame) == {
        "columns": ["", "a"], "rows": [["고양이", "0.123"]]}


@exercise
def check_double(answer):
    return correct() if answer(3) == 6 else not_yet("두 배가 아닙니다.", "Not twice.")


def unwritten(_):
    raise NotImplementedError


@pytest.mark.parametrize(
    "stub", [None, ..., unwritten, lambda x: None, lambda x: x / 0]
)
def test_a_check_turns_down_stubs_and_crashes_without_raising(stub):
    verdict = check_double(stub)
    assert not verdict and verdict.ko and verdict.en


@pytest.mark.parametrize("answer", [lambda x: 2 * x, lambda x: x + x])
def test_a_check_accepts_different_right_answers(answer):
    assert check_double(answer)
    assert "accepted" in check_double(answer)._repr_html_()
