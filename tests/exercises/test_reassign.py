"""The checks of chapter 16: right answers of any shape pass, wrong ones get a hint."""

from functools import cache

import pytest
from exercise_cases import accepts, chapter, hints, stubs, turned_down

from lib.exercises.reassign import (
    check_fewest,
    check_loss,
    check_paid,
    check_rules,
    toy_tokenizer,
)
from lib.vocabulary.reassign import Rule, remap_tokenizer

RULES = (Rule(259, b"bana", b"banana"),)


@cache
def reassigned():
    return remap_tokenizer(toy_tokenizer(), RULES)


def fewest_forward(word, pieces):
    best = [0]
    for j in range(1, len(word) + 1):
        best.append(min(best[i] + 1 for i in range(j) if word[i:j] in pieces))
    return best[-1]


def fewest_recursive(word, pieces):
    @cache
    def rest(i):
        ends = range(i + 1, len(word) + 1)
        return min((1 + rest(j) for j in ends if word[i:j] in pieces), default=0)

    return rest(0)


def longest_first(word, pieces):
    n = 0
    while word:
        n += 1
        word = word[max(k for k in range(1, len(word) + 1) if word[:k] in pieces):]
    return n


def loss_twice(words, pieces, piece):
    def total(known):
        return sum(n * fewest_forward(word, known | set(word))
                   for word, n in words.items())

    return total(pieces - {piece}) - total(pieces)


def loss_where_it_stands(words, pieces, piece):
    return sum(n * (fewest_recursive(word, (pieces - {piece}) | {*word})
                    - fewest_recursive(word, pieces | {*word}))
               for word, n in words.items() if piece in word)


def loss_of_characters(words, pieces, piece):
    return sum(n for word, n in words.items() if piece in word) * (len(piece) - 1)


test_right_counts_are_accepted = accepts(check_fewest, fewest_forward, fewest_recursive)
test_wrong_counts_get_their_hint = hints(
    check_fewest,
    (longest_first, "taking the longest"),
    (lambda word, pieces: len(word), "are enough"),
    (lambda word, pieces: 1, "cannot spell"),
    (lambda word, pieces: "four", "one whole number"),
)
test_right_losses_are_accepted = accepts(check_loss, loss_twice, loss_where_it_stands)
test_wrong_losses_get_their_hint = hints(
    check_loss,
    (loss_of_characters, "pieces that are left"),
    (lambda *given: -loss_twice(*given), "Turn the sign"),
    (lambda *given: 0, "fewest tokens of each word"),
)
test_unfinished_answers_are_no_answers = stubs(check_fewest, check_loss)


@pytest.mark.parametrize("text", [
    '- {id: 259, old: "bana", new: "banana"}',
    "- id: 257\n  old: na\n  new: banana\n",
    '- {id: 256, old: an, new: "banana"}\n- {id: 259, old: bana, new: " banana"}',
])
def test_rules_in_any_form_are_accepted(text):
    assert check_rules(text).accepted


@pytest.mark.parametrize("text, hint", [
    (None, "There is no answer yet"), (..., "There is no answer yet"),
    (7, "Give a string"), ("", "empty"),
    ('- {id: 98, old: "b", new: "banana"}', "single byte"),
    ('- {id: 260, old: "<end>", new: "banana"}', "special token"),
    ('- {id: 258, old: "ban", new: "banana"}', "ban has become longer"),
    ('- {id: 259, old: "bana", new: "anana"}', "still takes 2 tokens"),
    ('- {id: 259, old: "bana", new: "na"}', "in the vocabulary already"),
])
def test_rules_that_do_not_do_get_a_hint(text, hint):
    turned_down(check_rules(text), hint)


@pytest.mark.parametrize("text", ["bana", "banab", "bana bana"])
def test_texts_that_pay_are_accepted(text):
    assert check_paid(text, toy_tokenizer(), reassigned()).accepted


@pytest.mark.parametrize("text, hint", [
    (None, "There is no answer yet"), ("", "not an empty one"), (3, "Give a text"),
    ("banana", "2 before and 1 after"), ("nab", 'such as "bana"'),
])
def test_texts_that_do_not_pay_get_a_hint(text, hint):
    turned_down(check_paid(text, toy_tokenizer(), reassigned()), hint)


test_the_chapter_asks_them_all = chapter(
    "16_reassigning", (check_fewest, check_loss, check_rules, check_paid),
    lambda: {"before": toy_tokenizer(), "after": reassigned(), "rules": RULES},
)
