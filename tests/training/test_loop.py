"""The training loop: what it computes, that it repeats itself, that it goes on."""

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from lib.training import schedules
from lib.training.batches import Epochs
from lib.training.checkpoint import CheckpointError, describe, load, load_weights
from lib.training.loop import Recipe, Step, fit, learning_rate, token_loss
from lib.training.loop import batches as windows
from lib.training.out_of_memory import OutOfMemory
from lib.training.resume import Keep

ROOT = Path(__file__).parents[2]
PAD = 0
RECIPE = Recipe(steps=12, batch=8, learning_rate=1e-2, warmup=3, evaluations=4)


class Tagger(nn.Module):
    """Says of each token what follows; dropout makes it depend on randomness."""

    def __init__(self, width=12, dropout=0.2):
        super().__init__()
        self.token = nn.Embedding(11, width)
        self.mix = nn.GRU(width, width, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, 11)
        self.head.weight = nn.Parameter(self.head.weight * 0.5)

    def forward(self, ids):
        return self.head(self.dropout(self.mix(self.token(ids))[0]))


def tagger(seed=0, **options):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Tagger(**options)


def rows(count=64, seed=1):
    """Sequences of unequal length, so that parts of a batch hold unequal numbers."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(1, 11, (count, 7), generator=generator)
    length = torch.randint(2, 8, (count, 1), generator=generator)
    ids[torch.arange(7) >= length] = PAD
    return (ids,)


def loss(model, batch):
    (ids,) = batch
    return token_loss(model(ids[:, :-1]), ids[:, 1:], ignore=PAD, smoothing=0.1)


@torch.no_grad()
def validation(model):
    model.eval()
    total, tokens = loss(model, rows(16, seed=2))
    torch.rand(3)  # an evaluation that draws must not change the training
    return (total / tokens).item()


def run(recipe=RECIPE, model=None, **options):
    """Train on `rows`; the history, the loss of each step, the model."""
    model = model or tagger()
    losses = {}
    options = {"evaluate": validation, "on_step": lambda s: losses.update(
        {s.step: s.loss.item()})} | options
    data = Epochs(rows(), recipe.batch, recipe.seed)
    history = fit(model, data, recipe, loss=loss, **options)
    return history, losses, model


# what it computes


def test_one_update_is_the_update_of_torch_alone():
    model, twin = tagger(dropout=0), tagger(dropout=0)
    recipe = replace(RECIPE, steps=1, weight_decay=0.0, clip=0.5)
    _, losses, _ = run(recipe, model)
    total, tokens = loss(twin, next(iter(Epochs(rows(), 8, 0))))
    adamw = torch.optim.AdamW(
        twin.parameters(), learning_rate(recipe, 0), (0.9, 0.95), weight_decay=0.0
    )
    (total / tokens).backward()
    nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
    adamw.step()
    assert losses[1] == (total / tokens).item()
    for mine, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulating_parts_equals_the_large_batch(parts):
    whole = run(model=tagger(dropout=0).double())
    cut = run(replace(RECIPE, accumulation=parts), tagger(dropout=0).double())
    assert cut[1] == pytest.approx(whole[1], abs=1e-12)
    for mine, theirs in zip(cut[2].parameters(), whole[2].parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=1e-10, rtol=0)
    # and in float32, where sums are rounded in another order
    whole, cut = (run(replace(RECIPE, accumulation=n), tagger(dropout=0))[1]
                  for n in (1, parts))
    assert cut == pytest.approx(whole, abs=1e-6)


def test_bfloat16_trains_nearly_as_float32():
    exact = run(model=tagger(dropout=0))[1]
    rough = run(replace(RECIPE, precision="bf16"), tagger(dropout=0))[1]
    assert rough != exact
    assert rough == pytest.approx(exact, abs=0.05)


def test_only_matrices_decay():
    recipe = replace(RECIPE, steps=1, weight_decay=0.5, warmup=0, learning_rate=0.1)
    free, decayed = tagger(dropout=0), tagger(dropout=0)
    run(replace(recipe, weight_decay=0.0), free)
    run(recipe, decayed)
    start = tagger(dropout=0)
    for name, first in start.named_parameters():
        moved = decayed.get_parameter(name) - free.get_parameter(name)
        expected = -0.05 * first if first.dim() > 1 else torch.zeros_like(first)
        torch.testing.assert_close(moved, expected, atol=1e-6, rtol=0)


def test_gradients_are_clipped_and_their_norm_before_is_kept():
    seen = []

    def norm(step):
        grads = [p.grad.norm() for p in step.model.parameters()]
        seen.append((step.grad_norm.item(), torch.stack(grads).norm().item()))

    run(replace(RECIPE, clip=0.01), on_step=norm)
    for before, after in seen:
        assert before > 0.02
        assert after == pytest.approx(0.01, rel=1e-3)


def test_the_history_has_a_row_for_each_evaluation():
    history, losses, _ = run()
    assert history.step == [3, 6, 9, 12]
    assert history.train[1] == pytest.approx(sum(losses[s] for s in (4, 5, 6)) / 3)
    assert history.lr == [learning_rate(RECIPE, step - 1) for step in history.step]
    assert history.valid[-1] < history.valid[0]
    assert all(norm > 0 for norm in history.grad_norm)


def test_a_step_tells_hooks_what_was_done():
    told: list[Step] = []
    history, _, model = run(on_step=[told.append])
    assert [step.step for step in told] == list(range(1, 13))
    assert told[2].point["valid"] == history.valid[0]
    assert told[0].point is None
    assert told[0].model is model
    assert told[0].batch[0].shape == (8, 7)


def test_watching_does_not_change_what_is_seen():
    def noisy(step):
        step.model.eval()
        torch.manual_seed(99)

    quiet = run(on_step=(), evaluate=None)[2]
    watched = run(on_step=noisy)[2]
    for mine, theirs in zip(quiet.parameters(), watched.parameters(), strict=True):
        assert torch.equal(mine, theirs)


# schedules


def test_noam_is_equation_3_of_attention_is_all_you_need():
    for step in range(0, 20000, 371):
        n = step + 1
        expected = 512**-0.5 * min(n**-0.5, n * 4000**-1.5)
        assert schedules.noam(step, 512, 4000) == pytest.approx(expected, rel=1e-12)
    recipe = Recipe(schedule="noam", warmup=40, learning_rate=0.3)
    rates = [learning_rate(recipe, step) for step in range(200)]
    assert max(rates) == rates[39] == pytest.approx(0.3)
    assert rates[159] == pytest.approx(0.15)  # four times as late, half as fast


def test_the_cosine_is_half_a_cosine_and_the_constant_stays():
    recipe = Recipe(steps=110, warmup=10, learning_rate=2.0, final_share=0.25)
    assert learning_rate(recipe, 4) == pytest.approx(1.0)
    for step in range(10, 110):
        wave = math.cos(math.pi * (step - 10) / 100)
        assert learning_rate(recipe, step) == pytest.approx(0.5 + 0.75 * (1 + wave))
    constant = replace(recipe, schedule="constant")
    assert {learning_rate(constant, step) for step in range(10, 500)} == {2.0}


def test_label_smoothing_is_that_of_the_formula():
    generator = torch.Generator().manual_seed(3)
    logits = torch.randn(2, 4, 9, generator=generator, dtype=torch.float64)
    targets = torch.tensor([[1, 2, 3, 0], [4, 0, 0, 0]])
    log_p = logits.log_softmax(-1)
    expected = 0.0
    for b in range(2):
        for t in range(4):
            if targets[b, t]:
                right = log_p[b, t, targets[b, t]]
                expected -= 0.9 * right + 0.1 * log_p[b, t].mean()
    total, tokens = token_loss(logits, targets, ignore=0, smoothing=0.1)
    assert tokens == 4
    torch.testing.assert_close(total, expected)


# data


def test_an_epoch_holds_every_row_once_and_each_epoch_another_order():
    data = Epochs((torch.arange(12),), batch=4, seed=5)
    source = iter(data)
    epochs = [torch.cat([next(source)[0] for _ in range(3)]).tolist() for _ in "ab"]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(12))
    assert epochs[0] != epochs[1]
    other = Epochs((torch.arange(12),), batch=4, seed=6)
    assert torch.cat([b[0] for b, _ in zip(other, "abc", strict=False)]).tolist() \
        != epochs[0]


def test_rows_that_are_no_tensors_are_collated():
    data = Epochs(["a", "b", "c"], 3, collate=lambda rows: "".join(sorted(rows)))
    assert next(data.after(7)) == "abc"


# determinism


def test_the_same_seed_gives_the_same_losses_to_the_bit():
    first, second = run(), run()
    assert first[0] == second[0]
    assert first[1] == second[1]
    other = run(replace(RECIPE, seed=1))
    assert other[1] != first[1]


def test_training_leaves_the_ambient_randomness_alone():
    torch.manual_seed(7)
    expected = torch.rand(2)
    torch.manual_seed(7)
    run()
    assert torch.equal(torch.rand(2), expected)


# going on


def test_a_resumed_training_is_the_uninterrupted_one_to_the_bit(tmp_path):
    whole = run()

    class PowerCut(Exception):
        pass

    def cut_at_8(step):
        if step.step == 8:
            raise PowerCut

    keep = Keep(tmp_path, every=5)
    with pytest.raises(PowerCut):
        run(on_step=cut_at_8, keep=keep)
    assert describe(tmp_path / "last")["step"] == 5

    went_on = run(model=tagger(seed=9), keep=Keep(tmp_path, every=5), resume=True)
    assert list(went_on[1]) == list(range(6, 13))
    assert went_on[1] == {step: whole[1][step] for step in range(6, 13)}
    assert went_on[0] == whole[0]
    for mine, theirs in zip(went_on[2].parameters(), whole[2].parameters(),
                            strict=True):
        assert torch.equal(mine, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_step_saves_and_resumes_to_the_bit(tmp_path, number):
    script = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.training.test_loop import *
def stop(step):
    if step.step == 7:
        os.kill(os.getpid(), {int(number)})
history, losses, _ = run(on_step=stop, keep=Keep(Path({str(tmp_path)!r}), every=100))
assert history.interrupted
print("returned")
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    if number == signal.SIGINT:
        assert (done.returncode, done.stdout) == (0, "returned\n"), done.stderr
    else:
        assert (done.returncode, done.stdout) == (-signal.SIGTERM, ""), done.stderr
    assert describe(tmp_path / "last")["step"] == 8  # the update after the signal
    whole, went_on = run(), run(keep=Keep(tmp_path), resume=True)
    assert went_on[1] == {step: whole[1][step] for step in range(9, 13)}
    assert went_on[0].valid == whole[0].valid


def test_signals_mean_after_a_training_what_they_meant_before():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    run()
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_best_and_each_epoch_are_kept(tmp_path):
    recipe = replace(RECIPE, steps=16, evaluations=16)
    keep = Keep(tmp_path, epoch=8, configuration={"width": 12})
    history, _, _ = run(recipe, keep=keep)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "before", "best", "epoch_1", "epoch_2", "last"]
    best = min(range(16), key=lambda i: history.valid[i])
    other = tagger(seed=4)
    about = load_weights(tmp_path / "best", other)
    assert about["step"] == best + 1
    assert about["configuration"] == {"width": 12}
    assert validation(other) == history.valid[best]
    load_weights(tmp_path / "epoch_2", other)
    assert validation(other) == history.valid[-1]


def test_a_new_training_leaves_nothing_of_the_one_before(tmp_path):
    run(keep=Keep(tmp_path, epoch=4))
    run(replace(RECIPE, steps=4), keep=Keep(tmp_path, epoch=4))
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "before", "best", "epoch_1", "last"]


def test_a_finished_training_can_be_made_longer(tmp_path):
    constant = replace(RECIPE, schedule="constant")
    whole = run(replace(constant, steps=16))
    run(constant, keep=Keep(tmp_path))
    longer = run(replace(constant, steps=16), keep=Keep(tmp_path), resume=True)
    assert longer[1] == {step: whole[1][step] for step in range(13, 17)}
    again = run(replace(constant, steps=16), keep=Keep(tmp_path), resume=True)
    assert again[1] == {}
    assert again[0] == longer[0]


# several processes


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(f"""
import json, sys
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from tests.training.test_loop import *
import torch.distributed as dist
keep = Keep(Path({str(tmp_path / "kept")!r}), every=5)
recipe = replace(RECIPE, accumulation=2)
history, losses, model = run(recipe, tagger(dropout=0), keep=keep)
if losses:
    json.dump([dist.get_world_size(), losses, history.valid],
              open({str(tmp_path / "told.json")!r}, "w"))
dist.destroy_process_group()
""", encoding="utf-8")
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu",
              "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
              "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1",
              "--main_process_port", "0", str(script)]
    done = subprocess.run(launch, capture_output=True, text=True, check=False,
                          env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr[-2000:]
    world, losses, valid = json.loads((tmp_path / "told.json").read_text())
    alone = run(model=tagger(dropout=0))
    assert world == 2
    assert list(losses.values()) == pytest.approx(list(alone[1].values()), abs=1e-5)
    assert valid == pytest.approx(alone[0].valid, abs=1e-5)
    tensors, about = load(tmp_path / "kept" / "last")
    assert about["processes"] == len(tensors["random.cpu"]) == 2


@pytest.mark.parametrize("name", ["last", "best", "before", "epoch_1"])
def test_a_folder_that_is_no_checkpoint_is_never_replaced(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=f"{name} is there and is no checkpoint"):
        run(keep=Keep(tmp_path, epoch=4))
    assert (tmp_path / name / "mine.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 1


# wrong use


def kept(folder):
    run(keep=Keep(folder))
    return folder


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda _: Recipe(schedule="linear"),
         "schedule 'linear' is not known; use one of constant, cosine, noam"),
        (lambda _: Recipe(precision="half"),
         "precision 'half' is not known; use one of no, bf16, fp16"),
        (lambda _: Recipe(accumulation=0), "accumulation is 0; use 1 or more"),
        (lambda _: Recipe(schedule="noam", warmup=0), "noam has warmup 0"),
        (lambda _: run(replace(RECIPE, precision="fp16")),
         "precision 'fp16' needs a GPU and this run is on cpu; use 'bf16' or 'no'"),
        (lambda _: run(replace(RECIPE, accumulation=9)),
         r"a batch of 8 cannot be cut into 9 part\(s\) for each of 1 process\(es\)"),
        (lambda _: Epochs(rows(), batch=65),
         "a batch of 65 cannot be drawn from 64 rows; use batch_size 1 to 64"),
        (lambda _: fit(tagger(), [rows()], RECIPE, loss=loss),
         "the batches ended after 1 of 12 steps"),
        (lambda _: next(windows(torch.arange(5), Recipe(context=8))),
         "the text has 5 tokens and the context is 8"),
        (lambda folder: run(model=tagger(width=10), keep=Keep(kept(folder)),
                            resume=True),
         r"last holds token.weight as 11×12 and the model wants 11×10; build"),
        (lambda folder: run(replace(RECIPE, seed=3), keep=Keep(kept(folder)),
                            resume=True),
         "last was trained with seed 0 and this run has 3; go on with the same"),
    ],
)
def test_wrong_use_ends_in_one_clear_sentence(tmp_path, make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(tmp_path)


def test_weights_alone_are_no_training_to_resume(tmp_path):
    run(keep=Keep(tmp_path / "kept", epoch=4))
    (tmp_path / "kept" / "epoch_1").rename(tmp_path / "last")
    with pytest.raises(CheckpointError, match="holds weights and not a whole training"):
        run(keep=Keep(tmp_path), resume=True)


def greedy(model, batch):
    total, tokens = loss(model, batch)
    return total + torch.ones(1).expand(2**40).contiguous().sum(), tokens


def test_a_batch_too_large_for_memory_says_what_to_lower():
    sentence = ("memory ran out at step 1 on cpu with a batch of 8 in 1 part.s.; lower "
                "batch_size, max_length or hidden_size, or raise "
                "gradient_accumulation_steps")
    with pytest.raises(OutOfMemory, match=sentence):
        fit(tagger(), Epochs(rows(), 8), RECIPE, loss=greedy)
    run()  # and what comes after has its memory back


def test_other_errors_stay_what_they_are():
    with pytest.raises(RuntimeError, match="my own mistake"):
        run(on_step=lambda step: (_ for _ in ()).throw(RuntimeError("my own mistake")))
