"""Which form `auto` takes, by kernel, cutoff, device and what is asked of it."""

import pytest
import torch

from lib.gravity import fast
from lib.gravity.attention import CUTOFFS, KERNELS, Pull
from lib.gravity.forms import FORMS, automatic, expect_form, forms_of


@pytest.mark.parametrize("device", ["cpu", "cuda", "mps"])
@pytest.mark.parametrize("cutoff", CUTOFFS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_what_auto_takes_can_compute_it(kernel, cutoff, device):
    for wide in (False, True):
        for repeatable in (False, True):
            for growing in (False, True):
                taken = automatic(kernel, cutoff, device, wide, repeatable, growing)
                assert taken in forms_of(kernel, cutoff)
                expect_form(taken, kernel, cutoff)


def test_within_a_radius_a_cpu_takes_lists_where_they_can_do_what_is_asked():
    assert automatic("newton", "soft") == automatic("gaussian", "hard") == "near"
    assert automatic("newton", "soft", wide=True) == "chunked"
    assert automatic("newton", "soft", growing=True) == "chunked"
    assert automatic("potential", "soft") == "chunked"


def test_on_cuda_newton_takes_flex_attention_where_it_may():
    assert automatic("newton", "none", "cuda") == "flex"
    assert automatic("newton", "none", "cuda", wide=True) == "fused"
    assert automatic("newton", "none", "cuda", repeatable=True) == "fused"
    assert automatic("newton", "none", "cpu") == "fused"
    assert automatic("newton", "none", "mps") == "fused"
    assert automatic("newton", "compact", "cuda") == "chunked"
    assert automatic("gaussian", "none", "cuda") == "sdpa"


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("kind", [torch.float32, torch.float64])
def test_auto_asks_for_the_device_and_numbers_that_came(monkeypatch, kind, strict):
    asked = []

    def note(*given):
        asked.append(given)
        return "reference"

    monkeypatch.setattr(fast, "automatic", note)
    monkeypatch.setattr(
        torch, "are_deterministic_algorithms_enabled", lambda: strict)
    one = torch.ones(1, 1, 1, dtype=kind)
    fast.fast_attend(one[None], one[0], one[None], Pull("newton", one, one))
    assert asked == [("newton", "none", "cpu", kind == torch.float64, strict, False)]


def test_every_form_is_that_of_some_kernel():
    known = {form for kernel in KERNELS for cutoff in CUTOFFS
             for form in forms_of(kernel, cutoff)}
    assert {"auto", *known} == set(FORMS)
