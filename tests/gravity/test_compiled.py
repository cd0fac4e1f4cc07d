"""The compiled pass over a block does what PyTorch's passes do."""

import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.data import ROOT
from lib.gravity import compiled as gravity_kernels
from lib.gravity.compiled import weigh, weigh_back

HEADS = 3


def block(queries, keys, seed, high):
    some = torch.Generator().manual_seed(seed)
    least = torch.rand(HEADS, keys, generator=some) + 0.5
    above = torch.rand(HEADS, queries, keys, generator=some).mul(high).exp()
    u = least[:, None] * above
    u[:, ::3, ::5] = least[:, None, ::5] * 0.999  # as rounding may leave it
    p = torch.rand(HEADS, generator=some) * 3 + 0.1
    return u, least, p


def back(u, least, p, past, same, kind):
    some = torch.Generator().manual_seed(1)
    g = torch.randn(u.shape, generator=some)
    scale, mean = torch.rand(2, *u.shape[:2], generator=some)
    given = [x.to(kind) for x in (u, g, least, p, scale, mean)]
    u, g, least, p, scale, mean = given
    db, dp = torch.zeros_like(least), torch.zeros_like(p)
    weigh_back(u, g, least, p, past, same, scale, mean, db, dp)
    return u, g, db, dp


@given(
    queries=st.integers(1, 40), keys=st.integers(1, 70), past=st.integers(-30, 80),
    same=st.booleans(), seed=st.integers(0, 9), high=st.sampled_from((0.1, 3, 30)),
)
@settings(max_examples=40, deadline=None)
def test_the_compiled_pass_is_that_of_pytorch(queries, keys, past, same, seed, high):
    past = max(past, 0)
    u, least, p = block(queries, keys, seed, high)
    exact, ours = u.double(), u.clone()
    masses = torch.zeros(HEADS, queries), torch.zeros(HEADS, queries).double()
    weigh(ours, least, p, past, same, masses[0])
    weigh(exact, least.double(), p.double(), past, same, masses[1])
    torch.testing.assert_close(ours.double(), exact, rtol=2e-5, atol=1e-30)
    torch.testing.assert_close(masses[0].double(), masses[1], rtol=2e-5, atol=1e-30)
    theirs = back(u, least, p, past, same, torch.float64)
    for a, b in zip(back(u, least, p, past, same, torch.float32), theirs, strict=True):
        size = b.abs().max().item()
        torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-5 * size + 1e-30)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_later_keys_weigh_nothing_and_rows_are_summed(kind):
    u, least, p = (x.to(kind) for x in block(5, 9, 0, 2.0))
    mass = torch.ones(HEADS, 5, dtype=kind)
    weigh(u, least, p, 2, False, mass)
    later = torch.ones(5, 9).triu(3).bool()
    assert (u[:, later] == 0).all() and (u[:, ~later] > 0).all()
    torch.testing.assert_close(mass, 1 + u.sum(-1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_distance_that_is_no_number_is_not_hidden(kind):
    u, least, p = (x.to(kind) for x in block(4, 8, 0, 2.0))
    u[1, 2, 3] = torch.nan
    mass = torch.zeros(HEADS, 4, dtype=kind)
    weigh(u, least, p, 8, False, mass)
    assert mass.isnan().nonzero().tolist() == [[1, 2]]
    u, least, p = block(4, 8, 0, 2.0)
    u[1, 2, 3] = torch.nan
    w, g, db, dp = back(u, least, p, 8, False, kind)
    assert w.isnan().nonzero().tolist() == g.isnan().nonzero().tolist() == [[1, 2, 3]]
    assert db.isnan().nonzero().tolist() == [[1, 3]] and dp.isnan().tolist() == [
        False, True, False]


def test_one_core_and_two_give_the_same_bits():
    u, least, p = block(64, 96, 3, 4.0)
    threads, results = torch.get_num_threads(), []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            results.append(back(u.clone(), least, p, 40, True, torch.float32))
    finally:
        torch.set_num_threads(threads)
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


@pytest.mark.slow
def test_the_first_call_leaves_pytorch_its_number_of_threads():
    # numba's OpenMP layer, when it starts, sets that of the whole process; with it the
    # order of every later sum would change, and a resumed run its last bits
    script = (
        "import torch; from lib.gravity.compiled import weigh\n"
        "one, row = torch.ones(1, 1, 4), torch.ones(1, 4)\n"
        "for count in (1, 2):\n"
        "    torch.set_num_threads(count)\n"
        "    weigh(one.clone(), row, torch.ones(1), 4, False, torch.zeros(1, 1))\n"
        "    print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2"]


def test_float32_on_a_cpu_takes_the_compiled_pass():
    taken = [gravity_kernels._takes(torch.zeros(1, 1, 1, dtype=kind))
             for kind in (torch.float32, torch.float64, torch.bfloat16)]
    assert taken == [True, False, False]


def test_no_shape_and_no_stride_is_compiled_for_anew():
    back(*block(2, 3, 0, 1.0), 1, True, torch.float32)
    kernels = [gravity_kernels._kernel(back=which) for which in (False, True)]
    for heads, queries, keys in ((1, 1, 1), (2, 1, 7), (3, 5, 1)):
        u = torch.rand(heads, queries, keys) + 1
        least, p = torch.full((keys, heads), 0.5).mT, torch.ones(2 * heads)[::2]
        mass = torch.zeros(queries, heads).mT
        weigh(u, least, p, 2, False, mass)
        torch.testing.assert_close(mass, u.sum(-1))
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1]
