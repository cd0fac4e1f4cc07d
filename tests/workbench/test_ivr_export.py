"""The stage `export`: forms on disk, proved by real readers, and what it refuses."""

import json
import shutil
from pathlib import Path

import pytest
from runtimes import all_readers
from small_vocabulary import TEXTS, model_folder, options, put, run_all
from tokenizers import Tokenizer

from lib.commands import stage_command
from lib.tokens.forms import KEEPS
from lib.workbench.ivr.artifacts import TREE, StageError
from lib.workbench.ivr.pipeline import chosen, main, run

QUICK = {"share": 0.1, "least": 2, "general_mb": 0.0, "device": "cpu",
         "export_strings": 1000}


def made(folder: Path, **given):
    """Options of a pipeline that has run up to `remap`."""
    quick = options(folder, **{**QUICK, **given})
    model_folder(Path(quick.model))
    put(quick, "a.txt", "\n".join(TEXTS * 20))
    run_all(quick, "init", "remap")
    return quick


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    all_readers()
    quick = made(tmp_path_factory.mktemp("export"))
    return quick, run("export", quick)


def test_all_forms_of_both_tokenizers_are_there_and_proved(exported):
    quick, told = exported
    folder = quick.root / TREE.EXPORTED
    for name in ("distilled", "reassigned"):
        for form in KEEPS:
            assert (folder / name / form).exists()
    results = told["results"]
    assert results["export_strings"] == 1000 and results["export_readers"] == 12
    assert results["llama_pattern"] == "known"
    assert results["kept_same"] == results["kept_texts"] > 100
    story = (folder / "README.md").read_text("utf-8")
    for form, kept in KEEPS.items():
        assert f"- `{form}`: {kept}." in story
    assert "| reassigned | merges.gguf | llama.cpp | 1,000 | 0 |" in story
    assert run("export", quick)["kept"]


def test_the_merge_list_has_the_ids_of_the_reassigned_vocabulary(exported):
    quick, _ = exported
    unigram, merges = (Tokenizer.from_file(str(quick.root / place / "tokenizer.json"))
                       for place in (TREE.REMAPPED,
                                     f"{TREE.EXPORTED}/reassigned/merges"))
    assert unigram.get_vocab() == merges.get_vocab()
    model = json.loads(merges.to_str())["model"]
    assert model["type"] == "BPE" and model["merges"]


def test_with_steps_the_merges_make_the_new_pieces(exported, tmp_path):
    before = exported[1]["results"]
    after = run("export", made(tmp_path, merge_list=True))["results"]
    assert after["unmade"] < before["unmade"]
    assert after["merges_longer"] <= before["merges_longer"]


def test_export_is_no_part_of_all_and_waits_for_remap(tmp_path, capsys):
    assert "export" not in chosen("all") and chosen("export") == ("export",)
    with pytest.raises(StageError) as refused:
        chosen("distill..export")
    assert str(refused.value) == "export runs by itself; write export alone"
    assert main(["export", f"artifacts_dir={tmp_path}"]) == 1
    assert capsys.readouterr().err == (
        "export needs what init makes and its manifest is not there; run "
        f"{stage_command('init', str(tmp_path))} first\n")
    with pytest.raises(StageError, match="export_strings is 10; use 1000 or more"):
        options(tmp_path, export_strings=10)


def test_the_command_says_what_each_form_keeps(exported, capsys):
    quick, _ = exported
    shutil.rmtree(quick.root / TREE.EXPORTED)
    given = [f"{name}={getattr(quick, name)}" for name in (
        *QUICK, "artifacts_dir", "model", "corpus", "passes", "made_items")]
    assert main(["export", *given]) == 0
    said = capsys.readouterr()
    for form, kept in KEEPS.items():
        assert f"{form} keeps {kept}.\n" in said.err
    assert "  kept_same = " in said.out


def test_a_pre_tokenizer_that_llama_does_not_know_costs_that_form_alone(
        tmp_path, capsys):
    all_readers()
    quick = options(tmp_path, **QUICK)
    file = Path(quick.model) / "tokenizer.json"
    spec = json.loads(file.read_text("utf-8"))
    spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"\p{L}+|\s+|[^\p{L}\s]+"},
         "behavior": "Isolated", "invert": False},
        spec["pre_tokenizer"] | {"use_regex": False}]}
    file.write_text(json.dumps(spec), "utf-8")
    put(quick, "a.txt", "\n".join(TEXTS * 20))
    run_all(quick, "init", "remap")
    results = run("export", quick)["results"]
    sentence = ("llama.cpp has no name for its pre-tokenizer (Split, ByteLevel), so "
                "merges.gguf is not written; it knows those of GPT-2, SmolLM2, Qwen2 "
                "and 3, and Llama 3")
    assert results["llama_pattern"] == sentence and results["export_readers"] == 10
    assert sentence in capsys.readouterr().err
    folder = quick.root / TREE.EXPORTED
    assert not (folder / "reassigned/merges.gguf").exists()
    assert sentence in (folder / "README.md").read_text("utf-8")
