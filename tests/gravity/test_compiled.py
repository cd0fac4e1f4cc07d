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
    u = torch.rand(HEADS, queries, keys, generator=some).mul(high).exp()
    u[:, ::3, ::5] = 0.999  # as rounding may leave it
    bias = torch.randn(HEADS, keys, generator=some)
    top = bias.amax(-1, keepdim=True) + torch.rand(HEADS, queries, generator=some)
    p = torch.rand(HEADS, generator=some) * 3 + 0.1
    return u, bias, p, top


def back(u, bias, p, top, past, same, kind):
    some = torch.Generator().manual_seed(1)
    g = torch.randn(u.shape, generator=some)
    mean = torch.rand(u.shape[:2], generator=some)
    u, g, bias, p, top, mean = (x.to(kind) for x in (u, g, bias, p, top, mean))
    db, dp = torch.zeros_like(bias), torch.zeros_like(p)
    weigh_back(u, g, bias, p, top, past, same, mean, db, dp)
    return u, g, db, dp


@given(
    queries=st.integers(1, 40), keys=st.integers(1, 70), past=st.integers(-30, 80),
    same=st.booleans(), seed=st.integers(0, 9), high=st.sampled_from((0.1, 3, 30)),
)
@settings(max_examples=40, deadline=None)
def test_the_compiled_pass_is_that_of_pytorch(queries, keys, past, same, seed, high):
    u, *other = block(queries, keys, seed, high)
    exact, ours = u.double(), u.clone()
    masses = torch.zeros(HEADS, queries), torch.zeros(HEADS, queries).double()
    weigh(ours, *other, past, same, masses[0])
    weigh(exact, *(x.double() for x in other), past, same, masses[1])
    torch.testing.assert_close(ours.double(), exact, rtol=2e-5, atol=1e-30)
    torch.testing.assert_close(masses[0].double(), masses[1], rtol=2e-5, atol=1e-30)
    theirs = back(u, *other, past, same, torch.float64)
    for a, b in zip(back(u, *other, past, same, torch.float32), theirs, strict=True):
        size = b.abs().max().item()
        torch.testing.assert_close(a.double(), b, rtol=2e-5, atol=2e-5 * size + 1e-30)


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_later_keys_weigh_nothing_and_rows_are_summed(kind):
    u, *other = (x.to(kind) for x in block(5, 9, 0, 2.0))
    mass = torch.ones(HEADS, 5, dtype=kind)
    weigh(u, *other, 2, False, mass)
    later = torch.ones(5, 9).triu(3).bool()
    assert (u[:, later] == 0).all() and (u[:, ~later] > 0).all()
    torch.testing.assert_close(mass, 1 + u.sum(-1))


@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_a_distance_that_is_no_number_is_not_hidden(kind):
    u, *other = (x.to(kind) for x in block(4, 8, 0, 2.0))
    u[1, 2, 3] = torch.nan
    mass = torch.zeros(HEADS, 4, dtype=kind)
    weigh(u, *other, 8, False, mass)
    assert mass.isnan().nonzero().tolist() == [[1, 2]]
    u, *other = block(4, 8, 0, 2.0)
    u[1, 2, 3] = torch.nan
    w, g, db, dp = back(u, *other, 8, False, kind)
    assert w.isnan().nonzero().tolist() == g.isnan().nonzero().tolist() == [[1, 2, 3]]
    assert db.isnan().nonzero().tolist() == [[1, 3]] and dp.isnan().tolist() == [
        False, True, False]


@pytest.mark.slow
def test_the_first_call_leaves_pytorch_its_number_of_threads():
    # else the order of every later sum would change, and a resumed run its last bits
    script = (
        "import torch; from lib.gravity.compiled import weigh\n"
        "one, row = torch.ones(1, 1, 4), torch.ones(1, 4)\n"
        "for count in (1, 2):\n"
        "    torch.set_num_threads(count)\n"
        "    weigh(one.clone(), row, torch.ones(1), one[0, :, :1], 4, False, one[0])\n"
        "    print(torch.get_num_threads())"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True,
                          capture_output=True, text=True)
    assert done.stdout.split() == ["1", "2"]


def test_float32_on_a_cpu_takes_the_compiled_pass():
    cpu = torch.device("cpu")
    taken = [gravity_kernels.takes(kind, cpu)
             for kind in (torch.float32, torch.float64, torch.bfloat16)]
    assert taken == [True, False, False]


def test_no_shape_and_no_stride_is_compiled_for_anew():
    back(*block(2, 3, 0, 1.0), 1, True, torch.float32)
    kernels = [gravity_kernels._kernel(which) for which in (
        gravity_kernels._weigh_rows, gravity_kernels._weigh_rows_back)]
    for heads, queries, keys in ((1, 1, 1), (2, 1, 7), (3, 5, 1)):
        u = torch.rand(heads, queries, keys) + 1
        bias, p = torch.full((keys, heads), 0.5).mT, torch.ones(2 * heads)[::2]
        top, mass = torch.zeros(2, queries, heads).mT  # heads × queries, with strides
        weigh(u, bias, p, top, 2, False, mass)
        torch.testing.assert_close(mass, u.sum(-1))
    assert [len(kernel.signatures) for kernel in kernels] == [1, 1]
