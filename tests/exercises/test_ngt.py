"""The checks of chapter 10: right answers of any shape pass, wrong ones get a hint."""

import statistics
from collections import defaultdict

from exercise_cases import accepts, chapter, hints, stubs

from lib.exercises.ngt import check_interval, check_rate, check_twin

CHECKS = (check_twin, check_interval, check_rate)

# right answers


def twin_by_line(count, target):
    start = 2 * count(1) - count(2)
    return max(1, round((target - start) / (count(2) - count(1))))


def twin_by_search(count, target):
    low, high = 1, 2
    while count(high) < target:
        high *= 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) < target else (low, middle)
    return min((low, high), key=lambda d: abs(count(d) - target))


def interval_by_hand(ours, theirs, t):
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    mean = sum(gaps) / len(gaps)
    s = (sum((g - mean) ** 2 for g in gaps) / (len(gaps) - 1)) ** 0.5
    return mean - t * s / len(gaps) ** 0.5, mean + t * s / len(gaps) ** 0.5


def interval_by_statistics(ours, theirs, t):
    gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
    reach = t * statistics.stdev(gaps) / len(gaps) ** 0.5
    return [statistics.mean(gaps) + sign * reach for sign in (-1, 1)]


def rate_by_dictionary(rows):
    losses = defaultdict(list)
    for row in rows:
        losses[row["learning_rate"]].append(row["valid"])
    most = max(len(several) for several in losses.values())
    full = {rate: sum(several) / most for rate, several in losses.items()
            if len(several) == most}
    return min(full, key=full.get)


def rate_by_pandas(rows):
    import pandas as pd

    means = pd.DataFrame(rows).groupby("learning_rate").valid.agg(["mean", "count"])
    return means[means["count"] == means["count"].max()]["mean"].idxmin()


test_check_twin_accepts_what_is_right = accepts(
    check_twin, twin_by_line, twin_by_search)
test_check_interval_accepts_what_is_right = accepts(
    check_interval, interval_by_hand, interval_by_statistics)
test_check_rate_accepts_what_is_right = accepts(
    check_rate, rate_by_dictionary, rate_by_pandas)


# wrong answers, each with a word of its hint


def unpaired(ours, theirs, t):
    n = len(ours)
    reach = t * (statistics.variance(ours) / n + statistics.variance(theirs) / n) ** 0.5
    mean = statistics.mean(ours) - statistics.mean(theirs)
    return mean - reach, mean + reach


def with_reach(reach_of):
    def answer(ours, theirs, t):
        gaps = [a - b for a, b in zip(ours, theirs, strict=True)]
        reach, mean = reach_of(gaps, t), statistics.mean(gaps)
        return mean - reach, mean + reach
    return answer


def mean_of_what_is_there(rows):
    losses = defaultdict(list)
    for row in rows:
        losses[row["learning_rate"]].append(row["valid"])
    return min(losses, key=lambda rate: statistics.mean(losses[rate]))


test_check_twin_hints_at_what_is_wrong = hints(
    check_twin,
    (lambda count, target: 64, "Two calls"),
    (lambda count, target: (target - count(0)) / (count(1) - count(0)), "whole"),
    (lambda count, target: target // count(1), "Two calls"),
)
test_check_interval_hints_at_what_is_wrong = hints(
    check_interval,
    (lambda a, b, t: interval_by_hand(b, a, t), "turned round"),
    (unpaired, "pairs are lost"),
    (with_reach(lambda g, t: t * statistics.stdev(g)), "√n"),
    (with_reach(lambda g, t: t * statistics.pstdev(g) / len(g) ** 0.5), "n − 1"),
    (with_reach(lambda g, t: 1.0), "reach"),
    (lambda a, b, t: (0, 0), "middle"),
)
test_check_rate_hints_at_what_is_wrong = hints(
    check_rate,
    (lambda rows: min(rows, key=lambda r: r["valid"])["learning_rate"], "lucky"),
    (mean_of_what_is_there, "one seed only"),
    (lambda rows: 4e-3, "lowest mean"),
)


test_what_is_unfinished_is_no_answer = stubs(*CHECKS)
test_the_chapter_asks_them_all = chapter("10_training_ngt", CHECKS)
