"""The checks of chapter 06 accept what is right, however written, and nothing else."""

import heapq
import re

import pytest
import torch
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.hugging_face import (
    Table,
    check_beam,
    check_mean,
    check_name,
    check_shift,
)

CHECKS = (check_shift, check_mean, check_name, check_beam)


# ---- what the decoder reads -------------------------------------------------


def shift_with_cat(labels, bos, pad):
    start = torch.full((len(labels), 1), bos)
    return torch.cat((start, labels[:, :-1].clamp(min=-100)), 1).where(
        torch.cat((start, labels[:, :-1]), 1) != -100, torch.tensor(pad))


def shift_with_roll(labels, bos, pad):
    moved = labels.roll(1, dims=1)
    moved[:, 0] = bos
    moved[moved < 0] = pad
    return moved


test_right_shifts_are_accepted = accepts(check_shift, shift_with_cat, shift_with_roll)


def shift_in_place(labels, bos, pad):
    labels[labels == -100] = pad
    return shift_with_roll(labels, bos, pad)


test_wrong_shifts_are_told_what_is_wrong = hints(
    check_shift,
    (lambda labels, bos, pad: labels.masked_fill(labels == -100, pad),
     "reads the answer itself"),
    (lambda labels, bos, pad: torch.cat(
        (torch.full((len(labels), 1), bos), labels[:, :-1]), 1), "-100 is left"),
    (lambda labels, bos, pad: labels.roll(1, 1).clamp(min=pad), "start token"),
    (lambda labels, bos, pad: shift_with_roll(labels, bos, pad)[:, 1:], "shape"),
    (shift_in_place, "work on a copy"),
)


# ---- the mean of parts ------------------------------------------------------


test_right_means_are_accepted = accepts(
    check_mean,
    lambda means, tokens: sum(map(lambda m, t: m * t, means, tokens)) / sum(tokens),
    lambda means, tokens: torch.tensor(means) @ torch.tensor(tokens).float()
    / torch.tensor(tokens).sum(),
)


test_wrong_means_are_told_what_is_wrong = hints(
    check_mean,
    (lambda means, tokens: sum(means) / len(means), "mean of means"),
    (lambda means, tokens: sum(means), "sum of means"),
    (lambda means, tokens: max(means), "gave"),
)


# ---- names ------------------------------------------------------------------

PARTS = {"attention.query": "self_attn.q_proj", "attention.key": "self_attn.k_proj",
         "attention.value": "self_attn.v_proj",
         "attention.output": "self_attn.out_proj",
         "attention_norm": "self_attn_layer_norm",
         "cross_attention.query": "encoder_attn.q_proj",
         "cross_attention.key": "encoder_attn.k_proj",
         "cross_attention.value": "encoder_attn.v_proj",
         "cross_attention.output": "encoder_attn.out_proj",
         "cross_norm": "encoder_attn_layer_norm",
         "feed_forward.up": "fc1", "feed_forward.down": "fc2",
         "feed_forward_norm": "final_layer_norm"}


def name_by_table(name):
    first, *rest, kind = name.split(".")
    if first == "token":
        return "model.shared.weight"
    if first.endswith("_norm"):
        return f"model.{first.removesuffix('_norm')}.layer_norm.{kind}"
    layer, *part = rest
    return f"model.{first}.layers.{layer}.{PARTS['.'.join(part)]}.{kind}"


def name_by_rules(name):
    name = re.sub(r"^(encoder|decoder)\.(\d+)", r"model.\1.layers.\2", name)
    name = re.sub(r"^(encoder|decoder)_norm", r"model.\1.layer_norm", name)
    for old, new in (("token", "model.shared"), ("cross_attention.", "encoder_attn."),
                     ("cross_norm", "encoder_attn_layer_norm"),
                     ("attention_norm", "self_attn_layer_norm"),
                     ("feed_forward_norm", "final_layer_norm"),
                     ("feed_forward.up", "fc1"), ("feed_forward.down", "fc2"),
                     (".attention.", ".self_attn."), ("query", "q_proj"),
                     ("key", "k_proj"), ("value", "v_proj"), ("output", "out_proj")):
        name = name.replace(old, new)
    return name


test_right_names_are_accepted = accepts(check_name, name_by_table, name_by_rules)


def test_a_wrong_name_is_shown():
    verdict = check_name(lambda name: name_by_table(name).replace("fc2", "fc1"))
    assert not verdict
    assert "feed_forward.down" in verdict.en


# ---- beams ------------------------------------------------------------------


def beam_with_lists(following, width, end, limit):
    alive, done = [((), 0.0)], []
    for _ in range(limit):
        grown = [((*prefix, token), total + gain)
                 for prefix, total in alive
                 for token, gain in enumerate(following(prefix).tolist())]
        grown = sorted(grown, key=lambda one: -one[1])[:width]
        done += [one for one in grown if one[0][-1] == end]
        alive = [one for one in grown if one[0][-1] != end]
    return list(max(done, key=lambda one: one[1])[0])


def beam_that_keeps_width_unfinished(following, width, end, limit):
    alive, best = [(0.0, ())], (float("-inf"), ())
    for _ in range(limit):
        grown = []
        for total, prefix in alive:
            for token, gain in enumerate(following(list(prefix)).tolist()):
                one = (total + gain, (*prefix, token))
                if token == end and (width > 1 or gain == following(prefix).max()):
                    best = max(best, one)
                elif token != end:
                    grown.append(one)
        alive = heapq.nlargest(width, grown)
        if width == 1 and best[1]:
            break
    return best[1]


@pytest.mark.parametrize(
    "answer", [beam_with_lists, beam_that_keeps_width_unfinished]
)
def test_right_beams_are_accepted(answer):
    verdict = check_beam(answer)
    assert verdict, verdict.en
    assert "Greedy missed" in verdict.en


def test_greedy_alone_is_no_beam_search():
    verdict = check_beam(lambda following, width, end, limit: following.greedy())
    assert not verdict
    assert "is better" in verdict.en


def test_a_search_that_ignores_the_width_is_told_so():
    verdict = check_beam(lambda following, width, end, limit: following.best())
    assert not verdict
    assert "With width 1" in verdict.en


def test_the_table_knows_its_best_sequence():
    table = Table(vocab=3, limit=3, seed=0)
    every = [p for p in table.rows]
    total = sum(torch.tensor(table.score((*p, 0))).exp() for p in every)
    assert total == pytest.approx(1.0, abs=1e-5)  # the sequences share all probability
    assert table.score(table.best()) == max(table.score((*p, 0)) for p in every)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("06_hugging_face", CHECKS)
