"""Paired comparison of runs: the interval, the choice of a rate, the table."""

import json
import math
import statistics

import pytest
import torch

from lib.training.comparison import (
    best_rate,
    paired_interval,
    read_rows,
    standings,
    t_quantile,
)


def row(name, rate, seed, loss, size="small"):
    return {"name": name, "learning_rate": rate, "seed": seed, "valid": loss,
            "size": size, "parameters": 10}


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 8, 11, 30])
def test_within_the_quantile_students_density_has_the_mass_of_the_level(df):
    top = t_quantile(0.9, df)
    x = torch.linspace(-top, top, 200_001, dtype=torch.float64)
    scale = math.exp(math.lgamma((df + 1) / 2) - math.lgamma(df / 2))
    density = scale / math.sqrt(df * math.pi) * (1 + x**2 / df) ** (-(df + 1) / 2)
    # the trapezoidal rule at this step is right to about 1e-9
    assert torch.trapezoid(density, x).item() == pytest.approx(0.9, abs=1e-7)


def test_with_many_degrees_of_freedom_it_is_the_normal_distribution():
    normal = statistics.NormalDist().inv_cdf(0.975)
    assert t_quantile(0.95, 4000) == pytest.approx(normal, abs=1e-3)


def test_the_interval_holds_the_true_difference_as_often_as_it_says():
    draws = torch.randn(2000, 3, generator=torch.Generator().manual_seed(1))
    held = [found.low < 0 < found.high
            for found in map(paired_interval, draws.tolist())]
    # 0.95 ± three standard errors, √(0.95·0.05/2000) = 0.0049 each
    assert sum(held) / len(held) == pytest.approx(0.95, abs=0.015)


def test_one_pair_settles_nothing():
    found = paired_interval([-0.3])
    assert (found.mean, found.n, found.settled) == (-0.3, 1, False)


def test_no_pairs_are_refused_in_one_sentence():
    with pytest.raises(ValueError, match="same seed"):
        paired_interval([])


def test_a_rate_run_with_fewer_seeds_does_not_win():
    rows = [row("dot", 1e-3, s, 2.0) for s in range(3)] + [row("dot", 4e-3, 0, 1.0)]
    assert best_rate(rows) == 1e-3


def test_a_run_that_blew_up_does_not_win():
    rows = [row("dot", 1e-3, 0, 2.0), row("dot", 9.0, 0, math.nan)]
    assert best_rate(rows) == 1e-3


def test_differences_are_taken_seed_by_seed_at_each_ones_own_best_rate():
    rows = [row("dot", rate, s, 2 + 0.1 * s + (rate != 1e-3))
            for rate in (1e-3, 2e-3) for s in range(3)]
    rows += [row("newton", rate, s, 1.9 + 0.1 * s + (rate != 2e-3))
             for rate in (1e-3, 2e-3) for s in range(3)]
    rows += [row("newton", 2e-3, 9, 0.1, size="medium")]
    dot, newton = standings(rows, "small")
    assert dot.difference is None and (dot.rate, newton.rate) == (1e-3, 2e-3)
    assert newton.difference.mean == pytest.approx(-0.1)
    # seeds move the losses by 0.1 each and their differences not at all
    assert newton.difference.high - newton.difference.low < 1e-6
    assert newton.difference.n == 3 and newton.difference.settled


def test_seeds_without_a_partner_are_left_out_of_the_difference():
    rows = [row("dot", 1e-3, s, 2.0) for s in (0, 1)]
    rows += [row("newton", 1e-3, s, loss) for s, loss in ((0, 1.9), (1, 1.8), (2, 0))]
    assert standings(rows, "small")[1].difference.mean == pytest.approx(-0.15)


def test_a_size_or_a_partner_that_was_not_run_is_named():
    with pytest.raises(ValueError, match="there is small"):
        standings([row("dot", 1e-3, 0, 2.0)], "large")
    with pytest.raises(ValueError, match="there is newton"):
        standings([row("newton", 1e-3, 0, 2.0)], "small")


def test_only_runs_on_one_text_are_compared_and_the_first_rows_name_none():
    rows = [row("dot", 1e-3, 0, 2.0), row("newton", 1e-3, 0, 1.9)]
    rows += [{**row("dot", 1e-3, 0, 5.0), "text": "wikipedia"},
             {**row("newton", 1e-3, 0, 5.5), "text": "wikipedia"},
             {**row("newton", 1e-3, 1, 5.5), "text": "python"}]
    assert standings(rows, "small")[1].difference.mean == pytest.approx(-0.1)
    found = standings(rows, "small", text="wikipedia")
    assert found[1].difference.mean == pytest.approx(0.5)
    with pytest.raises(ValueError, match="there is python, tinyshakespeare, wikipedia"):
        standings(rows, "small", text="korean")


def test_rows_come_from_the_file_and_a_missing_file_says_how_to_make_it(tmp_path):
    file = tmp_path / "quality.jsonl"
    with pytest.raises(FileNotFoundError, match=r"benchmarks\.quality small"):
        read_rows(file)
    file.write_text(json.dumps(row("dot", 1e-3, 0, 2.0)) + "\n\n")
    assert read_rows(file) == [row("dot", 1e-3, 0, 2.0)]


def test_neither_has_more_candidates_for_its_rate_than_the_other():
    rows = [row("dot", rate, s, loss) for rate, loss in ((1e-3, 2.0), (2e-3, 1.5))
            for s in range(2)]
    rows += [row("newton", 1e-3, s, 1.9) for s in range(2)]
    dot, newton = standings(rows, "small")
    assert dot.mean == pytest.approx(1.5) and newton.rates == (1e-3,)
    assert newton.difference.mean == pytest.approx(-0.1)  # against 2.0, not 1.5


def test_without_a_common_rate_there_is_no_difference():
    rows = [row("dot", 1e-3, 0, 2.0), row("newton", 2e-3, 0, 1.9)]
    assert standings(rows, "small")[1].difference is None
