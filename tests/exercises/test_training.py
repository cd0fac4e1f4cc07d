"""The checks of chapter 05 accept what is right, however written, and nothing else."""

import math

import torch
import torch.nn.functional as F
from exercise_cases import accepts, chapter, hints, stubs
from korean_numbers import read_korean

from lib.attention.translation import DIGITS
from lib.exercises.training import (
    check_greedy,
    check_noam,
    check_read,
    check_shift,
    check_smoothing,
)
from lib.training import schedules
from lib.training.loop import token_loss

CHECKS = (check_shift, check_smoothing, check_noam, check_read, check_greedy)


# ---- teacher forcing --------------------------------------------------------


def shift_by_columns(target):
    n = target.shape[1]
    return (torch.stack([target[:, i] for i in range(n - 1)], 1),
            torch.stack([target[:, i] for i in range(1, n)], 1))


test_right_shifts_are_accepted = accepts(
    check_shift, shift_by_columns, lambda t: [t[:, :-1], t.roll(-1, 1)[:, :-1]]
)


test_wrong_shifts_get_their_hint = hints(
    check_shift,
    (lambda t: (t[:, 1:], t[:, :-1]), "swapped"),
    (lambda t: (t, t), "just read"),
    (lambda t: (t[:, :-1], t), "every position needs one"),
    (lambda t: (t[:, :-2], t[:, 1:-1]), "lack <eos>"),
    (lambda t: (t[:, 1:], t[:, :-1].flip(1)), "<bos> is read"),
    (lambda t: (t[:, :-2], t[:, 2:]), "the token after it"),
)


# ---- label smoothing --------------------------------------------------------


def smoothing_of_torch(logits, labels, eps):
    return F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=0,
                           label_smoothing=eps)


def smoothing_of_the_loop(logits, labels, eps):
    total, tokens = token_loss(logits, labels, ignore=0, smoothing=eps)
    return total / tokens


def smoothing_by_a_target_distribution(logits, labels, eps):
    vocab = logits.shape[-1]
    wanted = F.one_hot(labels, vocab) * (1 - eps) + eps / vocab
    each = -(wanted * logits.log_softmax(-1)).sum(-1)
    return each[labels != 0].mean().item()


test_right_losses_are_accepted = accepts(
    check_smoothing,
    smoothing_of_torch,
    smoothing_of_the_loop,
    smoothing_by_a_target_distribution,
)


def wrong_smoothing(over="words", mix="right"):
    def answer(logits, labels, eps):
        surprise = -logits.log_softmax(-1)
        right = surprise.gather(-1, labels[..., None])[..., 0]
        share = {"right": eps, "none": 0.0, "swapped": 1 - eps}[mix]
        each = (1 - share) * right + share * surprise.mean(-1)
        words = labels != 0
        return {"words": each[words].mean(), "all": each.mean(),
                "sum": each[words].sum(), "divided": (each * words).mean(),
                "rows": ((each * words).sum(1) / words.sum(1)).mean(),
                "each": each}[over]

    return answer


test_wrong_losses_get_their_hint = hints(
    check_smoothing,
    (wrong_smoothing(over="all"), "Padding was counted; "),
    (wrong_smoothing(over="sum"), "divide by the number"),
    (wrong_smoothing(over="divided"), "counted in the division"),
    (wrong_smoothing(over="rows"), "means"),
    (wrong_smoothing(over="each"), "one number"),
    (wrong_smoothing(mix="none"), "smoothing is missing"),
    (wrong_smoothing(mix="swapped"), "swapped"),
    (lambda logits, labels, eps: torch.tensor(3.0), "value differs"),
)


# ---- the learning rate of the paper -----------------------------------------


def noam_in_two_branches(step, d_model, warmup):
    if step < warmup:
        return step / (math.sqrt(d_model) * warmup**1.5)
    return 1 / math.sqrt(d_model * step)


test_right_rates_are_accepted = accepts(
    check_noam,
    noam_in_two_branches,
    lambda step, d_model, warmup: schedules.noam(step - 1, d_model, warmup),
)


test_wrong_rates_get_their_hint = hints(
    check_noam,
    (lambda s, d, w: min(s**-0.5, s * w**-1.5), "d_model is missing"),
    (lambda s, d, w: d**-0.5 * max(s**-0.5, s * w**-1.5), "smaller"),
    (lambda s, d, w: d**-0.5 * s**-0.5, "During the warm-up"),
    (lambda s, d, w: d**-0.5 * s * w**-1.5, "After the warm-up"),
    (lambda s, d, w: schedules.noam(s, d, w), "During the warm-up"),
)


# ---- reading Korean numbers -------------------------------------------------


def read_by_splitting(text):
    units = {"십": 10, "백": 100, "천": 1000}

    def group(words):
        total, digit = 0, None
        for letter in words:
            if letter in units:
                total += (1 if digit is None else digit) * units[letter]
                digit = None
            else:
                digit = DIGITS.index(letter) + 1
        return total + (digit or 0)

    high, found, low = text.replace(" ", "").rpartition("만")
    return (10_000 * (group(high) or 1) if found else 0) + group(low)


test_right_readers_are_accepted = accepts(check_read, read_korean, read_by_splitting)


def wrong_reader(silent=1, alone=1, space=True):
    """`read_by_splitting` with one of its rules broken."""
    units = {"십": 10, "백": 100, "천": 1000}

    def group(words):
        total, digit = 0, None
        for letter in words:
            if letter in units:
                total += (silent if digit is None else digit) * units[letter]
                digit = None
            else:
                digit = DIGITS.index(letter) + 1
        return total + (digit or 0)

    def answer(text):
        high, found, low = text.replace(" ", "").rpartition("만")
        high = group(high) or alone
        if not space:
            return high * 10_000 * bool(found) if found else group(low)
        return (10_000 * high if found else 0) + group(low)

    return answer


test_wrong_readers_get_their_hint = hints(
    check_read,
    (wrong_reader(silent=0), "count once"),
    (wrong_reader(alone=0), "is 10,000"),
    (wrong_reader(space=False), "and 10000 came"),
    (lambda text: sum(DIGITS.index(c) + 1 for c in text if c in DIGITS), "came"),
    (lambda text: 7, "7 came"),
)


# ---- greedy decoding --------------------------------------------------------


def greedy_with_lists(following, limit):
    ids = [1]
    while len(ids) < limit and ids[-1] != 2:
        ids.append(int(following(ids).argmax()))
    return ids


def greedy_with_a_tensor(following, limit):
    ids = torch.tensor([1])
    for _ in range(limit - 1):
        token = following(ids).argmax(-1, keepdim=True)
        ids = torch.cat((ids, token))
        if token == 2:
            break
    return ids


test_right_loops_are_accepted = accepts(
    check_greedy, greedy_with_lists, greedy_with_a_tensor
)


def wrong_greedy(start=1, stop=True, only_last=False, extra=0, cut=0):
    def answer(following, limit):
        ids = [start]
        while len(ids) < limit + extra and (not stop or ids[-1] != 2):
            ids.append(int(following(ids[-1:] if only_last else ids).argmax()))
        return ids[cut:]

    return answer


test_wrong_loops_get_their_hint = hints(
    check_greedy,
    (wrong_greedy(start=2, stop=False), "Begin with <bos>"),
    (wrong_greedy(stop=False), "wrote on after <eos>"),
    (wrong_greedy(only_last=True), "each call reads all tokens"),
    (wrong_greedy(extra=1), "The limit is"),
    (wrong_greedy(cut=1), "from <bos> to <eos>"),
)


# ---- what is no answer, and the chapter itself ------------------------------


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("05_training", CHECKS)
