"""The checks of chapter 17: right answers of any shape, hints for typical errors."""

import math

import torch
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.realign import check_bits, check_constituents, check_mass

# bits per byte


def bits_by_log(nats, text):
    return sum(nats) / math.log(2) / len(text.encode("utf-8"))


def bits_by_power(nats, text):
    p = math.prod(math.exp(-x) for x in nats)
    return torch.tensor(-math.log2(p) / len(bytes(text, "utf-8")))


test_right_bits_are_accepted = accepts(check_bits, bits_by_log, bits_by_power)
test_wrong_bits_get_their_hint = hints(
    check_bits,
    (lambda nats, text: sum(nats) / len(text.encode()), "divide by ln 2"),
    (lambda nats, text: sum(nats) / math.log(2) / len(text), "three bytes"),
    (lambda nats, text: sum(nats) / math.log(2) / len(nats), "divide by bytes"),
    (lambda nats, text: 0.0, "is wanted"),
)

# constituents


def rows_by_loop(table, spellings):
    return torch.stack([sum(table[i] for i in s) / len(s) for s in spellings])


def rows_by_matrix(table, spellings):
    share = torch.zeros(len(spellings), len(table), dtype=table.dtype)
    for row, spelling in enumerate(spellings):
        for i in spelling:
            share[row, i] += 1 / len(spelling)
    return share @ table


def each(how):
    return lambda table, spellings: torch.stack([how(table, s) for s in spellings])


test_right_rows_are_accepted = accepts(check_constituents, rows_by_loop, rows_by_matrix)
test_wrong_rows_get_their_hint = hints(
    check_constituents,
    (each(lambda t, s: t[s].sum(0)), "divide by the number of tokens"),
    (each(lambda t, s: t[s[0]]), "first token only"),
    (each(lambda t, s: t[s[-1]]), "last token only"),
    (each(lambda t, s: t[sorted(set(s))].mean(0)), "counts twice"),
    (each(lambda t, s: t.mean(0)), "mean of the whole table"),
    (lambda t, s: t[:1], "The shape is"),
    (each(lambda t, s: t[0] * 0), "The values differ"),
)

# the mass that new rows take


def mass_by_softmax(hidden, old, new):
    p = (hidden @ torch.cat((old, new)).T).softmax(-1)
    return p[:, len(old):].sum(-1).mean()


def mass_by_logs(hidden, old, new):
    a, b = (hidden @ old.T).logsumexp(-1), (hidden @ new.T).logsumexp(-1)
    return torch.sigmoid(b - a).mean().item()


test_right_masses_are_accepted = accepts(check_mass, mass_by_softmax, mass_by_logs)
test_wrong_masses_get_their_hint = hints(
    check_mass,
    (lambda h, o, n: (h @ n.T).softmax(-1).sum(-1).mean(), "over the new rows alone"),
    (lambda h, o, n: 1 - mass_by_logs(h, o, n), "share of the old rows"),
    (lambda h, o, n: mass_by_logs(h, o, n) / len(n), "averages over the new rows"),
    (lambda h, o, n: mass_by_logs(h, o, n) * len(h), "Average over the positions"),
    (lambda h, o, n: len(n) / (len(n) + len(o)), "counts rows"),
    (lambda h, o, n: -1.0, "is wanted"),
)

# all of them

CHECKS = (check_bits, check_constituents, check_mass)
test_unfinished_answers_are_no_answers = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("17_realigning", CHECKS)
