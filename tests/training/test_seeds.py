"""A notebook's seed is checked before anything runs, in every notebook that has one."""

import re

import pytest

from lib.data import ROOT
from lib.page.profile import settings

NOTEBOOKS = sorted((ROOT / "notebooks").glob("[01]*.py"))
SIZES = {"steps": 1}


@pytest.mark.parametrize(("seed", "said"), [
    (10**20 - 1, "seed is 9{20}; use 0 or more, at most 4294967295"),
    (-1, "seed is -1; use 0 or more"),
])
def test_a_seed_that_no_generator_takes_is_one_sentence(seed, said):
    with pytest.raises(ValueError, match=said):
        settings("smoke", smoke=SIZES, book=SIZES, gpu=SIZES, device="cpu", seed=seed)


@pytest.mark.parametrize("file", NOTEBOOKS, ids=lambda file: file.stem)
def test_a_chapter_with_a_seed_hands_it_to_its_settings(file):
    text = file.read_text("utf-8")
    has = re.search(r"^seed = \d+ +#", text, re.MULTILINE) is not None
    call = re.search(r"^cfg = settings\((.*?)^# %%", text, re.MULTILINE | re.DOTALL)
    assert has == (call is not None and "seed=seed" in call[1])
