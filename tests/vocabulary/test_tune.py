"""Fine-tuning after a reassignment: which numbers move, how it resumes, the stage."""

import json
import os
import subprocess
import sys
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.pytorch_utils import Conv1D

from lib.vocabulary.bits_per_byte import start_token
from lib.vocabulary.rows import reassigned
from lib.vocabulary.tune import (
    Mixed,
    fine_tune,
    phases,
    windows,
)
from lib.workbench.ivr.artifacts import TREE, Room, StageError
from lib.workbench.ivr.fine_tuning import (
    align,
    other_texts,
    replay_texts,
    train,
)
from tests.vocabulary.test_rows import MODELS, TEXTS, gpt2, llama, room_with, tokenizers

ROOT = Path(__file__).resolve().parents[2]


def setting(context=8):
    original, remapped = tokenizers()
    ids = reassigned(original, remapped).ids
    rows = windows(remapped, TEXTS * 30, context)
    return ids, Mixed(rows, windows(original, TEXTS[2:3] * 60, context), 4, 0.25)


def plan(**given):
    plain = {"rows_steps": 3, "steps": 3, "batch": 4, "rows_rate": 0.05, "rate": 0.01}
    return phases(**plain | given)


# batches


def test_windows_are_the_documents_after_their_start_token():
    _, tokenizer = tokenizers()
    rows = windows(tokenizer, TEXTS * 5, 7)
    assert rows.shape[1] == 8
    start, flat = start_token(tokenizer), []
    for text in TEXTS * 5:
        flat += [start, *tokenizer.encode(text).ids]
    assert rows.flatten().tolist() == flat[:rows.numel()]
    assert len(flat) - rows.numel() < 8
    assert torch.equal(windows(tokenizer, TEXTS * 5, 7, most=2), rows[:2])
    with pytest.raises(ValueError, match="one row takes 101; pass more text"):
        windows(tokenizer, TEXTS[:1], 100)


def test_a_share_of_each_batch_is_replay_and_any_step_can_be_the_first():
    domain = torch.arange(40).view(20, 2)
    replay = 1000 + torch.arange(14).view(7, 2)
    batches = Mixed(domain, replay, batch=8, share=0.25, seed=3)
    taken = list(islice(batches, 6))
    assert all((batch >= 1000).any(1).sum() == 2 for batch in taken)
    assert all(len(batch) == 8 for batch in taken)
    assert torch.equal(next(batches.after(4)), taken[4])
    assert (next(iter(Mixed(domain, None, batch=8))) < 1000).all()
    with pytest.raises(ValueError, match=r"replay_share is 1.0; use a number from 0"):
        Mixed(domain, replay, 8, 1.0)


# phases


@pytest.mark.parametrize("kind", MODELS)
def test_in_the_first_phase_nothing_but_the_new_rows_moves(kind):
    ids, batches = setting()
    model = MODELS[kind]()
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    fine_tune(model, ids, batches, plan(steps=0))
    stay = [i for i in range(300) if i not in ids]
    tables = {id(model.get_input_embeddings().weight),
              id(model.get_output_embeddings().weight)}
    for name, parameter in model.named_parameters():
        if id(parameter) in tables:
            assert torch.equal(parameter[stay], before[name][stay])
            assert (parameter[ids] != before[name][ids]).any(1).all()
        else:
            assert torch.equal(parameter, before[name])
        assert parameter.requires_grad


@pytest.mark.parametrize("kind", MODELS)
def test_light_training_ends_in_the_model_and_matrices_move_by_a_low_rank(kind):
    ids, batches = setting()
    model, row = MODELS[kind](), next(iter(batches))
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    last = []

    def told(phase, step):
        if step.step == 4:
            last.append(step.model(input_ids=row).logits.detach())

    fine_tune(model, ids, batches, plan(rows_steps=0, steps=4, rank=2), on_step=told)
    assert torch.allclose(model(input_ids=row).logits, last[0], atol=1e-4)
    stay = [i for i in range(300) if i not in ids]
    tables = {id(model.get_input_embeddings().weight),
              id(model.get_output_embeddings().weight)}
    moved = set()
    for name, parameter in model.named_parameters():
        change = (parameter - before[name]).detach()
        if id(parameter) in tables:
            assert not change[stay].any()
            assert change[ids].any(1).all()
        elif change.any():
            assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2
            moved.add(name)
        assert parameter.requires_grad
    matrix = {f"{model.base_model_prefix}.{name}.weight"
              for name, module in model.base_model.named_modules()
              if isinstance(module, torch.nn.Linear | Conv1D)}
    assert moved == matrix


def test_rows_learn_as_many_times_as_fast_as_the_rest_as_they_are_told_to():
    ids, batches = setting()
    steps = {}
    for rate in (0.01, 0.03):
        model = llama()
        old = model.get_input_embeddings().weight[ids].detach().clone()
        fine_tune(model, ids, batches,
                  plan(rows_steps=0, steps=1, rank=2, rate=0.01, rows_rate=rate))
        new = model.get_input_embeddings().weight[ids].detach()
        steps[rate] = (new - old).abs().median().item()
    # the first step of Adam moves a number by the rate
    assert steps[0.01] == pytest.approx(0.01, rel=0.01)
    assert steps[0.03] == pytest.approx(0.03, rel=0.01)


def test_both_phases_together_learn_the_text():
    ids, batches = setting()
    model = gpt2()
    losses = []
    fine_tune(model, ids, batches, plan(rows_steps=10, steps=30),
              on_step=lambda phase, step: losses.append((phase, float(step.loss))))
    assert [phase for phase, _ in losses] == ["rows"] * 10 + ["all"] * 30
    assert losses[9][1] < losses[0][1]
    assert losses[-1][1] < 0.7 * losses[9][1]


def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers(tmp_path):
    ids, batches = setting()

    def run(model, folder=None, stop=None):
        def told(phase, step):
            if (phase, step.step) == stop:
                raise KeyboardInterrupt

        fine_tune(model, ids, batches, plan(), on_step=told, folder=folder, every=1)
        return model.state_dict()

    whole = run(llama())
    for stop in (("rows", 2), ("all", 2)):
        folder = tmp_path / stop[0]
        with pytest.raises(KeyboardInterrupt):
            run(llama(), folder, stop)
        again = run(llama(), folder)
        assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_accumulation_changes_no_loss():
    ids, batches = setting()
    told = {}
    for parts in (1, 4):
        history = fine_tune(llama(), ids, batches, plan(accumulation=parts))
        told[parts] = [history[name].train for name in ("rows", "all")]
    # sums in another order
    assert torch.allclose(torch.tensor(told[1]), torch.tensor(told[4]), atol=1e-5)


# several processes


FSDP = """
distributed_type: FSDP
fsdp_config:
  fsdp_version: 2
  fsdp_auto_wrap_policy: TRANSFORMER_BASED_WRAP
  fsdp_reshard_after_forward: true
num_machines: 1
mixed_precision: 'no'
"""


def twice(room, resumed, **given):
    """The stage; before it, where it is to be gone on with, a part of its steps."""
    if resumed:
        train(options(**given | {"train_steps": 2, "baseline": "none"}), room)
        room = Room(room.root, "train")
    return room, train(options(**given), room)


def launched(tmp_path, name, resumed, *words, **given):
    """`twice` by `accelerate launch` in two processes, in the folder of that name."""
    script = tmp_path / f"{name}.py"
    script.write_text(f"""
import sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.vocabulary.test_tune import *
import torch.distributed as dist
from lib.training import loop
def spied(model, shards):
    held.append(sum(getattr(p, "to_local", lambda p=p: p)().numel()
                    for p in shards.parameters()))
    gather_into(model, shards)
gather_into, held = loop.gather_into, []
loop.gather_into = spied
room = Room({str(tmp_path / name)!r}, "train")
room, results = twice(room, {resumed}, **{given!r})
if room.first:
    room.finish(results | {{"world": dist.get_world_size(), "held": held[-1:]}})
dist.destroy_process_group()
""", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "accelerate.commands.launch", *words,
         "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
         "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1",
         "--main_process_port", "0", str(script)],
        capture_output=True, text=True, check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-3000:]
    manifest = tmp_path / name / TREE.MANIFESTS / "train.json"
    return json.loads(manifest.read_text())["results"]


def losses_of(tmp_path, name):
    log = tmp_path / name / TREE.TRAINING / "training_log.jsonl"
    return [json.loads(line)["loss"] for line in log.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("kind, resumed, given", [
    ("plain", False, {}), ("FSDP", True, {}),
    ("FSDP", False, {"lora_rank": 2, "gradient_checkpointing": True})])
def test_two_processes_run_the_stage_to_the_losses_of_one(
    tmp_path, kind, resumed, given
):
    room = aligned(tmp_path / "one", gpt2())
    room, results = twice(room, resumed, **given)
    room.finish(results)
    aligned(tmp_path / "two", gpt2())
    (tmp_path / "fsdp.yaml").write_text(FSDP)
    words = {"plain": ["--multi_gpu"],
             "FSDP": ["--config_file", str(tmp_path / "fsdp.yaml")]}[kind]
    both = launched(tmp_path, "two", resumed, *words, **given)
    assert both["world"] == 2
    size = sum(p.numel() for p in gpt2().parameters())
    assert [part < 0.6 * size for part in both["held"]] == [True] * (kind == "FSDP")
    # float32, gradients summed in another order
    told = losses_of(tmp_path, "two")
    assert told == pytest.approx(losses_of(tmp_path, "one"), abs=1e-4)
    assert len(told) == 7
    for bits in ("bits_trained", "bits_untouched"):
        assert both[bits] == pytest.approx(results[bits], abs=1e-3)


# low rank, memory, and what the run is compared with


@pytest.mark.parametrize("kind", MODELS)
def test_the_stage_says_bits_before_after_and_of_the_untouched_model(tmp_path, kind):
    room = aligned(tmp_path, MODELS[kind]())
    results = train(options(baseline="text", lora_rank=2), room)
    assert {"bits_before", "bits_aligned", "bits_trained",
            "bits_untouched"} <= results.keys()
    assert results["bits_trained"] < results["bits_aligned"]
    assert results["bits_untouched"] < results["bits_before"]
    # the old tokens are more, so as much text takes more steps
    assert results["untouched_steps"] > results["steps"]
    assert "bits_untouched" not in train(options(baseline="none"), Room(
        tmp_path, "train", key="another"))


def test_values_computed_again_give_the_same_losses(tmp_path):
    told = {}
    for again in (False, True):
        room = aligned(tmp_path / str(again), llama())
        room.finish(train(options(gradient_checkpointing=again), room))
        told[again] = losses_of(tmp_path, str(again))
    assert told[True] == told[False]


def test_the_mixture_replays_kinds_by_turns_without_korean_or_what_is_measured():
    replay, measured = other_texts(400_000)
    assert not set(replay) & set(measured)
    first = "".join(replay[:8])
    assert "import " in first or "def " in first  # code is the largest kind
    korean = sum("\uac00" <= letter <= "\ud7a3" for letter in "".join(replay))
    assert korean < 0.01 * sum(map(len, replay))


# the stage


def options(**given):
    plain = {"init_strategy": "constituents", "align_documents": 20, "untie": False,
             "rows_steps": 3, "train_steps": 4, "batch_size": 4, "context": 8,
             "rows_learning_rate": 0.05, "learning_rate": 0.01, "seed": 0,
             "gradient_accumulation_steps": 1, "mixed_precision": "no",
             "lora_rank": 0, "gradient_checkpointing": False, "baseline": "tokens",
             "replay_corpus": "none", "replay_share": 0.25, "held_out_documents": 4,
             "save_every": 2, "device": "cpu"}
    return SimpleNamespace(**plain | given)


def aligned(tmp_path, model, **given):
    room = room_with(tmp_path, model)
    room.finish(align(options(**given), room))
    return Room(tmp_path, "train")


@pytest.mark.parametrize("kind, given", [("gpt2", {}), ("llama", {"untie": True})])
def test_the_stage_leaves_a_model_that_transformers_loads(tmp_path, kind, given):
    room = aligned(tmp_path, MODELS[kind](), **given)
    results = train(options(**given), room)
    room.finish(results)
    assert results["bits_trained"] < results["bits_aligned"]
    assert results["steps"] == 7
    folder = tmp_path / TREE.TRAINING
    model = AutoModelForCausalLM.from_pretrained(folder)
    tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert tied == (kind == "gpt2")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    _, remapped = tokenizers()
    assert all(tokenizer(text).input_ids == remapped.encode(text).ids for text in TEXTS)
    ids = tokenizer("영화가 ", return_tensors="pt").input_ids
    text = tokenizer.decode(model.generate(ids, max_new_tokens=4, do_sample=False)[0])
    assert text.startswith("영화가")
    log = (folder / "training_log.jsonl").read_text().splitlines()
    assert [json.loads(line)["phase"] for line in log] == ["rows"] * 3 + ["all"] * 4
    assert not room.scratch.exists() or not any(room.scratch.iterdir())


def test_a_stage_goes_on_where_it_stopped_and_logs_every_step_once(tmp_path):
    room = aligned(tmp_path, llama())
    train(options(train_steps=2), room)  # what it leaves where nothing was finished
    log = room.scratch / "log.jsonl"
    assert len(log.read_text().split()) > 5
    log.write_text(log.read_text() + '\n{"phase": "all", "st')  # cut off in a line
    first = log.read_text()
    again = Room(tmp_path, "train")
    again.finish(train(options(), again))
    kept = (tmp_path / TREE.TRAINING / "training_log.jsonl").read_text().splitlines()
    lines = [json.loads(line) for line in kept]
    assert [line["step"] for line in lines] == [1, 2, 3, 1, 2, 3, 4]
    assert all(json.dumps(line) in first for line in lines[:5])  # not made again


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no "
                    "processes; run it on Linux or macOS")
def test_a_killed_run_that_goes_on_has_logged_from_the_first_step_on(tmp_path):
    script = f"""
import json, shutil, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.vocabulary.test_tune import *
from kills import killed
start = Path({str(tmp_path)!r}) / "start"
def work(root):
    room = Room(root, "train")
    room.finish(train(options(save_every=1), room))
def log(root):
    return (root / TREE.TRAINING / "training_log.jsonl").read_text()
aligned(start, llama())
whole = start.with_name("whole")
shutil.copytree(start, whole)
changes, told = killed(lambda: work(whole), whole, -1), []
for part in (0.3, 0.8):
    root = start.with_name(str(part))
    shutil.copytree(start, root)
    killed(lambda: work(root), root, int(part * changes))
    kept = sum(1 for _ in root.rglob("checkpoint.json"))
    killed(lambda: work(root), root, -1)
    told.append([kept > 0, log(root) == log(whole), len(log(root).splitlines())])
print("told", json.dumps(told))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True,
                          text=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout.split("told ")[1]) == [[True, True, 7]] * 2


def test_a_training_that_diverges_ends_in_a_sentence(tmp_path):
    room = aligned(tmp_path, llama())
    with pytest.raises(StageError, match=r"diverged: at step \d of the phase all the "
                       r"(loss|norm of the gradients) is (nan|inf); lower rows_lear"):
        train(options(learning_rate=1e30), room)
    assert not any((tmp_path / TREE.SCRATCH).glob("*"))
    assert not (tmp_path / TREE.TRAINING).exists()


@pytest.mark.parametrize("value", [float("nan"), torch.tensor(float("inf"))])
def test_a_result_that_is_no_number_leaves_no_manifest(tmp_path, value):
    with pytest.raises(StageError, match=r"train got bits = (nan|inf), which"):
        Room(tmp_path, "train").finish({"steps": 3, "bits": value})
    assert not (tmp_path / TREE.MANIFESTS).exists()


@pytest.mark.parametrize(
    "given, sentence",
    [
        ({"rows_steps": 0, "train_steps": 0}, "are both 0; give at least one"),
        ({"replay_share": 1.5}, "replay_share is 1.5; use a number from 0"),
        ({"replay_corpus": "nothing.txt"}, "'nothing.txt' cannot be read"),
        ({"mixed_precision": "half"}, "precision 'half' is not known"),
        ({"context": 9000}, "one row takes 9001; pass more text"),
    ],
)
def test_the_stage_refuses_in_one_sentence_and_writes_nothing(
    tmp_path, given, sentence
):
    room = aligned(tmp_path, llama())
    with pytest.raises(ValueError, match=sentence):
        train(options(**given), room)
    assert not (tmp_path / TREE.TRAINING).exists()


def test_replay_is_paragraphs_of_a_file(tmp_path):
    file = tmp_path / "other.txt"
    long = "a paragraph that is long enough to be worth a row of a batch"
    file.write_text(f"{long}\nshort\n\n  {long}  \n", encoding="utf-8")
    assert replay_texts(str(file)) == [long, long]
