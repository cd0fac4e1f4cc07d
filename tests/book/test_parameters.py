"""Parameters of a notebook: their kinds, what a value must be, what a message says."""

import ast
import json
import subprocess
import sys

import pytest

from book import batch, command
from book.batch import assign
from book.files import ROOT
from book.jobs import catalogue
from book.parameters import (
    UNKNOWN,
    Parameter,
    UsageError,
    comments_of,
    fitting,
    parameters_of,
)
from book.sync import sync_one
from lib.options import kinds
from lib.page.profile import expect
from lib.vocabulary.rows import STRATEGIES
from lib.workbench.ivr import pipeline as vocabulary

NOTEBOOKS = catalogue().chapters()


def test_values_are_read_as_the_kind_of_the_parameter():
    given = [
        ("str", "x", "1", "1"), ("str", "x", "None", "None"),
        ("str", None, "500", "500"), ("str", None, "None", None),
        ("float", 0.5, "1", 1.0), ("int", 3, "7", 7),
        ("bool", False, "True", True), ("bool", None, "False", False),
        ("", UNKNOWN, "a b", "a b"), ("dict", {}, "{a: 1}", {"a": 1}),
        ("list", (0,), "[1]", [1]), ("list[float]", None, "[1, 0.5]", [1.0, 0.5]),
        ("float", 0.1, "-1e-3", -0.001), ("str", "x", "-inf", "-inf"),
    ]
    for kind, default, text, expected in given:
        value = fitting(Parameter("p", default, kind), text, "nb")
        assert (value, type(value)) == (expected, type(expected))


@pytest.mark.parametrize(("kind", "default", "text", "wanted"), [
    ("bool", None, "no", "True, False or None"),
    ("int", None, "abc", "a whole number or None"),
    ("int", 3, "True", "a whole number"),
    ("float", 0.5, "nan", "a number"),
    ("float", 0.5, "-inf", "a number"),
    ("float", 0.5, "9" * 400, "a number"),
    ("", UNKNOWN, "nan", "a value that JSON can hold"),
    ("", UNKNOWN, "[1, .nan]", "a value that JSON can hold"),
    ("dict", {}, "{1: 2}", "a table such as {a: 1}"),  # JSON would make it {"1": 2}
    ("list[int]", None, "[1, x]", "a list of whole numbers such as [1, 2] or None"),
])
def test_a_value_of_another_kind_or_that_json_has_not_is_one_sentence(
    kind, default, text, wanted
):
    with pytest.raises(UsageError) as refusal:
        fitting(Parameter("p", default, kind), text, "nb")
    said = str(refusal.value)
    assert said.startswith(f"parameter p of nb is {wanted}")
    assert said.endswith(" is not; give one") and len(said) < 200


def test_a_number_beyond_the_limits_that_its_comment_names_is_refused():
    layer = Parameter("layer", 16, "int", "0 to 29: the layer that is recomputed")
    assert [fitting(layer, text, "02") for text in ("0", "29")] == [0, 29]
    for text in ("-1", "30"):
        with pytest.raises(UsageError, match="a whole number from 0 to 29"):
            fitting(layer, text, "02")


def test_a_seed_is_one_that_every_generator_takes():
    seed = Parameter("seed", 0, "int", "of the first weights")
    assert fitting(seed, "4294967295", "90") == 2**32 - 1
    for text in ("-1", "4294967296", "9" * 20):
        with pytest.raises(UsageError, match="a whole number from 0 to 4294967295"):
            fitting(seed, text, "90")


def test_parameters_are_the_assignments_of_the_tagged_cell_with_their_comments(
    tmp_path
):
    file = tmp_path / "01_x.py"
    file.write_text(
        '# %%\nother = 1\n\n# %% tags=["parameters"]\na = -1  # a # sign\n'
        'b: str = "x # no comment"\nimport os\nc = os.sep\n'
        "d: list[int] = None\ne: float | None = None\nf: Path = None\n"
        "g = (\n    1\n)  # after it\n"
    )
    found = parameters_of(file)
    assert {name: (p.default, p.kind, p.meaning) for name, p in found.items()} == {
        "a": (-1, "int", "a # sign"), "b": ("x # no comment", "str", ""),
        "c": (UNKNOWN, "", ""), "d": (None, "list[int]", ""),
        "e": (None, "float", ""), "f": (None, "", ""), "g": (1, "int", "after it"),
    }
    sync_one(file)
    assert parameters_of(file.with_suffix(".ipynb")) == found


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_every_parameter_of_the_book_has_a_kind_and_says_what_it_means(notebook):
    for name, parameter in parameters_of(notebook).items():
        assert parameter.kind, name
        assert len(parameter.meaning) > 5, name
        known = {None, *parameter.choices} if parameter.choices else {parameter.default}
        assert parameter.default in known, name


def test_papermill_knows_the_same_parameters(tmp_path):
    from papermill.inspection import _infer_parameters
    from papermill.iorw import load_notebook_node

    for notebook in NOTEBOOKS:
        node = load_notebook_node(str(notebook.with_suffix(".ipynb")))
        theirs = {p.name: p.help for p in _infer_parameters(node)}
        ours = parameters_of(notebook)
        assert list(theirs) == list(ours), notebook.stem
        assert list(theirs.values()) == [p.meaning for p in ours.values()]


@pytest.mark.parametrize(
    "notebook", [path for path in NOTEBOOKS if path.stem < "9"],
    ids=lambda path: path.stem)
def test_a_chapter_refuses_what_papermill_alone_takes_for_another_kind(notebook):
    checked = {}  # by `expect`; `settings` does it for what a profile decides
    for node in ast.walk(ast.parse(notebook.with_suffix(".py").read_text("utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "expect":
            kind = ast.unparse(node.args[0])
            checked |= {word.arg: kind for word in node.keywords}
    for name, parameter in parameters_of(notebook).items():
        if name in ("profile", "device"):
            continue
        none = " | None" if parameter.default is None else ""
        if not none or name in checked:
            assert checked[name] == parameter.kind + none, name


def test_a_number_where_a_chapter_needs_text_is_one_sentence():
    with pytest.raises(ValueError, match="sentence is 20260305, a number, and must be"):
        expect(str, sentence=20260305)
    for kind, value in ((int, True), (int, 2.5), (float, float("nan")), (int, None),
                        (bool | None, "no"), (float, "abc"), (str | None, 5)):
        with pytest.raises(ValueError, match="x is "):
            expect(kind, x=value)
    expect(float | None, a=None, b=1, c=0.5)


@pytest.mark.parametrize("value", ["-1e-3", "-inf", "-1_000", "-hello", "--", "--out"])
def test_a_value_may_begin_with_a_minus(value):
    options = command.parse(["02", "-p", "x", value, "--jobs", "2"])
    assert options.parameter == [["x", value]]
    assert (options.what, options.jobs, options.others) == ("02", "2", [])


@pytest.mark.parametrize("words", [
    ["02", "-p", "sentence", "caf\udce9"], ["02", "-p", "\udcff", "1"], ["\udcff"],
    ["02", "--out", "\udcff"],
])
def test_a_word_that_is_not_utf_8_is_one_sentence(words):
    with pytest.raises(UsageError, match="is not text in UTF-8 from character") as said:
        command.parse(words)
    str(said.value).encode()  # it can be printed


@pytest.mark.parametrize(("words", "said"), [
    (["--version", "both"], "a parameter of the notebook; write -p version both"),
    (["--use-wandb"], "unrecognized arguments: --use-wandb; see"),
    (["--hidden-size=64"], "write -p hidden_size 64"),
    (["--wandb", "--epochs", "2"], "write -p wandb True"),
])
def test_a_parameter_written_as_an_option_is_answered_with_the_way_to_write_it(
    words, said
):
    with pytest.raises(UsageError, match=said):
        batch.plan(command.parse(["transformer", *words]), catalogue())


@pytest.mark.parametrize(("word", "said"), [
    ("distill-tokenizer", "did you mean 'distill'"), ("fine-tune", "mean 'train'"),
    ("transformers", "mean 'transformer'"), ("reassign", "did you mean 'remap'"),
])
def test_the_name_another_program_gives_a_group_is_answered_with_ours(word, said):
    with pytest.raises(UsageError, match=said):
        catalogue().find(word)


def test_a_group_is_found_however_its_words_are_joined():
    known = catalogue()
    for word in ("WikiText-103", "wikitext_103"):
        assert known.find(word) == known.members("wikitext103")


@pytest.mark.parametrize(("group", "name", "ours"), [
    ("ivr", "model_name", "model"), ("ivr", "lr", "learning_rate"),
    ("ngt", "n_layer", "num_layers"), ("transformer", "hidden_dim", "hidden_size"),
    ("ngt", "epochs", "max_steps"), ("05", "max_steps", "steps"),
])
def test_the_name_another_program_gives_a_parameter_is_answered_with_ours(
    group, name, ours
):
    known = catalogue()
    with pytest.raises(UsageError, match=f"did you mean '{ours}'"):
        assign(known.find(group), [(name, "1")], known)


def test_hyphens_in_the_name_of_a_parameter_are_taken_as_underscores():
    known = catalogue()
    (path,) = known.find("ngt")
    assert assign([path], [("max-steps", "9")], known) == {path: {"max_steps": 9}}


def test_aliases_lead_to_names_that_exist_and_are_no_name_of_their_own_notebook():
    known = catalogue()
    names = {n for path in NOTEBOOKS for n in parameters_of(path)} | set(known.groups)
    for word, ours in known.aliases.items():
        assert set(ours) <= names, word


REFUSES = """\
import sys
from book import batch
code = batch.main(sys.argv[1:])
print(code, sorted({"torch", "papermill", "nbformat"} & set(sys.modules)))
"""


@pytest.mark.slow
@pytest.mark.parametrize("words", [
    *([number, "-p", "learning_rate", "-1"] for number in catalogue().checks),
    ["ivr", "-p", "mixed_precision", "fp99"], ["ivr", "-p", "stages", "foo"],
    ["align", "-p", "init_strategy", "best"],
    ["02", "-p", "layer", "77"], ["05", "-p", "schedule", "linear"],
], ids=" ".join)
def test_a_value_that_a_table_refuses_is_refused_before_anything_heavy_is_imported(
    words
):
    done = subprocess.run([sys.executable, "-c", REFUSES, *words], cwd=ROOT, text=True,
                          capture_output=True, check=True, encoding="utf-8")
    assert done.stdout == "2 []\n"
    assert words[2] in done.stderr or words[3] in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_checks_take_what_the_groups_and_pages_of_the_book_give():
    known = catalogue()
    for number in known.checks:
        path = known.numbered(number)
        presets = [given for group, given in known.presets.items()
                   if known.members(group) == [path]]
        for given in ({}, known.page(path), *presets):
            for profile in known.profiles:
                batch.check(path, given, profile, known)


def test_the_ways_to_begin_rows_that_are_known_before_are_those_there_are():
    wanted = kinds(vocabulary.Options)["init_strategy"]
    assert wanted.choices == ("mean", "random", "zeros", "constituents",
                              "hidden_states")
    assert set(wanted.choices) == set(STRATEGIES)


def test_every_group_has_a_meaning_in_both_languages():
    known = catalogue()
    assert known.meanings.keys() == known.groups.keys()
    assert all(len(words) == 2 for words in known.meanings.values())


def test_the_help_of_run_names_every_group_and_option():
    text = command.parser(catalogue()).format_help()
    for word in (*catalogue().groups, "--list", "--out", "--force", "--profile", "-p"):
        assert word in text, word


def test_values_and_records_that_are_not_finite_leave_notebooks_that_are_json(
    monkeypatch
):
    from lib.page import record as results

    shown = []
    monkeypatch.setattr(results, "display", lambda data, raw: shown.append(data))
    results.record(loss=float("nan"), gap=float("-inf"), rate=0.5)
    recorded = json.loads(json.dumps(shown[0][results.RECORD_MIME], allow_nan=False))
    assert recorded == {
        "loss": {"value": None, "text": "nan"}, "gap": {"value": None, "text": "−inf"},
        "rate": {"value": 0.5, "text": "0.5"},
    }


def test_comments_are_those_of_python_not_signs_in_texts():
    assert comments_of('x = "# no"  # yes: #1\n') == {1: "yes: #1"}
