"""What the book says of gravity follows from the rows, and from nothing else."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pytest

from benchmarks.quality import ARMS, model_of
from lib.gravity.model import LMConfig, matched_width
from lib.gravity.verdict import (
    AIM,
    GROUPED,
    LANGUAGES,
    PLACES,
    QUESTIONS,
    VERDICT,
    aim,
    answer,
    asked,
    difference,
    sentence,
    sentences,
    strongest,
    verdict,
)
from lib.training.comparison import read_rows

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = ROOT / "notebooks" / "10_training_ngt.py"
ANSWERS = {"lower": -0.05, "higher": 0.05, "chance": 0.0}
ASKED = [name for name, question in QUESTIONS.items()
         if "arm" in question and name not in GROUPED]
#: How far losses lie apart from seed to seed, and how a difference sways.
SEEDS, SWAY = (0.0, -0.01, -0.02), (0.001, -0.002, 0.001)


def row(name, seed, loss, rate=2e-3, **more):
    return {"name": name, "seed": seed, "valid": loss, "learning_rate": rate,
            "size": "small", "parameters": 1,
            "attention": ARMS.get(name, {"attention": name})["attention"], **more}


def rows_of(arm, base, apart, seeds=3, **more):
    """Runs of two arms whose losses lie `apart`, give or take a little."""
    return [row(name, seed, 1.7 + SEEDS[seed] + (name == arm) * (apart + SWAY[seed]),
                **more)
            for name in (arm, base) for seed in range(seeds)]


def arms_of(name):
    question = QUESTIONS[name]
    return (("gaussian", "dot") if question["arm"] == "strongest"
            else (question["arm"], question["base"]))


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", ASKED)
def test_another_row_is_another_sentence(name, language):
    arm, base = arms_of(name)
    said = {key: sentence(name, rows_of(arm, base, apart), language)
            for key, apart in ANSWERS.items()}
    said["unknown"] = sentence(name, rows_of(arm, base, -0.05, seeds=1), language)
    assert len(set(said.values())) == 4
    for key, words in said.items():
        assert words.startswith(QUESTIONS[name][key][language].split("(")[0])


@pytest.mark.parametrize("name", ASKED)
def test_the_rows_of_the_book_decide_its_sentences(name):
    rows = read_rows(ROOT / "benchmarks" / "results" / "quality.jsonl")
    arm, base, found = asked(name, rows)
    if found.n < 2:
        assert answer(found) == "unknown"
        return
    for moved in (-0.5, 0.5):
        other = [dict(one, valid=one["valid"] + moved * (one["name"] == arm))
                 for one in rows]
        shifted = difference(other, arm, base)
        assert answer(shifted) == ("lower" if moved < 0 else "higher")
        if answer(found) != answer(shifted) and QUESTIONS[name]["arm"] == arm:
            assert sentence(name, other, "en") != sentence(name, rows, "en")


@pytest.mark.parametrize("name", ASKED)
@pytest.mark.parametrize("key", [*ANSWERS, "unknown"])
def test_every_answer_has_a_sentence_in_both_languages_with_room_for_numbers(name, key):
    for language in LANGUAGES:
        words = QUESTIONS[name][key][language]
        assert words.count("({evidence})") == 1
        assert bool(re.search("[가-힣]", words)) == (language == "ko")


def test_a_sentence_says_on_how_many_of_the_wanted_seeds_it_rests():
    rows = rows_of(*arms_of("kernel"), -0.05)
    assert "3 of the 5 seeds wanted" in sentence("kernel", rows, "en")
    assert "정한 시드 5개 가운데 3개" in sentence("kernel", rows, "ko")
    medium = rows_of(*arms_of("kernel"), -0.05, size="medium")
    assert "3 seeds)" in sentence("kernel", medium, "en", size="medium")


def test_pairs_are_seeds_and_each_arm_stands_at_its_own_best_rate():
    rows = (rows_of("stream dot", "dot", -0.05, rate=1e-3)
            + rows_of("stream dot", "dot", 0.5, rate=2e-3)
            + [row("dot", seed, 1.5, rate=2e-3) for seed in range(3)])
    found = difference(rows, "stream dot", "dot")
    assert found.n == 3  # dot at 2e-3, the stream at 1e-3
    assert found.mean == pytest.approx(1.65 - 1.5 - 0.01, abs=1e-3)


def test_another_text_does_not_speak_for_this_one():
    rows = rows_of(*arms_of("kernel"), -0.05, text="wikipedia")
    assert asked("kernel", rows)[2].n == 0
    assert asked("kernel", rows, text="wikipedia")[2].n == 3


def test_the_strongest_has_the_lowest_mean_of_those_with_seeds_enough():
    rows = rows_of("gaussian", "dot", -0.05)
    assert answer(asked("verdict_strongest", rows)[2]) == "lower"
    rows += [row("rotated dot", seed, 1.0) for seed in range(2)]
    assert strongest(rows, dot=True) == "dot"
    rows.append(row("rotated dot", 2, 1.0))
    assert strongest(rows, dot=True) == "rotated dot"
    assert answer(asked("verdict_strongest", rows)[2]) == "higher"


@pytest.mark.parametrize(("apart", "key"), [
    (-AIM - 0.01, "reached"), (-AIM + 0.01, "missed"), (0.0, "missed")])
def test_the_aim_is_reached_by_an_interval_and_a_mean(apart, key):
    for language in LANGUAGES:
        wanted = QUESTIONS["aim"][key][language].format(aim=AIM)
        assert aim(rows_of("gaussian", "dot", apart), language) == wanted
    assert "not settled" in aim([], "en")


# ---- the pages -----------------------------------------------------------------------


def test_the_chapter_quotes_every_sentence_and_begins_with_the_verdict():
    text = CHAPTER.read_text("utf-8")
    for name in sentences([]):
        if not name.startswith("headline"):
            assert f"⟨{name}⟩" in text
    first = [cell.source for cell in jupytext.read(CHAPTER).cells[:2]]
    for words, language in zip(first, LANGUAGES, strict=True):
        assert f"⟨verdict_{language}⟩" in words.split("\n\n")[1]


@pytest.mark.parametrize("page", ["part2.md", "index.md", "lab_log.md"])
def test_pages_take_the_verdict_from_the_chapter(page):
    text = (ROOT / "book" / page).read_text("utf-8")
    for language in LANGUAGES:
        assert re.search(f"⟨10.(headline|verdict)_{language}⟩", text)


@pytest.mark.parametrize(("readme", "language"), [
    ("README.md", "en"), ("README_KO.md", "ko")])
def test_the_readmes_say_the_verdict_of_the_rows(readme, language):
    rows = read_rows(ROOT / "benchmarks" / "results" / "quality.jsonl")
    wanted = verdict(rows, language, numbers=False)
    assert wanted in (ROOT / readme).read_text("utf-8"), (
        f"{readme} has to say: {wanted}")


def test_questions_ask_of_arms_that_the_benchmark_runs():
    named = {arm for name in ASKED for arm in (QUESTIONS[name]["arm"],
                                               QUESTIONS[name]["base"])}
    assert named - {"strongest"} <= set(ARMS)
    assert set(VERDICT) <= set(ASKED)


def test_the_ladder_of_the_chapter_is_made_of_the_arms_of_the_benchmark():
    code = "\n".join(cell.source for cell in jupytext.read(CHAPTER).cells
                     if cell.cell_type == "code" and re.search(
                         r"^(vanilla|ladder) =", cell.source, re.MULTILINE))
    code = code[code.index("vanilla ="):code.index("recipe =")] + (
        code[code.index("from_characters"):])
    given = {"LMConfig": LMConfig, "matched_width": matched_width, "replace": replace,
             "kernel": "gaussian", "strength": 0.5, "eps": 1.0, "d_coord": None,
             "tokens": SimpleNamespace(vocab=65),
             "cfg": SimpleNamespace(context=64, d_model=128, n_layers=4, n_heads=4)}
    exec(code, given)  # noqa: S102 - the cells of our own chapter
    for name, config in given["ladder"].items():
        wanted = model_of("small", name, 65)
        # ε is not in a Gaussian, and a width not in a model without coordinates
        wanted = replace(wanted, eps=config.eps, d_coord=config.d_coord
                         if not config.has_coordinates else wanted.d_coord)
        assert replace(config) == wanted


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("place", PLACES[1:],
                         ids=lambda place: f"{place['text']}-{place['size']}")
def test_another_text_or_size_is_told_of_once_the_strong_twin_has_run_there(
    place, language
):
    here = rows_of("stream dot", "dot, rotary, qk-norm", -0.05)
    where = {"text": place["text"], "size": place["size"]}
    told = {apart: verdict(here + rows_of("gaussian", "stream dot", apart, **where),
                           language) for apart in ANSWERS.values()}
    assert len(set(told.values())) == 3
    for words in told.values():
        assert words.lower().count(f"{place[language]} (".lower()) == 1
        assert "{" not in words
    few = rows_of("gaussian", "stream dot", -0.05, seeds=2, **where)
    weak = rows_of("gaussian", "dot", -0.05, **where)
    for rows in (here, here + few, here + weak):
        assert f"{place[language]} (".lower() not in verdict(rows, language).lower()


@pytest.mark.parametrize("language", LANGUAGES)
def test_places_with_one_answer_share_a_sentence(language):
    def apart(**answers):
        return sentences([row for place in PLACES for row in rows_of(
            "rotated gaussian", "rotated dot", ANSWERS[answers.get(
                place["text"], "lower")], text=place["text"], size=place["size"])]
            )[f"because_{language}"]

    def told(answer):
        template = QUESTIONS["verdict_because"][answer][language]
        return max(template.split("{places}"), key=len)

    everywhere, but_one = apart(), apart(python="chance")
    assert everywhere.count(told("lower")) == 1 and told("chance") not in everywhere
    assert but_one.count(told("lower")) == but_one.count(told("chance")) == 1
    for place in PLACES:
        assert place[language].lower() in everywhere.lower()
