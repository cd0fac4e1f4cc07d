"""The sentences at the head of chapter 13: its own cells, given other intervals."""

from itertools import product
from pathlib import Path
from types import SimpleNamespace

import jupytext
import pandas as pd
import pytest

from lib.gravity.verdict import NONE, answer
from lib.training.comparison import TEXT, Interval

CHAPTER = Path(__file__).parents[2] / "notebooks/13_wikitext103.py"
CHANGES = ("twin", "verdict_stream", "whole")
LEARNED, JUDGED = ("plays", "Wikipedia"), ("plays", "Wikipedia", "code", "Korean")
PAIRS = list(product(CHANGES, LEARNED, JUDGED))
LOWER, CHANCE, HIGHER = (Interval(mean, mean - 0.05, mean + 0.05, 5)
                         for mean in (-0.1, 0.0, 0.1))


def finding(gaps=None, long=None, bits=5.0, swing=0.5):
    """What the page says; every interval that is not given is around 0."""
    cells = [cell.source for cell in jupytext.read(CHAPTER).cells]
    code = [cell for cell in cells if cell.startswith(("swing = ", "ko, en = "))]
    assert len(code) == 2
    long = {(change, TEXT): CHANCE for change in CHANGES} | (long or {})
    table = pd.DataFrame(
        {"dot": bits, "byte counts": 5.5},
        index=pd.MultiIndex.from_product([LEARNED, JUDGED],
                                         names=["learned", "judged"]))
    table.loc[(slice(None), "Korean"), :] = 14.0
    told = {}
    space = {
        "moved": pd.DataFrame([dict.fromkeys(JUDGED, 5.0),
                               dict.fromkeys(JUDGED, 5.0 + swing)]),
        "gaps": dict.fromkeys(PAIRS, CHANCE) | (gaps or {}), "long": long,
        "texts": list(dict.fromkeys(text for _, text in long)), "table": table,
        "judged": dict.fromkeys(JUDGED), "arms": {"dot": None}, "changes": CHANGES,
        "words": {change: (f"변화 {change}", change) for change in CHANGES},
        "cfg": SimpleNamespace(texts=list(LEARNED), steps=9), "answer": answer,
        "TEXT": TEXT, "sizes": {"dot": 1000},
        "record": lambda **named: told.update(named)}
    exec("\n".join(code), space)  # noqa: S102 the cells of the chapter
    return told["finding_en"], told["finding_ko"]


def test_only_what_lies_below_0_on_every_text_learned_is_said_to_lower():
    own = {("twin", text, text): LOWER for text in LEARNED}
    en, ko = finding(own)
    assert "were lowered by twin and raised by nothing" in en
    assert "비트를 낮춘 변화는 변화 twin입니다. 높인 변화는 없습니다" in ko
    en, _ = finding(own | {("twin", "Wikipedia", "Wikipedia"): CHANCE})
    assert "were lowered by nothing" in en
    assert "not told from chance: twin, verdict_stream and whole." in en


def test_text_on_which_a_model_is_worse_than_knowing_nothing_does_not_count():
    lower = {("whole", "Wikipedia", text): LOWER for text in ("plays", "code")}
    en, _ = finding(lower | {("whole", "Wikipedia", "Korean"): HIGHER})
    assert "(plays and code), bits were lowered on all of it by whole" in en
    assert "raised on some of it by nothing" in en
    assert "never learned" not in finding(lower, bits=9.0)[0]


@pytest.mark.parametrize(("bits", "said"), [(5.0, "`dot` did"), (6.0, "no model did")])
def test_who_does_not_beat_the_counts_of_bytes_is_told(bits, said):
    assert f"But on all of it {said} better" in finding(bits=bits)[0]


@pytest.mark.parametrize(("swing", "said"), [(0.5, "as large come"), (0.05, "larger")])
def test_differences_are_held_to_what_the_learning_rate_alone_does(swing, said):
    settled = {("twin", "Wikipedia", "code"): LOWER}
    assert said in finding(settled, swing=swing)[0]
    assert "learning rate" not in finding(swing=swing)[0]  # none is settled


def test_long_runs_on_another_text_are_told_once_there_is_an_interval():
    there = {(change, TEXT): LOWER for change in CHANGES}
    one = {(change, "python"): NONE for change in CHANGES}
    one["twin", "python"] = Interval(-0.1, float("-inf"), float("inf"), 1)
    assert "not yet enough runs" in finding(long=there | one)[0]
    en, ko = finding(long=there | {("twin", "python"): LOWER, ("whole", "python"): NONE,
                                   ("verdict_stream", "python"): HIGHER})
    assert "lowered on python too by twin." in en
    assert "python에서 배워도 낮춘 변화는 변화 twin입니다." in ko
