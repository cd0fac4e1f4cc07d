"""The task in Hugging Face parts: real tokenizers, models and Trainers, small ones."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from lib.attention.conversion import from_transformers, names, order, to_transformers
from lib.attention.huggingface import (
    build_model,
    encode,
    generate,
    load,
    make_dataset,
    save,
    score,
    translate,
    wrap_tokenizer,
)
from lib.attention.transformer import Transformer, TransformerConfig
from lib.attention.translation import (
    BOS,
    EOS,
    PAD,
    UNK,
    build_tokenizer,
    make_pair,
    sample,
    unseen,
)
from lib.data import ROOT
from lib.training.loop import Recipe, fit, token_loss
from lib.training.trainer import (
    TracingTrainer,
    history,
    last_checkpoint,
    training_arguments,
)

LENGTH = 32


@pytest.fixture(scope="module")
def tokenizer():
    return wrap_tokenizer(build_tokenizer(), LENGTH)


@pytest.fixture(scope="module")
def rows(tokenizer):
    return make_dataset(sample(256, torch.Generator().manual_seed(0)), tokenizer)


def small(tokenizer, **changes):
    sizes = {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_length": LENGTH}
    return TransformerConfig(**{"vocab": len(tokenizer), "dropout": 0.0,
                                **sizes, **changes})


@pytest.fixture
def train(tokenizer, rows, tmp_path):
    """Train a small model and give the Trainer back."""
    runs = []

    def run(steps=6, dropout=0.0, model=None, on_step=None, resume=None, **options):
        model = model or build_model(small(tokenizer, dropout=dropout))
        options = {"batch": 16, "learning_rate": 1e-3, "log_every": 1,
                   "device": "cpu", **options}
        arguments = training_arguments(options.pop("folder", tmp_path / "run"),
                                       steps=steps, **options)
        trainer = TracingTrainer(model, arguments, tokenizer, rows,
                                 on_step=on_step, every=2)
        torch.rand(len(runs))  # what was drawn before does not matter
        runs.append(trainer)
        trainer.train(resume_from_checkpoint=resume)
        return trainer

    return run


def losses(trainer):
    return [log["loss"] for log in history(trainer)]


# ---- tokens and rows --------------------------------------------------------


def test_every_text_comes_back_from_its_tokens(tokenizer):
    texts = [text for pair in sample(300, torch.Generator().manual_seed(3))
             for text in (pair.source, pair.target)]
    ids = tokenizer(texts).input_ids
    assert all(row[-1] == EOS for row in ids)
    assert tokenizer.batch_decode(ids, skip_special_tokens=True) == texts


def test_padding_goes_to_the_right_and_is_masked(tokenizer):
    batch = tokenizer(["7", "12,345"], padding=True, return_tensors="pt")
    assert batch.input_ids[0, -1] == PAD
    assert batch.attention_mask.equal((batch.input_ids != PAD).long())


def test_a_saved_tokenizer_is_what_auto_tokenizer_loads(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    texts = ["March 5, 2026", "만 이천삼백사십오"]
    assert again(texts).input_ids == tokenizer(texts).input_ids
    roles = ("pad_token_id", "bos_token_id", "eos_token_id", "unk_token_id")
    assert [getattr(again, role) for role in roles] == [0, 1, 2, 3]
    assert again.model_max_length == LENGTH


@pytest.mark.parametrize("text", ["<eos>", "5<pad>", "<bos>1", "7\udcc7"])
def test_control_signs_that_are_typed_are_refused_also_after_saving(
    tokenizer, tmp_path, text
):
    tokenizer.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    for chosen in (tokenizer, again):
        with pytest.raises(ValueError, match=r"does not know; write|not in UTF-8"):
            encode(chosen, ["7", text])
        if text.isascii():
            assert [i for i in chosen(text).input_ids if i < UNK] == [EOS]


def test_rows_hold_the_pair_and_end_with_eos(tokenizer):
    pair = make_pair("number", 12_345, korean=True)
    row = make_dataset([pair], tokenizer)[0]
    assert (row["source"], row["target"], row["kind"]) == (
        pair.source, pair.target, "number")
    assert row["input_ids"][-1] == row["labels"][-1] == EOS
    assert tokenizer.decode(row["labels"], skip_special_tokens=True) == pair.target


def test_a_dataset_writes_no_file(tokenizer, rows):
    assert rows.cache_files == []


def test_a_long_text_and_a_strange_one_are_one_sentence(tokenizer):
    short = wrap_tokenizer(tokenizer.backend_tokenizer, 4)
    with pytest.raises(ValueError, match=r"has \d+ tokens and the model takes 4"):
        make_dataset([make_pair("number", 33_994_432, korean=False)], short)
    model = build_model(small(tokenizer))
    with pytest.raises(ValueError, match="does not know"):
        translate(model, tokenizer, ["12 €"])


def test_padding_asked_for_before_pads_no_row(tokenizer):
    texts = ["7", "March 5, 2026"]
    tokenizer(texts, padding=True)
    assert [len(row) for row in encode(tokenizer, texts)] == [2, 10]


# ---- the model --------------------------------------------------------------


@pytest.mark.parametrize("norm_first", [False, True])
def test_their_twin_has_as_many_weights_as_ours_in_one_matrix(tokenizer, norm_first):
    config = small(tokenizer, norm_first=norm_first)
    theirs = build_model(config)
    ours = sum(p.numel() for p in Transformer(config).parameters())
    assert sum(p.numel() for p in theirs.parameters() if p.requires_grad) == ours
    shared = theirs.model.shared.weight
    for part in (theirs.model.encoder, theirs.model.decoder):
        assert part.embed_tokens.weight is shared
    assert theirs.lm_head.weight is shared


def test_bart_learns_its_positions_and_normalises_them(tokenizer):
    config = small(tokenizer)
    ours = sum(p.numel() for p in Transformer(config).parameters())
    bart = sum(p.numel() for p in build_model(config, "bart").parameters())
    positions = 2 * (LENGTH + 2) * config.d_model  # two sides, an offset of two
    assert bart == ours + positions + 2 * 2 * config.d_model


def test_the_seed_decides_the_weights_and_nothing_else_does(tokenizer):
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first = build_model(small(tokenizer), seed=5)
    assert torch.get_rng_state().equal(before)
    torch.manual_seed(2)
    again, other = (build_model(small(tokenizer), seed=s) for s in (5, 6))
    weights = [m.lm_head.weight for m in (first, again, other)]
    assert weights[0].equal(weights[1])
    assert not weights[0].equal(weights[2])


@pytest.mark.parametrize(
    ("changes", "family", "said"),
    [
        ({}, "t5", "use one of marian, pegasus, bart"),
        ({}, "pegasus", "pegasus normalises first"),
        ({"n_heads": 5}, "marian", "does not divide into 5 heads"),
        ({"norm_first": True}, "marian", "normalises after adding"),
        ({"activation": "swiglu"}, "bart", "no activation 'swiglu'"),
    ],
)
def test_a_model_that_cannot_be_is_one_sentence(tokenizer, changes, family, said):
    with pytest.raises(ValueError, match=said):
        build_model(small(tokenizer, **changes), family)


# ---- ours and theirs -------------------------------------------------------


@pytest.fixture(params=[False, True], ids=["marian", "pegasus"])
def pair_of_models(tokenizer, request):
    torch.manual_seed(0)
    config = small(tokenizer, n_layers=3, norm_first=request.param)
    ours = Transformer(config).eval()
    return ours, to_transformers(ours)


def batch_with_padding(seed=0):
    source, target = torch.randint(
        4, 104, (2, 4, 9), generator=torch.Generator().manual_seed(seed))
    source[1, 6:] = source[2, 2:] = PAD
    return source, target


@pytest.mark.parametrize(
    ("dtype", "outputs", "gradients"),
    [  # float32 sums in another order; in float64 nothing but rounding may stay
        (torch.float32, 1e-5, 1e-5), (torch.float64, 1e-12, 1e-12),
    ],
)
def test_their_twin_with_our_weights_computes_what_ours_does(
    pair_of_models, dtype, outputs, gradients
):
    ours, theirs = (model.to(dtype) for model in pair_of_models)
    source, target = batch_with_padding()
    mine = ours(source, target)
    yours = theirs(input_ids=source, attention_mask=(source != PAD).long(),
                   decoder_input_ids=target).logits
    assert (mine - yours).abs().max() <= outputs
    for logits in (mine, yours):
        logits.pow(2).mean().backward()
    here, there = (dict(model.named_parameters()) for model in (ours, theirs))
    place = order(ours.config.d_model)
    for name in names(ours.config):
        known = here.pop(name.ours).grad
        if name.axis is not None:
            known = known.index_select(name.axis, place)
        assert (known - there[name.theirs].grad).abs().max() <= gradients
    assert not here, "every parameter has a name"


def test_there_and_back_is_the_same_model_to_the_bit(pair_of_models):
    ours, theirs = pair_of_models
    again = from_transformers(theirs)
    assert again.config == ours.config
    assert from_transformers(to_transformers(ours.double())).token.weight.equal(
        ours.token.weight)
    ours.float()
    for name, weight in ours.state_dict().items():
        assert again.state_dict()[name].equal(weight)


@pytest.mark.slow
def test_our_code_writes_what_a_trained_twin_writes(train, tokenizer):
    model = build_model(small(tokenizer, norm_first=True))
    train(steps=40, model=model, learning_rate=3e-3)
    model.eval()
    texts = [pair.source for pair in unseen("date", 12)]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    mine = from_transformers(model).generate(batch.input_ids)
    assert mine.equal(generate(model, batch.input_ids, batch.attention_mask))


def test_a_model_that_ours_cannot_be_is_one_sentence(pair_of_models, tokenizer):
    with pytest.raises(ValueError, match="the family bart is not ours"):
        from_transformers(build_model(small(tokenizer), "bart"))
    _, theirs = pair_of_models
    theirs.final_logits_bias[0, 3] = 1.0
    with pytest.raises(ValueError, match="no bias on the logits"):
        from_transformers(theirs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "apart"),
    # AdamW divides by the size of the gradient: what rounding does to a gradient near
    # zero shows in the weight, at 1e-3 a step. In float64 it does not
    [(torch.float32, 1e-3), (torch.float64, 1e-9)],
)
def test_our_loop_and_the_trainer_take_the_same_steps(
    train, rows, tokenizer, dtype, apart
):
    config = small(tokenizer)
    recipe = Recipe(steps=8, batch=16, learning_rate=1e-3, schedule="constant",
                    warmup=0, betas=(0.9, 0.99), evaluations=8)
    walked = []
    trainer = train(steps=8, order="as given", schedule="constant", beta2=0.99,
                    weight_decay=recipe.weight_decay,
                    model=build_model(config).to(dtype))
    batches = [trainer.data_collator([
        {key: rows[i][key] for key in ("input_ids", "labels")}
        for i in range(start, start + 16)]) for start in range(0, 128, 16)]

    def loss(model, batch):
        logits = model(batch["input_ids"], batch["decoder_input_ids"])
        return token_loss(logits, batch["labels"])

    ours = from_transformers(build_model(config)).to(dtype)
    fit(ours, map(dict, batches), recipe, loss=loss,
        on_step=lambda step: walked.append(step.loss.item()))
    # the Trainer adds up its losses in float32, whatever the model is
    assert losses(trainer) == pytest.approx(walked, abs=1e-5)
    theirs = from_transformers(trainer.model).state_dict()
    for name, weight in ours.state_dict().items():
        assert (weight - theirs[name]).abs().max() <= apart


# ---- training ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["marian", "pegasus", "bart"])
def test_the_loss_falls(train, tokenizer, family):
    model = build_model(small(tokenizer, norm_first=family == "pegasus"), family)
    found = losses(train(steps=60, model=model, learning_rate=3e-3))
    assert found[-1] < 0.6 * found[0]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_losses_to_the_bit(train):
    first, again = (losses(train(dropout=0.1, seed=3)) for _ in range(2))
    assert first == again
    assert losses(train(dropout=0.1, seed=4)) != first


@pytest.mark.slow
def test_accumulation_is_the_large_batch(train):
    # rows of different lengths: the parts have different numbers of tokens
    whole, parts = train(batch=32), train(batch=4, accumulation=8)
    assert losses(parts) == pytest.approx(losses(whole), abs=1e-6)
    norms = [[log["grad_norm"] for log in history(t)] for t in (whole, parts)]
    assert norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.slow
def test_label_smoothing_is_that_of_torch_and_only_in_training(train, rows, tokenizer):
    model = build_model(small(tokenizer))
    trainer = train(steps=1, model=model, label_smoothing=0.2, learning_rate=0.0,
                    order="as given")
    batch = trainer.data_collator([
        {key: rows[i][key] for key in ("input_ids", "labels")} for i in range(16)])
    with torch.no_grad():
        logits = model.eval()(**batch).logits.flatten(0, 1)
    labels = batch["labels"].flatten()
    smooth = F.cross_entropy(logits, labels, label_smoothing=0.2).item()
    assert losses(trainer)[0] == pytest.approx(smooth, abs=1e-5)
    plain = trainer.evaluate(rows.select(range(16)))["eval_loss"]
    assert plain == pytest.approx(F.cross_entropy(logits, labels).item(), abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schedule", "rates"),
    [  # the first update of a warm-up has rate 0: the Trainer counts from step / warmup
        ("constant", [0, 0.5, 1, 1, 1, 1]),
        ("linear", [0, 0.5, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0, 0.5, 1, 0.880, 0.590, 0.300]),
        ("noam", [0, 0.5, 1, (2 / 3) ** 0.5, 0.5**0.5, (2 / 5) ** 0.5]),
    ],
)
def test_each_schedule_is_what_its_name_says(train, schedule, rates):
    trainer = train(steps=6, schedule=schedule, final_share=0.18, warmup=2)
    found = [log["learning_rate"] / 1e-3 for log in history(trainer)]
    assert found == pytest.approx(rates, abs=1e-3)


@pytest.mark.slow
def test_looking_in_changes_no_loss_and_sees_every_step_asked_for(train):
    seen = []

    def look(step, model):
        assert not model.training
        torch.rand(3)  # a look that uses the random generator
        model(input_ids=torch.tensor([[5, EOS]]),
              labels=torch.tensor([[6, EOS]])).loss.backward()
        seen.append(step)

    watched = losses(train(steps=5, dropout=0.1, on_step=look))
    assert watched == losses(train(steps=5, dropout=0.1))
    assert seen == [0, 2, 4, 5]


@pytest.mark.slow
def test_bf16_trains_close_to_float32(train):
    single, mixed = losses(train()), losses(train(precision="bf16"))
    assert mixed != single
    # bf16 keeps 8 bits: about three digits of a loss near 4
    assert mixed == pytest.approx(single, rel=1e-2)


@pytest.mark.slow
def test_a_resumed_run_goes_on_to_the_bit(train, tmp_path):
    folder = tmp_path / "resumed"
    whole = losses(train(steps=6, dropout=0.1, folder=folder, save_every=3))
    shutil.rmtree(folder / "checkpoint-6")
    (folder / "checkpoint-9").mkdir()  # one that was cut off
    place = last_checkpoint(folder)
    assert place == folder / "checkpoint-3"
    again = train(steps=6, dropout=0.1, folder=folder, resume=str(place))
    assert losses(again) == whole
    assert last_checkpoint(tmp_path / "nothing") is None


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"precision": "int4"}, "use one of no, bf16, fp16"),
        ({"precision": "fp16", "device": "cpu"}, "needs a GPU"),
        ({"schedule": "staircase"}, "use one of constant, linear, cosine, noam"),
        ({"order": "backwards"}, "use one of shuffled, by length, as given"),
        ({"device": "tpu"}, "use one of auto, cpu, cuda, mps"),
        ({"wandb": True}, "wandb was asked for and is not installed"),
    ],
)
def test_arguments_that_cannot_be_are_one_sentence(tmp_path, options, said):
    with pytest.raises(ValueError, match=said):
        training_arguments(tmp_path, **options)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA; run it "
                    "with CUDA_VISIBLE_DEVICES= (empty)")
def test_cuda_asked_for_and_absent_is_one_sentence(tmp_path):
    with pytest.raises(ValueError, match="'cuda' was asked for"):
        training_arguments(tmp_path, device="cuda")


TWO = """
import sys, json, torch
from lib.attention.huggingface import *
from lib.training.loop import Recipe, fit, token_loss
from lib.training.trainer import *
from lib.attention.transformer import TransformerConfig
from lib.attention.translation import build_tokenizer, sample
tokenizer = wrap_tokenizer(build_tokenizer(), 32)
model = build_model(TransformerConfig(
    vocab=len(tokenizer), d_model=32, n_heads=4, n_layers=2, max_length=32,
    dropout=0.0))
rows = make_dataset(sample(256, torch.Generator().manual_seed(0)), tokenizer)
arguments = training_arguments(sys.argv[1], steps=4, batch=8, learning_rate=1e-3,
                               log_every=1, device="cpu", order="as given")
trainer = TracingTrainer(model, arguments, tokenizer, rows)
trainer.train()
if trainer.is_world_process_zero():
    told = trainer.args.world_size, [log["loss"] for log in history(trainer)]
    print("told", json.dumps(told))
"""


@pytest.mark.slow
def test_rows_by_length_leave_less_padding(train):
    def padding(order):
        trainer = train(steps=1, order=order)
        return sum(batch["labels"].eq(-100).sum().item()
                   for batch in trainer.get_train_dataloader())

    assert padding("by length") < 0.7 * padding("shuffled")


@pytest.mark.slow
def test_two_processes_give_the_losses_of_one(train, tmp_path):
    script = tmp_path / "two.py"
    script.write_text(TWO)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu",
              "--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no",
              "--dynamo_backend", "no", "--main_process_port", "0"]
    clean = {"PYTHONPATH": str(ROOT), "HF_HOME": str(tmp_path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, str(script), str(tmp_path)], text=True, check=False,
                          capture_output=True, timeout=240, env=os.environ | clean)
    assert done.returncode == 0, done.stderr[-2000:]
    said = next(line for line in done.stdout.splitlines() if line.startswith("told"))
    world, found = json.loads(said.removeprefix("told"))
    assert world == 2
    alone = losses(train(steps=4, batch=16, order="as given"))
    assert found == pytest.approx(alone, abs=1e-5)


# ---- writing targets --------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["marian", "pegasus", "bart"])
def test_generate_is_the_likeliest_token_again_and_again(train, tokenizer, family):
    model = build_model(small(tokenizer, norm_first=family == "pegasus"), family)
    train(steps=30, model=model, learning_rate=3e-3)
    model.eval()
    texts = [pair.source for pair in unseen("date", 4)] + ["7"]
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    found = generate(model, batch.input_ids, batch.attention_mask)
    for i in range(len(texts)):
        ids, source = [BOS], batch.input_ids[i : i + 1]
        mask = batch.attention_mask[i : i + 1]
        while len(ids) < LENGTH and ids[-1] != EOS:
            with torch.no_grad():
                logits = model(input_ids=source, attention_mask=mask,
                               decoder_input_ids=torch.tensor([ids])).logits
            ids.append(int(logits[0, -1].argmax()))
        assert found[i, : len(ids)].tolist() == ids
        assert (found[i, len(ids) :] == PAD).all()


@pytest.mark.slow
def test_generation_is_the_same_with_and_without_a_cache(train, tokenizer):
    model = train(steps=30, learning_rate=3e-3).model
    texts = [pair.source for pair in unseen("number", 20)]
    assert translate(model, tokenizer, texts) == translate(
        model, tokenizer, texts, batch=7, use_cache=False)


def test_translate_leaves_the_model_in_training(tokenizer):
    model = build_model(small(tokenizer)).train()
    translate(model, tokenizer, ["7"])
    assert model.training


@pytest.mark.slow
def test_a_model_that_learns_one_pair_scores_it(tokenizer, tmp_path):
    pair, other = (make_pair("number", n, korean=True) for n in (30, 41))
    model = build_model(small(tokenizer))
    arguments = training_arguments(tmp_path, steps=40, batch=1, learning_rate=3e-3,
                                   schedule="constant", device="cpu")
    TracingTrainer(model, arguments, tokenizer,
                   make_dataset([pair], tokenizer)).train()
    assert translate(model, tokenizer, [pair.source]) == [pair.target]
    assert score(model, tokenizer, [pair, other]) == 0.5


# ---- files ------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("family", ["marian", "pegasus", "bart"])
def test_a_saved_model_loads_with_the_auto_classes_and_says_the_same(
    train, tokenizer, tmp_path, monkeypatch, family
):
    model = build_model(small(tokenizer, norm_first=family == "pegasus"), family)
    trainer = train(steps=20, model=model)
    folder = tmp_path / "saved"
    save(folder, trainer.model, tokenizer, trainer.args, history(trainer))
    texts = [pair.source for pair in unseen("date", 10)]
    before = translate(trainer.model, tokenizer, texts)
    monkeypatch.setattr(socket, "socket", None)  # nothing may ask a network
    model = AutoModelForSeq2SeqLM.from_pretrained(folder / "model")
    again = AutoTokenizer.from_pretrained(folder / "model")
    assert translate(model, again, texts) == before
    assert translate(*load(folder), texts) == before


@pytest.mark.slow
def test_the_files_of_a_saved_model(train, tokenizer, tmp_path):
    trainer = train(steps=2)
    for _ in range(2):  # saving again replaces
        save(tmp_path, trainer.model, tokenizer, trainer.args, history(trainer))
    files = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.*")}
    assert {"config.json", "training_args.json", "history.json",
            "model/model.safetensors", "model/config.json",
            "model/generation_config.json", "model/tokenizer.json",
            "model/tokenizer_config.json"} <= files
    assert not [name for name in files if ".part" in name or ".old" in name]
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "marian"
    told = json.loads((tmp_path / "training_args.json").read_text())
    assert told["learning_rate"] == 1e-3
    assert len(json.loads((tmp_path / "history.json").read_text())) == 2
    weights = load_file(tmp_path / "model" / "model.safetensors")
    assert weights["model.shared.weight"].equal(trainer.model.lm_head.weight)


def test_a_folder_without_a_model_is_one_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no model in"):
        load(Path(tmp_path))
