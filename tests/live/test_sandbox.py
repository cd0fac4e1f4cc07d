"""The gravity sandbox computes what `lib` computes."""

import pytest
import torch

from tests.live.node import computed
from tests.live.sandbox_cases import exact, settings

COUNT = 1000
#: Lines of JavaScript that give, for each setting, what `exact` gives.
FLAT = """
    const flat = ({ places, mass, values, query, pull }) => {
        const heavy = gravity.attend(places, mass, values, query, pull);
        const twin = gravity.dot(places, values, query, pull);
        return [heavy.weights, heavy.mixed, twin.weights, twin.mixed].flat();
    };
    output = input.map(flat);"""
NODE = 'const gravity = require("./sandbox/gravity.js");'


def largest_gap(found, cases):
    gaps = [(torch.tensor(ours, dtype=torch.float64) - torch.stack(exact(case)))
            .abs().max() for ours, case in zip(found, cases, strict=True)]
    return float(torch.stack(gaps).nan_to_num(torch.inf).max())


def test_a_thousand_settings_are_those_of_lib():
    """Both are 64 bits wide; what is left is how r² is summed, far below 1e-6."""
    cases = list(settings(COUNT))
    assert largest_gap(computed(NODE + FLAT, cases), cases) < 1e-6


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("cutoff", ["none", "hard", "soft", "compact"])
def test_coinciding_tokens_and_the_edge_of_a_radius_are_exact(cutoff, sign):
    """As small an ε as the original's, and tokens at r = R, where a gate is 0."""
    case = {"places": [[1, 2], [1, 2], [3, 4], [-1, 4]], "mass": [1, 1, 1, 1],
            "values": [[0], [1], [2], [3]], "query": 0, "pull": {
                "kernel": "potential", "strength": 1.0, "beta": 0.0, "eps": 1e-6,
                "sign": sign, "cutoff": cutoff, "radius": 2.0, "causal": False}}
    [found] = computed(NODE + FLAT, [case])
    assert largest_gap([found], [case]) < 1e-6
    if cutoff != "none":
        assert found[:4] == [0.5, 0.5, 0, 0]


def test_the_landscape_is_the_log_of_what_others_pull():
    """Moved onto a point of the grid, the query gets what the landscape says there."""
    case = next(case for case in settings(90, seed=3) if len(case["places"]) > 3
                and len(case["places"][0]) == 2 and case["pull"]["cutoff"] == "soft"
                and case["pull"]["radius"] > 1)
    gap = computed("""
        const gravity = require("./sandbox/gravity.js");
        const landscape = require("./sandbox/landscape.js");
        const { places, mass, values, query, pull } = input;
        const values_ = landscape.grid(places, mass, query, pull, [-2, 2, -1, 1], 9, 5);
        output = [];
        for (let row = 0; row < 5; row++) for (let column = 0; column < 9; column++) {
            const moved = places.map((place, j) =>
                j === query ? [-2 + column / 2, 1 - row / 2] : place);
            const { logit, gate } = gravity.attend(moved, mass, values, query, pull);
            const sum = logit.reduce((total, s, j) =>
                total + (j === query ? 0 : gate[j] * Math.exp(s)), 0);
            const at = values_[row * 9 + column];
            output.push(sum === 0 && at === -Infinity ? 0 : Math.log(sum) - at);
        }""", case)
    assert len(gap) == 45 and max(abs(x) for x in gap) < 1e-9
