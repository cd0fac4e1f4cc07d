"""What is held out is found by its content wherever else it stands, and left out."""

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import data
from lib.data.held_out import EVERY, HeldOut, split
from lib.workbench.ivr import fine_tuning
from lib.workbench.ivr.corpora import cleaned
from lib.workbench.ivr.fine_tuning import replay_texts, train
from tests.real_data import real
from tests.vocabulary.test_tune import aligned, llama, options

SPEECH = ("First Citizen:\nBefore we proceed any further, hear me speak.\n"
          "Let us kill him, and we'll have corn at our own price.")


def test_a_line_of_what_is_held_out_is_left_out_however_it_is_written():
    held = HeldOut([SPEECH, "재밌어요"])
    texts = ["another text", "BEFORE WE PROCEED, any further -- hear me speak!",
             "1. let us kill\nhim and we'll have corn", "First Citizen:\nSpeak, speak.",
             "well, he said: let us kill him and we'll have CORN at last", "재밌어요!",
             "재밌어요 정말로"]
    assert list(held.without(texts)) == [
        "another text", "1. let us kill\nhim and we'll have corn",
        "First Citizen:\nSpeak, speak.", "재밌어요 정말로"]
    assert held.lines == 3


@given(st.text(max_size=90), st.text(max_size=40), st.text(max_size=40))
def test_a_document_is_found_again_in_any_company(text, before, after):
    held = HeldOut([text])
    assert [*held.without([text])] == []
    letters = "".join(filter(str.isalnum, text.casefold()))
    if len(letters) >= 31:  # a stretch is remembered at every eighth letter
        assert held.holds(before + letters + after)


@given(st.lists(st.text(), max_size=90), st.integers(1, 4))
def test_every_document_falls_on_one_side(texts, most):
    rest, held = split(texts, most)
    rest = list(rest)
    full = [text for text in texts if text.strip()]
    assert sorted([*rest, *held]) == sorted(full)
    assert held == full[:EVERY * most:EVERY]


@pytest.mark.slow
def test_no_line_of_a_play_that_is_held_out_is_replayed_from_it():
    play = real(data.text, "tinyshakespeare")
    rest, held = split(play.split("\n\n"), 200)
    lines = {line for text in held for line in text.split("\n") if len(line) > 40}
    other = HeldOut(held)
    replay = list(other.without(replay_texts("tinyshakespeare")))
    assert lines and not lines & set(replay)
    assert not lines & {line for text in HeldOut(held).without(rest)
                        for line in text.split("\n")}
    assert len(lines) <= other.lines < 0.1 * len(replay)  # and little else


def test_the_stage_trains_on_nothing_that_it_measures_on(tmp_path, monkeypatch):
    room = aligned(tmp_path, llama())
    documents = list(cleaned(room.root))
    file = tmp_path / "replay.txt"
    own = [f"Another text of the reader, number {n} of many." for n in range(40)]
    quoted = [text + " ." * 30 for text in documents[:8]]  # long enough to be replayed
    file.write_text("\n".join(quoted + own), "utf-8")
    read = []

    def spied(tokenizer, texts, context, most=None):
        texts = list(texts)
        read.append(texts)
        return windows(tokenizer, texts, context, most)

    windows = fine_tuning.windows
    monkeypatch.setattr(fine_tuning, "windows", spied)
    results = train(options(replay_corpus=str(file)), room)
    held = set(islice(documents, 0, None, EVERY))
    assert held and not held & {*read[0], *read[1]}
    assert set(read[0]) == {*documents} - held and set(own) < set(read[1])
    assert not [text for text in read[1] if text.removesuffix(" ." * 30) in held]
    again = sum(text in held for n, text in enumerate(documents) if n % EVERY)
    assert results["domain_left_out"] == again > 0
    assert results["replay_left_out"] == sum(text in held for text in documents[:8]) > 0
