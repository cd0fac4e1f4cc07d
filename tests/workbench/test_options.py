"""Options of the three systems: no value of another kind ever stands in one."""

import math
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from book.parameters import parameters_of
from lib.gravity import attention as gravity
from lib.gravity import layers as gravity_layers
from lib.gravity import texts
from lib.gravity import tokenizers as text_tokenizers
from lib.gravity.forms import FORMS
from lib.options import given_by, kinds
from lib.training import loop as train
from lib.training.schedules import SCHEDULES
from lib.workbench.ivr.artifacts import StageError
from lib.workbench.ivr.options import Options as Vocabulary
from lib.workbench.ivr.options import settled
from lib.workbench.ngt import options as ngt_options
from lib.workbench.transformer import options as bench

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(("option", "value", "said"), [
    ("no_radius_cutoff", "no", "is 'no'; give True, False or None"),
    ("no_radius_cutoff", 0, "is 0; give True, False or None"),
    ("use_soft_cutoff", "False", "is 'False'; give True or False"),
    ("use_soft_cutoff", None, "is None; give True or False"),
    ("run_name", 1, "is 1; give a text or None"),
    ("tokenizer_path", 500, "is 500; give a text or None"),
    ("data_path", 5, "is 5; give a text or None"),
    ("data_path", "", "is ''; give a text or None"),
    ("coord_dim", "abc", "is 'abc'; give a whole number or None"),
    ("vis_interval", "foo", "is 'foo'; give a whole number or None"),
    ("warmup_steps", "abc", "is 'abc'; give a whole number"),
    ("warmup_steps", None, "is None; give a whole number"),
    ("max_steps", True, "is True; give a whole number"),
    ("max_steps", 5.0, "is 5.0; give a whole number"),
    ("max_steps", 10**30, "give a number of less than 64 bits"),
    ("seed", 10**20, "use 0 or more, at most 4294967295"),
    ("learning_rate", math.nan, "is nan; give a finite number"),
    ("dropout", math.nan, "is nan; give a finite number"),
    ("grad_clip", math.inf, "is inf; give a finite number"),
    ("learning_rate", 2**64, "is inf; give a finite number"),
    ("learning_rate", "1e-3", "is '1e-3'; give a number"),
    ("sign", True, "True is not known; use one of 1, -1"),
    ("cutoff", "no", "'no' is not known; use one of none, hard, soft, compact"),
])
def test_a_value_of_another_kind_is_refused_in_one_sentence(option, value, said):
    with pytest.raises(ValueError) as caught:
        ngt_options.Options(**{option: value})
    assert str(caught.value).startswith(f"{option} ")
    assert said in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("options", [ngt_options.Options, bench.Options, Vocabulary])
def test_every_option_declares_its_kind_and_refuses_every_other(options):
    other = {str: 1, int: "x", float: "x", bool: "no"}
    for name, kind in kinds(options).items():
        default = getattr(options(), name)
        assert default is None if default is None else type(default) is kind.type
        assert (default is None) <= kind.optional
        with pytest.raises((ValueError, StageError), match=f"^{name} "):
            if options is Vocabulary:
                settled({name: other[kind.type]})
            else:
                options(**{name: other[kind.type]})


@pytest.mark.parametrize(("number", "options", "more"), [
    ("90", bench.Options, {}), ("91", ngt_options.Options, {"prompt": None}),
    ("92", Vocabulary, {"stages": "all"}),
])
def test_the_parameters_of_a_workbench_are_its_options(number, options, more):
    """By name, default, kind and in every word; in the order of the dataclass."""
    [notebook] = ROOT.glob(f"notebooks/{number}_*.py")
    page = parameters_of(notebook)
    assert page.pop("profile").default is None
    assert {name: page.pop(name).default for name in more} == more
    plain = options()
    assert [*page] == [*kinds(options)]
    for name, kind in kinds(options).items():
        parameter = page[name]
        assert parameter.default == getattr(plain, name)
        assert parameter.kind == kind.type.__name__
        assert parameter.meaning == kind.comment


def test_the_home_of_the_reader_is_a_place_like_any_other(monkeypatch, tmp_path):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert bench.Options(output_dir="~/a").folder == tmp_path / "a"
    assert ngt_options.Options(checkpoint_path="~/a").folder == tmp_path / "a"
    assert Vocabulary(artifacts_dir="~/a").root == tmp_path / "a"
    (tmp_path / "text.txt").write_text("to be or not to be " * 99, encoding="utf-8")
    assert texts.load_text("tinyshakespeare", "~/text.txt").name == "text.txt"


def test_a_whole_number_is_a_number():
    rate = ngt_options.Options(learning_rate=1).learning_rate
    assert rate == 1.0 and type(rate) is float


def test_words_of_a_command_are_read_by_the_kind_of_the_option():
    words = ["run_name=1", "tokenizer_path=None", "learning_rate=1e-4", "resume=True"]
    assert given_by(words, ngt_options.Options) == {
        "run_name": "1", "tokenizer_path": None, "learning_rate": 1e-4, "resume": True}


def test_the_word_of_the_vocabulary_for_the_plays_is_taken_as_it_is_meant():
    assert ngt_options.Options(dataset="shakespeare").dataset == "tinyshakespeare"


def test_the_choices_are_those_of_the_modules_that_know_them():
    known = {"kernel": gravity.KERNELS, "cutoff": gravity.CUTOFFS, "form": FORMS,
             "coordinates": gravity_layers.COORDINATES,
             "tokenizer": text_tokenizers.KINDS, "dataset": texts.DATASETS}
    ngt = kinds(ngt_options.Options)
    assert {name: ngt[name].choices for name in known} == known
    assert kinds(bench.Options)["schedule"].choices == SCHEDULES
    for precision in kinds(bench.Options)["mixed_precision"].choices:
        assert train.Recipe(precision=precision).precision == precision
    assert get_args(bench.Version) == ("both", *bench.TRAINED, "analysis", "test")


def test_options_are_checked_without_torch():
    script = """
import sys
from lib.workbench.ivr import options as ivr_options
from lib.workbench.ngt import options as ngt_options
from lib.workbench.transformer import options as workbench_options
for options in (ivr_options, ngt_options, workbench_options):
    options.settled(vars(options.Options()), "book")
    options.settled(vars(options.Options()), "smoke")
assert "torch" not in sys.modules and "transformers" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_runs_of_other_options_have_boards_of_their_own():
    def board(**options):
        return ngt_options.Options(**options).board.name

    plain = board()
    others = [board(num_layers=2), board(learning_rate=1e-3), board(dropout=0.0),
              board(tokenizer="bpe"), board(data_path="a/t.txt"),
              board(data_path="b/t.txt"), board(seed=1), board(kernel="newton")]
    assert len({plain, *others}) == 9
    # what a run may change when it goes on leaves the name as it is
    names = [field.name for field in fields(ngt_options.Options)]
    assert set(ngt_options.FREE) <= set(names)
    assert board(max_steps=9, eval_interval=3, device="cpu") == plain
    assert board(run_name="mine", num_layers=2) == "mine"


def test_a_command_without_an_account_of_wandb_is_refused(tmp_path, monkeypatch):
    from lib.training.wandb_log import expect_wandb

    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_BASE_URL", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    package = tmp_path / "wandb"
    package.mkdir()
    (package / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="nobody is logged in"):
        expect_wandb()
    (tmp_path / ".netrc").write_text("machine api.wandb.ai login user password key\n")
    expect_wandb()
    monkeypatch.setenv("WANDB_MODE", "offline")
    (tmp_path / ".netrc").unlink()
    expect_wandb()
