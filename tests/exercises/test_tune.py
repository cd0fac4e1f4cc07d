"""The checks of chapter 18: right answers of any shape, hints for typical errors."""

import torch
from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.tune import check_bytes, check_global_mean, check_mask

# the masked gradient


def mask_by_rows(grad, ids):
    found = torch.zeros_like(grad)
    found[ids] = grad[ids]
    return found


def mask_by_product(grad, ids):
    keep = torch.tensor([float(i in ids) for i in range(len(grad))])
    return grad * keep[:, None] + 0.0  # no negative zero


def others(grad, ids):
    grad[ids] = 0
    return grad


test_right_masks_are_accepted = accepts(check_mask, mask_by_rows, mask_by_product)
test_wrong_masks_get_their_hint = hints(
    check_mask,
    (others, "other way round"),
    (lambda grad, ids: grad, "Nothing was masked"),
    (lambda grad, ids: grad[ids], "The shape is"),
    (lambda grad, ids: mask_by_rows(grad, ids) * 2, "Kept rows keep their values"),
)

# the mean over all processes


def mean_by_sums(parts):
    return sum(loss for loss, _ in parts) / sum(n for _, n in parts)


def mean_by_weights(parts):
    whole = sum(n for _, n in parts)
    return sum(loss / n * n / whole for loss, n in parts if n)


def mean_of_means(parts):
    means = [loss / n for loss, n in parts if n]
    return sum(means) / len(means)


test_right_means_are_accepted = accepts(
    check_global_mean, mean_by_sums, mean_by_weights)
test_wrong_means_get_their_hint = hints(
    check_global_mean,
    (mean_of_means, "mean of means"),
    (lambda parts: sum(loss for loss, _ in parts) / len(parts), "not of parts"),
    (lambda parts: 0.0, "is wanted"),
)

# what a budget reaches


def bytes_by_division(tokens, per_byte, share):
    return tokens * (1 - share) / per_byte


def bytes_by_difference(tokens, per_byte, share):
    return (tokens - tokens * share) * (1 / per_byte)


test_right_bytes_are_accepted = accepts(
    check_bytes, bytes_by_division, bytes_by_difference)
test_wrong_bytes_get_their_hint = hints(
    check_bytes,
    (lambda t, p, s: t / p, "was not taken off"),
    (lambda t, p, s: t * (1 - s) * p, "Divide, do not multiply"),
    (lambda t, p, s: t * s / p if s else t / p + 1, "bytes of replay"),
    (lambda t, p, s: 1.0, "is wanted"),
)

# all of them

CHECKS = (check_mask, check_global_mean, check_bytes)
test_unfinished_answers_are_no_answers = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("18_fine_tuning", CHECKS)
