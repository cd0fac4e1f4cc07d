"""Training with gravity: options, batches, repulsion, resume, TensorBoard, refusals."""

import json
import math
import shutil
from dataclasses import asdict, replace
from statistics import mean

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from benchmarks.quality import ARMS
from book.jobs import catalogue
from lib import data
from lib.gravity.load import load_model
from lib.gravity.model import LanguageModel, LMConfig, build, parameters
from lib.training.checkpoint import CheckpointError, describe, load, save
from lib.training.loop import Recipe, evaluate
from lib.workbench.ngt import training as ngt
from lib.workbench.ngt.log import scalars
from lib.workbench.ngt.options import EARLIER, ORIGINAL, for_profile
from lib.workbench.ngt.training import (
    Options,
    Windows,
    check,
    model_config,
    objective,
    prepare,
    recipe_of,
    train,
)

TINY = Options(
    hidden_dim=32, num_layers=2, num_heads=4, mlp_dim=64, block_size=16, batch_size=4,
    max_steps=3, eval_interval=2, eval_iters=3, vis_interval=0, bpe_vocab_size=300,
    learning_rate=1e-2, use_cosine_schedule=False, warmup_steps=0, dropout=0.0,
    kernel="newton", coordinates="token+position", looking=False, positions="learned",
    qk_norm=False, lambda_repulsion=0.05, device="cpu",
)


@pytest.fixture(scope="module")
def play(tmp_path_factory):
    """A short text in a file, so that a run takes no second."""
    file = tmp_path_factory.mktemp("text") / "play.txt"
    file.write_text(data.text("tinyshakespeare")[:12_000], encoding="utf-8")
    return str(file)


@pytest.fixture
def tiny(play, tmp_path):
    """Options of a tiny run whose files go to a folder of the test."""
    return replace(TINY, data_path=play, checkpoint_path=str(tmp_path / "run"),
                   run_name=str(tmp_path / "board"))


def done(options):
    """Train, anew unless `resume` is asked for."""
    options = check(replace(options, force=not options.resume))
    return train(options, prepare(options))


# ---- options combine ---------------------------------------------------------------

MATRIX = [  # every pair of values of two options stands in a row
    ("char", "none", "newton", False, 1, {}),
    ("char", "hard", "gaussian", True, 2, {}),
    ("char", "soft", "potential", False, 2, {"sign": -1}),
    ("char", "compact", "newton", True, 1, {"mass_in_value": True}),
    ("char", "none", "gaussian", False, 2, {"repulsion_interval": 2}),
    ("char", "compact", "potential", False, 1, {"coordinates": "position"}),
    ("bpe", "none", "gaussian", True, 1, {"mass_in_value": True}),
    ("bpe", "hard", "newton", False, 2, {"use_cosine_schedule": True}),
    ("bpe", "soft", "newton", True, 2, {"use_rsqrt": True}),
    ("bpe", "compact", "gaussian", False, 1, {"no_repulsion": True}),
    ("bpe", "hard", "potential", True, 1, {"dropout": 0.2}),
    ("bpe", "none", "potential", False, 2, {"place": 4}),
    ("tiktoken", "none", "potential", True, 1, {"mass_in_value": True}),
    ("tiktoken", "hard", "newton", False, 1, {"coord_dim": 8}),
    ("tiktoken", "soft", "gaussian", False, 1, {"warmup_steps": 2}),
    ("tiktoken", "compact", "potential", True, 2, {}),
    ("tiktoken", "none", "newton", True, 2, {"coordinates": "position"}),
    ("char", "none", "dot", False, 1, {"model": "vanilla"}),
    ("bpe", "none", "dot", True, 2, {"model": "vanilla"}),
    ("tiktoken", "none", "dot", False, 2, {"model": "vanilla", "dropout": 0.2}),
    ("char", "none", "gaussian", True, 1, {"positions": "rotary", "looking": True}),
    ("bpe", "compact", "newton", False, 2, {"positions": "none", "mass": False}),
    ("char", "none", "potential", False, 1, {"moves": False,
                                             "positions": "learned+rotary"}),
    ("char", "none", "dot", True, 2, {"model": "vanilla", "positions": "alibi"}),
    ("bpe", "none", "dot", False, 1, {"model": "vanilla", "stream": "coordinates",
                                      "positions": "rotary", "qk_norm": True}),
    ("char", "none", "dot", False, 1, {"model": "vanilla", "moves": False,
                                       "stream": "content+coordinates"}),
]


@pytest.mark.parametrize(("tokenizer", "cutoff", "kernel", "amp", "parts", "more"),
                         MATRIX, ids=["-".join(map(str, row[:5])) for row in MATRIX])
def test_options_combine(tiny, tokenizer, cutoff, kernel, amp, parts, more):
    kernel = {} if kernel == "dot" else {"kernel": kernel, "cutoff": cutoff}
    run = done(replace(tiny, tokenizer=tokenizer, use_amp=amp, **kernel, **more,
                       gradient_accumulation_steps=parts))
    assert len(run.losses) == 3
    told = [*run.losses, *run.history.train, *run.history.grad_norm,
            *run.history.valid, run.valid, run.best]
    assert all(math.isfinite(x) for x in told)
    assert all(norm > 0 for norm in run.history.grad_norm)
    assert all(p.isfinite().all() for p in run.model.parameters())


def test_the_two_flags_of_the_original_mean_a_cutoff():
    asked = {(): "none", ("use_soft_cutoff",): "soft"}
    for flags, gate in asked.items():
        assert Options(**dict.fromkeys(flags, True)).gate == gate
    assert Options(no_radius_cutoff=False).gate == "compact"
    assert Options(no_radius_cutoff=True).gate == "none"
    assert Options(no_radius_cutoff=False, use_soft_cutoff=True).gate == "soft"
    assert Options(cutoff="hard").gate == "hard"


def test_the_group_original_has_the_defaults_of_the_original():
    theirs = {
        "hidden_dim": 256, "num_layers": 6, "num_heads": 8, "mlp_dim": 1024,
        "block_size": 256, "batch_size": 64, "max_steps": 5000, "learning_rate": 3e-4,
        "grad_clip": 1.0, "dropout": 0.1, "eval_interval": 100, "eval_iters": 50,
        "vis_interval": None, "use_amp": False, "use_cosine_schedule": False,
        "gradient_accumulation_steps": 1, "warmup_steps": 0, "lambda_repulsion": 0.05,
        "repulsion_interval": 1, "no_repulsion": False, "use_soft_cutoff": False,
        "use_rsqrt": False, "mass_in_value": False, "resume": False, "run_name": None,
        "tokenizer": "char", "bpe_vocab_size": 4000, "coord_dim": 32, "cutoff": "hard",
        "coordinates": "position", "kernel": "potential", "sign": -1, "looking": False,
        "positions": "learned", "moves": True, "mass": True,
    }
    preset = catalogue().presets["original"]
    folder = preset.pop("checkpoint_path")
    assert preset == ORIGINAL
    given = asdict(check(Options(**ORIGINAL, checkpoint_path=folder)))
    assert {name: given[name] for name in theirs} == theirs
    assert Options().folder.parts[-2:] == ("checkpoints", "ngt")
    assert Options(model="vanilla").folder.parts[-2:] == ("checkpoints", "vanilla")


def test_defaults_are_the_best_of_the_record():
    """Of the arms that these options can name, over seeds, on the book's own text."""
    lines = (data.ROOT / "benchmarks" / "results" / "quality.jsonl").read_text("utf-8")
    rows = [json.loads(line) for line in lines.splitlines()]
    losses = {}
    for row in rows:
        if row["size"] == "small" and row.get("text", "tinyshakespeare") == rows[0].get(
                "text", "tinyshakespeare"):
            losses.setdefault((row["name"], row["learning_rate"]), []).append(row)
    unset = LMConfig(vocab=65)
    settable = ("coordinates", "looking", "positions", "moves", "mass", "stream",
                "qk_norm")

    def best(arms):
        means = {key: mean(row["valid"] for row in of) for key, of in losses.items()
                 if len(of) >= 3 and key[0] in arms}
        name, rate = min(means, key=lambda key: means[key])
        arm = {option: ARMS[name].get(option, getattr(unset, option))
               for option in ("attention", *settable)}
        return arm | {"learning_rate": rate}

    named = {name: arm for name, arm in ARMS.items() if set(arm) <= {
        "attention", "sign", "eps", "strength", *settable}}
    ours = asdict(Options())
    gravity = best({name for name, arm in named.items() if arm["attention"] != "dot"})
    assert gravity.pop("attention") == ours["kernel"]
    del gravity["qk_norm"]  # of vanilla alone
    assert ours | gravity == ours
    twin = best({name for name, arm in named.items()
                 if arm["attention"] == "dot" and "stream" not in arm})
    for option in ("attention", "coordinates", "looking"):  # what content has not
        del twin[option]
    assert ours | twin == ours
    recipe = recipe_of(Options())
    assert (recipe.schedule, recipe.warmup) == ("cosine", Recipe().warmup)
    assert not Options().repels  # no arm of the record does


@pytest.mark.parametrize("vocab", [65, 4000])
@pytest.mark.parametrize("more", [
    {}, {"hidden_dim": 128, "num_heads": 4, "num_layers": 4}, {"cutoff": "compact"},
    {"mass_in_value": True}, {"coordinates": "position"}, {"mass": False},
    {"coordinates": "token+position", "positions": "learned+rotary"},
    {"positions": "none"}, {"moves": False}, {"place": 30},
])
def test_both_models_have_the_same_number_of_parameters(vocab, more):
    def count(options):
        return parameters(LanguageModel(model_config(options, vocab)))

    options, twin = Options(**more), Options(model="vanilla", positions="learned")
    twin = replace(twin, **{name: value for name, value in more.items() if name in (
        "hidden_dim", "num_heads", "num_layers")})
    assert abs(count(options) / count(twin) - 1) < 0.005
    stream = replace(options, model="vanilla", stream="coordinates")
    assert abs(count(stream) / count(twin) - 1) < 0.005


def test_the_profile_smoke_lowers_only_what_was_left_alone():
    small = for_profile(Options(max_steps=200, num_heads=16), "smoke")
    assert (small.max_steps, small.num_heads, small.hidden_dim) == (200, 16, 128)
    assert (small.num_layers, small.block_size) == (2, 32)
    assert "smoke" in small.folder.parts and "smoke" in small.board.name
    assert check(small) == small
    assert for_profile(Options(), "book") == Options()


# ---- batches and repulsion ---------------------------------------------------------


def test_a_batch_depends_on_seed_and_step_alone():
    def windows(seed=3):
        return Windows(torch.arange(500), 4, 16, seed, sampled=8, every=3)

    batches = windows().after(0)
    first = [next(batches) for _ in range(7)]
    for step in (0, 2, 5, 6):
        again = next(windows().after(step))
        assert all(torch.equal(a, b) for a, b in zip(again, first[step], strict=True))
    assert not torch.equal(next(windows(4).after(0))[0], first[0][0])
    assert [places.shape[1] for _, _, places in first] == [8, 0, 0, 8, 0, 0, 8]
    for x, y, places in first:
        assert torch.equal(y, x + 1)
        assert all(len(set(row.tolist())) == places.shape[1] for row in places)
    starts = {int(x[row, 0]) for x, _, _ in first for row in range(4)}
    assert len(starts) > 20  # of 28


def test_repulsion_is_minimised_and_not_reported(tiny):
    task = prepare(tiny)
    model = build(model_config(tiny, task.tokens.vocab), 0).eval()
    batch = next(Windows(task.train_ids, 4, 16, 0, sampled=8).after(0))
    total, tokens, shown = objective(model, batch, 0.5)
    alone = objective(model, batch, 0.0)
    _, z, mass = model.places(batch[0])
    drawn = batch[2][0]
    energy = torch.zeros((), dtype=torch.float64)
    pairs = [(i, j) for i in drawn for j in drawn if i != j]
    for i, j in pairs:  # as it is written
        r2 = (z[:, i] - z[:, j]).double().square().mean(-1).clamp_min(0.01)
        energy += (mass[:, i] * mass[:, j] / r2).mean() / len(pairs)
    assert shown.item() == pytest.approx(alone[0].item(), rel=1e-6)
    assert alone[2].item() == alone[0].item()
    assert total.item() == pytest.approx(
        (shown + 0.5 * tokens * energy).item(), rel=1e-5)


def test_the_losses_of_a_run_are_those_without_repulsion(tiny):
    strong = done(replace(tiny, lambda_repulsion=50.0, eval_interval=1))
    none = done(replace(tiny, no_repulsion=True))
    assert strong.losses[0] == pytest.approx(none.losses[0], rel=1e-6)
    assert strong.losses[2] != pytest.approx(none.losses[2], rel=1e-4)
    assert strong.history.train == pytest.approx(strong.losses)


@pytest.mark.slow
def test_repulsion_pushes_points_apart(tiny):
    def energy(options):
        return scalars(done(options).options.board)["repulsion"].iloc[-1]

    longer = replace(tiny, max_steps=30, eval_interval=30)
    pushed = energy(replace(longer, lambda_repulsion=1.0))
    assert pushed < 0.8 * energy(replace(longer, no_repulsion=True))


def test_parts_of_a_batch_make_the_same_update(tiny):
    whole, parts = (done(replace(tiny, gradient_accumulation_steps=n)) for n in (1, 4))
    # the same sums in another order, in float32
    assert parts.losses == pytest.approx(whole.losses, rel=1e-4)
    assert parts.history.grad_norm == pytest.approx(whole.history.grad_norm, rel=1e-3)


def test_validation_is_of_evenly_spread_windows_and_at_last_of_all(tiny):
    run = done(tiny)
    ids = prepare(tiny).valid_ids
    assert run.history.valid[-1] == pytest.approx(evaluate(run.model, ids, 16, 3))
    assert run.valid == pytest.approx(evaluate(run.model, ids, 16))
    assert run.best == pytest.approx(
        evaluate(load_model(run.folder)[0], ids, 16), rel=1e-6)


def test_training_learns(tiny):
    run = done(replace(tiny, max_steps=80, eval_interval=40, use_cosine_schedule=True))
    assert run.history.step == [40, 80]
    assert run.losses[0] > 3.8 and run.valid < 3.2


# ---- checkpoints -------------------------------------------------------------------


def test_a_checkpoint_holds_model_tokenizer_and_options(tiny):
    run = done(replace(tiny, tokenizer="bpe"))
    told = describe(run.folder / "last")["configuration"]
    assert told["kind"] == "gravity_lm"
    assert told["options"] == asdict(run.options)
    assert told["tokenizer"] == run.tokens.to_json()
    model, tokens, _ = load_model(run.folder / "last")
    ids = torch.tensor([tokens.encode("To be, or not")])
    assert torch.equal(model(ids), run.model(ids))


def test_a_run_that_goes_on_is_the_run_that_was_not_stopped(tiny, tmp_path):
    options = replace(tiny, max_steps=7, repulsion_interval=2, dropout=0.3,
                      gradient_accumulation_steps=2)
    whole = done(replace(options, checkpoint_path=str(tmp_path / "whole")))
    done(replace(options, max_steps=5))  # 5 is between two evaluations
    again = done(replace(options, resume=True))
    assert again.losses == whole.losses
    assert again.history.step[-2:] == [6, 7]
    for a, b in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(("change", "said"), [
    ({"hidden_dim": 64}, "was trained with hidden_dim 32 and this run has 64; go on"),
    ({"kernel": "gaussian"}, "was trained with kernel newton and this run has gauss"),
    ({"seed": 1}, "was trained with seed 0 and this run has 1"),
    ({"model": "vanilla"}, "was trained with model ngt and this run has vanilla"),
    ({"lambda_repulsion": 0.1}, "was trained with lambda_repulsion 0.05"),
])
def test_to_go_on_with_other_options_is_refused(tiny, change, said):
    before = done(tiny)
    with pytest.raises(CheckpointError) as caught:
        done(replace(tiny, resume=True, **change))
    assert said in str(caught.value) and "\n" not in str(caught.value)
    assert describe(before.folder / "last")["step"] == 3


def test_a_training_from_before_an_option_goes_on_as_it_was(tiny):
    """Its record does not name the option: what was done then is what it means."""
    done(replace(tiny, max_steps=2))
    tensors, about = load(tiny.folder / "last")
    for name in EARLIER:
        del about["configuration"]["options"][name]
    save(tiny.folder / "last", tensors, about)
    assert len(done(replace(tiny, resume=True)).losses) == 3
    with pytest.raises(CheckpointError, match="with positions learned and this run ha"):
        done(replace(tiny, resume=True, positions="none"))


def test_to_go_on_with_a_checkpoint_of_another_kind_is_refused(tiny):
    save(tiny.folder / "last", {"weight": torch.ones(1)}, {"configuration": {}})
    with pytest.raises(CheckpointError, match="last holds no training of a language"):
        done(replace(tiny, resume=True))


def test_a_run_goes_on_with_the_tokenizer_of_its_checkpoint(tiny, tmp_path):
    file = tmp_path / "bpe.json"
    options = replace(tiny, tokenizer="bpe", tokenizer_path=str(file))
    first = done(options)
    file.unlink()
    again = done(replace(options, resume=True, max_steps=4, bpe_vocab_size=300))
    assert again.tokens.to_json() == first.tokens.to_json()
    assert again.losses[:3] == first.losses


# ---- wrong use ---------------------------------------------------------------------


@pytest.mark.parametrize(("change", "said"), [
    ({"hidden_dim": 30}, "num_heads 4; use hidden_dim 28 or 32, or 3 heads"),
    ({"model": "gpt"}, "model 'gpt' is not known; use one of ngt, vanilla"),
    ({"kernel": "newto"}, "kernel 'newto' is not known; use one of newton, gaussian"),
    ({"cutoff": "sharp"}, "cutoff 'sharp' is not known; use one of none, hard, soft"),
    ({"tokenizer": "word"}, "tokenizer 'word' is not known; use one of char, bpe"),
    ({"dataset": "ptb", "data_path": None}, "dataset 'ptb' is not known; use one of"),
    ({"coordinates": "x"}, "coordinates 'x' is not known; use one of token+position"),
    ({"positions": "alibi"}, "positions alibi belong to model vanilla"),
    ({"positions": "rotary", "place": 5}, "place 5 is odd and positions rotary turn"),
    ({"stream": "coordinates"}, "stream coordinates belongs to model vanilla"),
    ({"mass": False, "mass_in_value": True}, "nothing to multiply where mass is False"),
    ({"model": "vanilla", "positions": "rotary", "hidden_dim": 12},
     "turn numbers in pairs; use hidden_dim 8 or 16, or positions learned"),
    ({"form": "quick"}, "form 'quick' is not known; use one of auto, reference, sdpa"),
    ({"form": "sdpa"}, "form 'sdpa' cannot compute kernel 'newton' with cutoff 'none'"),
    ({"sign": 2}, "sign 2 is not known; use one of 1, -1"),
    ({"sign": -1}, "sign -1 belongs to kernel potential and kernel is newton"),
    ({"max_steps": 0}, "max_steps is 0; use 1 or more"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0; use more than 0"),
    ({"dropout": 1.0}, "dropout is 1.0; use 0 or more, below 1"),
    ({"warmup_steps": -1}, "warmup_steps is -1; use 0 or more"),
    ({"gradient_accumulation_steps": 5}, "batch_size 4 cannot be cut into gradient_"),
    ({"no_radius_cutoff": True, "use_soft_cutoff": True},
     "leave use_soft_cutoff out for no cutoff, or no_radius_cutoff for a soft one"),
    ({"use_soft_cutoff": True, "cutoff": "hard"}, "use_soft_cutoff and cutoff hard"),
    ({"resume": True}, "holds no training to go on with; leave resume out"),
    ({"device": "tpu"}, "device 'tpu' is not known"),
    ({"block_size": 4000}, "1,200 tokens and block_size is 4,000; use block_size 1,1"),
    ({"data_path": "none.txt"}, "none.txt is no file; name a text"),
    ({"tokenizer": "bpe", "bpe_vocab_size": 9}, "bpe_vocab_size is 9; use 256 or more"),
])
def test_wrong_use_is_one_sentence_before_anything_is_done(tiny, change, said):
    with pytest.raises(ValueError) as caught:
        done(replace(tiny, **change))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not tiny.folder.exists() and not tiny.board.exists()


def test_the_command_line_ends_with_one_sentence_or_trains(tiny, capsys):
    words = [f"{name}={value}" for name, value in asdict(tiny).items()]
    assert ngt.main([*words, "kernel=gaussian"]) == 0
    assert capsys.readouterr().out.startswith("ngt: loss ")
    assert ngt.main([*words, "kernel=gauss"]) == 1
    assert ngt.main(["kernels=newton"]) == 1
    heard = capsys.readouterr().err.splitlines()
    assert heard[0].startswith("kernel 'gauss' is not known")
    assert heard[1].startswith("'kernels=newton' is no option")


# ---- TensorBoard -------------------------------------------------------------------

ALL = {"loss/train", "loss/valid", "lr", "gradient_norm", "repulsion", "strength",
       "radius", "distance", "entropy", "cut_off"}


def test_tensorboard_finds_every_scalar_and_the_points_of_the_projector(tiny):
    from google.protobuf import text_format

    run = done(replace(tiny, max_steps=4, vis_interval=2, cutoff="compact"))
    board = run.options.board
    read = EventAccumulator(str(board)).Reload()
    assert set(read.Tags()["scalars"]) == ALL
    for name in ALL:
        events = read.Scalars(name)
        assert [event.step for event in events] == [2, 4]
        assert all(math.isfinite(event.value) for event in events)
    told = {name: [e.value for e in read.Scalars(name)] for name in ALL}
    assert told["loss/valid"] == pytest.approx(run.history.valid)
    assert told["loss/train"] == pytest.approx(run.history.train)
    assert told["lr"] == pytest.approx([1e-2, 1e-2])
    assert 0 < told["cut_off"][-1] < 1

    config = text_format.Parse((board / "projector_config.pbtxt").read_text(),
                               ProjectorConfig())
    assert [e.tensor_name for e in config.embeddings] == [
        "coordinates:000002", "coordinates:000004"]
    last = config.embeddings[-1]
    points = [[float(x) for x in line.split("\t")]
              for line in (board / last.tensor_path).read_text().splitlines()]
    header, *rows = (board / last.metadata_path).read_text().splitlines()
    assert header == "token\tmass\tposition"
    window = prepare(run.options).valid_ids[:16]
    _, z, mass = run.model.places(window[None])
    torch.testing.assert_close(torch.tensor(points), z[0], rtol=1e-4, atol=1e-4)
    labels = run.tokens.labels()
    for place, (row, i) in enumerate(zip(rows, window.tolist(), strict=True)):
        label, m, position = row.split("\t")
        assert (label, int(position)) == (labels[i], place)
        assert float(m) == pytest.approx(mass[0, place].item(), rel=1e-4)


@pytest.mark.parametrize("goes_on", [False, True])
def test_what_else_lies_in_the_tensorboard_folder_stays_there(tiny, goes_on):
    options = replace(tiny, vis_interval=2, max_steps=4)
    board = done(options).options.board
    (board / "2026-notes").mkdir()
    for name in ("2026-notes/mine.txt", "91_ngt.ipynb"):
        (board / name).write_text("mine")
    done(replace(options, max_steps=6, resume=goes_on))
    assert (board / "2026-notes/mine.txt").exists()
    assert (board / "91_ngt.ipynb").exists()
    assert (board / "000006").is_dir()


def test_tensorboard_of_a_run_that_goes_on_has_each_step_once(tiny):
    options = replace(tiny, vis_interval=2)
    first = done(replace(options, max_steps=5))  # writes of 2, 4, 5
    for name in ("last", "best"):  # what was saved at 5 is lost, `before` is of 4
        shutil.rmtree(first.folder / name)
    run = done(replace(options, max_steps=7, resume=True))
    told = scalars(run.options.board)
    assert list(told.index) == [2, 4, 6, 7]
    assert told.notna().all(axis=None)
    config = (run.options.board / "projector_config.pbtxt").read_text()
    assert config.count("tensor_name") == 4
    before = [path.name for path in run.options.board.iterdir()]
    again = done(run.options)  # nothing is left to do
    assert again.losses == run.losses and again.valid == run.valid
    assert [path.name for path in run.options.board.iterdir()] == before
    fresh = done(options)
    assert list(scalars(fresh.options.board).index) == [2, 3]
    config = (fresh.options.board / "projector_config.pbtxt").read_text()
    assert config.count("tensor_name") == 2


def test_the_vanilla_twin_tells_its_losses_and_entropy(tiny):
    run = done(replace(tiny, model="vanilla", vis_interval=1))
    found = set(scalars(run.options.board).columns)
    assert found == {"loss/train", "loss/valid", "lr", "gradient_norm", "entropy"}


def test_looking_changes_nothing(tiny, tmp_path):
    options = replace(tiny, dropout=0.3, max_steps=5)
    quiet = done(replace(options, eval_interval=5, vis_interval=0))
    often = done(replace(options, eval_interval=1, vis_interval=1,
                         checkpoint_path=str(tmp_path / "often")))
    assert often.losses == quiet.losses
