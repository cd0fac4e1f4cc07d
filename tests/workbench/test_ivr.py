"""The vocabulary pipeline as a whole: its order, its options, kills in each stage."""

import json
import os
import random
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from kills import killed
from small_vocabulary import TEXTS, model_folder, options, put, run_all

from lib.commands import stage_command
from lib.workbench.ivr.artifacts import TREE, StageError, manifest_of, standing
from lib.workbench.ivr.options import SMOKE
from lib.workbench.ivr.pipeline import (
    NAMES,
    STAGES,
    STEPS,
    Options,
    chosen,
    main,
    parsed,
    run,
)

ROOT = Path(__file__).parents[2]
QUICK = {"share": 0.05, "least": 2, "general_mb": 0.0, "rows_steps": 2,
         "train_steps": 3, "batch_size": 2, "context": 16, "held_out_documents": 2,
         "replay_corpus": "none", "save_every": 1, "device": "cpu"}


def quick(folder: Path, **given) -> Options:
    """Options with which all seven stages take seconds, and a corpus for them."""
    made = options(folder, **{**QUICK, **given})
    model_folder(Path(made.model), weights=True)
    put(made, "a.txt", "\n".join(TEXTS * 20))
    return made


# ---- order and options


@pytest.mark.parametrize("stage, missing", [
    ("analyze", "init"), ("distill", "init"), ("select", "init"), ("remap", "init"),
    ("align", "init"), ("train", "init"),
])
def test_nothing_starts_before_init(tmp_path, stage, missing):
    with pytest.raises(StageError) as refused:
        run(stage, Options(artifacts_dir=str(tmp_path)))
    assert str(refused.value) == (
        f"{stage} needs what {missing} makes and its manifest is not there; run "
        f"{stage_command(missing, str(tmp_path))} first"
    )


def test_remap_does_not_start_before_distill_and_each_waits_for_the_one_before(
    tmp_path
):
    made = quick(tmp_path)
    for stage, later in (("init", STAGES[1:]), ("analyze", STAGES[2:]),
                         ("distill", STAGES[3:])):
        for one in later:
            with pytest.raises(StageError) as refused:
                run(one, made)
            assert str(refused.value) == (
                f"{one} needs what {stage} makes and its manifest is not there; run "
                f"{stage_command(stage, made.artifacts_dir)} first"
            )
        run(stage, made)
    with pytest.raises(StageError, match=r"remap needs what select makes"):
        run("remap", made)


def test_smoke_lowers_options_that_there_are():
    assert set(SMOKE) < set(NAMES)


def test_every_option_that_decides_a_result_belongs_to_a_stage():
    decide = {name for step in STEPS.values() for name in step.options}
    assert set(NAMES) - decide == {"artifacts_dir", "force", "normalize_force",
                                   "engine", "workers", "save_every", "device"}


@pytest.mark.parametrize("word, meant", [
    ("model=openai-community/gpt2", "model=gpt2"),
    ("model=HuggingFaceTB/SmolLM2-135M-Instruct", "model=smollm2"),
    ("corpus=tinyshakespeare", "corpus=shakespeare"),
    ("replay_corpus=shakespeare", "replay_corpus=tinyshakespeare"),
    ("model=someone/else", "model=someone/else"),
])
def test_another_name_of_a_model_or_a_text_is_taken_as_what_it_means(word, meant):
    assert parsed([word]) == parsed([meant])
    name, _, value = meant.partition("=")
    assert getattr(parsed([word]), name) == value


def test_help_names_every_stage_and_every_option(capsys):
    for words in (["--help"], ["-h"], []):
        assert main(words) == 0
        lines = capsys.readouterr().out.splitlines()
        for name in (*STAGES, *NAMES):
            assert any(line.startswith(f"  {name}") for line in lines)


def test_a_model_without_weights_ends_after_init_where_a_later_stage_needs_them(
        tmp_path, capsys):
    made = quick(tmp_path)
    for file in Path(made.model).glob("*.safetensors"):
        file.unlink()
    with pytest.raises(StageError, match="and align and train need them"):
        run_all(made)
    assert "align and train do not" in capsys.readouterr().err
    assert manifest_of(made.root, "init") and not manifest_of(made.root, "analyze")
    assert list(run_all(made, "init", "analyze")) == ["init", "analyze"]


@pytest.mark.parametrize("words, sentence", [
    (["pases=3"], "(nearest: passes)"),
    (["pases=3"], "'pases=3' is no option; write name=value, with one of"),
    (["passes"], "'passes' is no option"),
    (["passes=many"], "passes is 'many'; give a whole number"),
    (["share=yes"], "share is 'yes'; give a number"),
    (["force=1"], "force is 1; give True or False"),
    (["corpus_documents=x"], "corpus_documents is 'x'; give a whole number or None"),
    (["corpus_documents=0"], "corpus_documents is 0; use 1 or more"),
    (["passes=0"], "passes is 0; use 1 or more"),
    (["made_items=-1"], "made_items is -1; use 0 or more"),
    (["general_mb=-1"], "general_mb is -1.0; use 0 or more"),
    (["align_documents=-3"], "align_documents is -3; use 1 or more"),
    (["held_out_documents=0"], "held_out_documents is 0; use 1 or more"),
    (["save_every=0"], "save_every is 0; use 1 or more"),
    (["share=2"], "share is 2.0; use more than 0, at most 1"),
    (["share=float('nan')"], "share is "),
    (["learning_rate=-1"], "learning_rate is -1.0; use more than 0, at most 1"),
    (["rows_learning_rate=1e6"], "rows_learning_rate is 1000000.0; use more than 0"),
    (["mixed_precision=fp8"],
     "mixed_precision 'fp8' is not known; use one of no, bf16, fp16"),
    (["device=tpu"], "device 'tpu' is not known; use one of auto, cpu, cuda, mps"),
    (["batch_size=2", "gradient_accumulation_steps=3"],
     "gradient_accumulation_steps is 3 and batch_size 2: a batch cannot be cut into"),
])
def test_an_option_that_cannot_be_meant_is_named(words, sentence):
    with pytest.raises(StageError) as refused:
        parsed(words)
    assert sentence in str(refused.value)


def test_stages_are_named_one_by_one_or_from_one_to_another():
    assert chosen("all") == STAGES
    assert chosen("remap") == ("remap",)
    assert chosen("init..distill") == ("init", "analyze", "distill")
    with pytest.raises(StageError, match="stage 'vocab' is not known; use one of init"):
        chosen("vocab")
    with pytest.raises(StageError, match=r"after init; write init\.\.train"):
        chosen("train..init")


def test_the_command_line_says_one_sentence_and_ends_with_1(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "lib.workbench.ivr", "remap",
         f"artifacts_dir={tmp_path}"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "remap needs what init makes" in done.stderr


# ---- all seven, and kills


def attempts(folder: Path, seed: int) -> list[dict]:
    """Kill each stage at two moments and run again; what was kept and what came.

    The second moment may be the first one again where a stage changes few files.
    """
    made, chance, told = quick(folder), random.Random(seed), []
    for n, stage in enumerate(STAGES):
        start, root = folder / "start", folder / "killed"
        shutil.copytree(made.root, start)
        changes = killed(lambda s=stage: run(s, made), made.root, -1)
        whole = manifest_of(made.root, stage)
        last = changes - 2 * len(whole["outputs"])  # about where it publishes
        for moment in (chance.randint(1, last), chance.randint(last, changes - 1)):
            shutil.copytree(start, root)
            options = replace(made, artifacts_dir=str(root))
            killed(lambda s=stage, o=options: run(s, o), root, moment)
            early = manifest_of(root, stage)  # only once everything has its name
            good = not early or not standing(STEPS[stage], STEPS, options, root)
            killed(lambda s=stage, o=options: run_all(o, last=s), root, -1)
            left = manifest_of(root, stage)
            told.append({
                "killed": f"{stage}, at {moment} of {changes}",
                "whole": good,
                "kept": [manifest_of(root, s) == manifest_of(start, s)
                         for s in STAGES[:n]],
                "same": outputs(left, root) == outputs(whole, made.root),
                "left": [str(p) for p in root.rglob(".*.part")]
                + [str(p) for p in (root / TREE.SCRATCH).glob("*")],
            })
            shutil.rmtree(root)
        shutil.rmtree(start)
    return told


def outputs(manifest, root):
    """What must come out the same: all but the log, which a resumed run begins late,
    and the comments of the rules, which name the folder of the run."""
    same = {name: sha256 for name, sha256 in manifest["outputs"].items()
            if not name.endswith("training_log.jsonl")}
    for name in same:
        if name.endswith("remap_rules.yaml"):
            lines = (root / name).read_text(encoding="utf-8").splitlines()
            same[name] = [line for line in lines if not line.startswith("#")]
    return same


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no "
                    "processes; run it on Linux or macOS")
def test_killed_in_any_stage_the_next_run_keeps_what_was_done_and_ends_the_same(
    tmp_path
):
    script = f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from pathlib import Path
from tests.workbench.test_ivr import attempts
import lib.workbench.ivr.counts, lib.vocabulary.select, lib.vocabulary.reassign
import lib.vocabulary.rows, lib.vocabulary.tune, lib.tokens.distill, pyarrow.parquet
print("told", json.dumps(attempts(Path({str(tmp_path)!r}), seed=3)))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.split("told ")[1])
    assert len(told) == 2 * len(STAGES)
    for seen in told:
        name = seen["killed"]
        assert seen["whole"], name
        assert all(seen["kept"]), name
        assert seen["same"], name
        assert seen["left"] == [], name


@pytest.mark.slow
def test_what_train_left_loads_as_a_model_with_its_tokenizer(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    made = quick(tmp_path)
    told = run_all(made)
    assert list(told) == list(STAGES)
    folder = made.root / TREE.TRAINING
    model = AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(TEXTS[2], return_tensors="pt").input_ids
    original = AutoTokenizer.from_pretrained(made.root / TREE.ORIGINAL)
    assert ids.shape[1] < len(original(TEXTS[2]).input_ids)
    assert model(ids).logits.shape == (*ids.shape, 300)
