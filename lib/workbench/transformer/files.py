"""What the workbench leaves: pictures, tables, and the way back to them.

    results/pytorch/      checkpoints/{best,last,epoch_1,…}  visualizations/…  logs/
    results/huggingface/  model/ config.json training_args.json visualizations/… logs/

`analyses(run)` makes the tables of the five analyses, `leave(run, options)` writes
everything, `loaded(options)` reads what is there, and `self_test()` tries it all out.
"""

import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import matplotlib.image
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from safetensors.torch import load_file
from torch import nn

from lib.attention.huggingface import load
from lib.attention.transformer import Transformer
from lib.attention.translation import collate
from lib.files import write_json, write_text
from lib.page.figures import COLOURS
from lib.page.profile import pick_device
from lib.trace import analyses as five
from lib.trace.recorder import trace
from lib.training.checkpoint import INDEX, CheckpointError, describe, load_weights
from lib.workbench.transformer import training
from lib.workbench.transformer.options import TRAINED, Options, check
from lib.workbench.transformer.training import Run, Task, loss_of, prepare

#: A wide line below a narrow one: they may lie on each other.
LINES = {"pytorch": ("attention", 4), "huggingface": ("gravity", 1.5)}
NAMES = {"pytorch": "PyTorch", "huggingface": "Hugging Face"}


# ---- the five analyses ----------------------------------------------------------


def analyses(run: Run) -> dict[str, pd.DataFrame]:
    """The tables of the five analyses of a run, on its probe.

    `qkv`, `attention` (of the last cross-attention), `feed_forward`, `gradient` hold
    a `step` column if the training was tracked; `path` is of the last step.
    """
    taken, tracked = run.snapshots, True
    if taken is None or len(taken.steps) < 2:
        taken, tracked = training.snapshots_of(run.task), False
        taken.take(run.step, run.model)
    tables = {"qkv": taken.qkv, "attention": taken.attention(),
              "feed_forward": taken.feed_forward, "gradient": taken.gradients}
    if not tracked:
        tables = {name: table.drop(columns="step") for name, table in tables.items()}
    with torch.no_grad(), trace(run.model) as traced:
        loss_of(run.model, probe_of(run))
    path = five.path_table(traced, run.task.tokens(), stack="decoder")
    return tables | {"path": path}


def probe_of(run: Run) -> dict[str, torch.Tensor]:
    """The probe as a batch on the device of the model."""
    device = next(run.model.parameters()).device
    batch = collate([run.task.probe], run.task.tokenizer)
    return {name: ids.to(device) for name, ids in batch.items()}


def figures(tables: dict[str, pd.DataFrame]) -> Iterator[tuple[str, Figure]]:
    """One figure for each table of `analyses`."""
    for name, table in tables.items():
        yield name, getattr(five, f"{name}_figure")(table)


def tensors(run: Run) -> pd.DataFrame:
    """Every traced tensor of the probe: shape, mean, spread, size, whether finite."""
    mode = run.model.training
    run.model.eval()
    with torch.no_grad(), trace(run.model) as traced:
        loss_of(run.model, probe_of(run))
    run.model.train(mode)
    return pd.DataFrame([
        {"name": name, "shape": " × ".join(map(str, x.shape)),
         "mean": x.float().mean().item(), "std": x.float().std(correction=0).item(),
         "largest": x.nan_to_num(0, 0, 0).abs().max().item(),
         "not finite": int((~x.isfinite()).sum())}
        for name, x in traced.items()])


def curves_figure(runs: list[Run]) -> Figure:
    """Training and validation loss of each run against the step."""
    figure, axis = plt.subplots()
    for run in runs:
        colour, width = LINES[run.version]
        for name, line in (("train", ":"), ("valid", "-")):
            part = run.curve.dropna(subset=[name])
            axis.plot(part["step"], part[name], line, color=COLOURS[colour],
                      linewidth=width, label=f"{NAMES[run.version]}, {name}")
    axis.set(xlabel="step", ylabel="loss (nats per token)", ylim=(0, None))
    axis.legend()
    return figure


# ---- writing ----------------------------------------------------------------------


def leave(run: Run, options: Options) -> list[Path]:
    """Write tables and pictures of a run; return every file of its tree.

    What `version="analysis"` finds goes to a folder `analysis`, beside the trees.
    """
    inner = "analysis" if options.version == "analysis" else "."
    folder, tables = options.folder / inner / run.version, analyses(run)
    logs, pictures = folder / "logs", folder / "visualizations"
    logs.mkdir(parents=True, exist_ok=True)
    write_json(logs / "run.json", {"options": asdict(options), "step": run.step,
                                   "seconds": run.seconds, "exact match": run.scores})
    for name, table in (tables | {"history": run.curve}).items():
        if len(table):
            write_text(logs / f"{name}.csv", table.to_csv(index=False))
    if options.debug:
        write_text(logs / "tensors.csv", tensors(run).to_csv(index=False))
    if options.visualize:
        for old in pictures.glob("attention/attention_step_*.png"):
            old.unlink()
        if len(run.curve):
            five.save_png(curves_figure([run]), pictures / "training_curves.png")
        for name, figure in figures(tables):
            five.save_png(figure, pictures / _place(run.version, name, tables[name]))
        if run.version == "huggingface":
            _maps(tables["attention"], pictures / "attention", run.step)
    return sorted(_files(folder))


def _files(folder: Path) -> Iterator[Path]:
    """What a training left, without its locks."""
    return (file for file in folder.rglob("*")
            if file.is_file() and not file.name.startswith("."))


def _place(version: str, name: str, table: pd.DataFrame) -> str:
    """Where a picture goes: the names of the tutorial for those it had."""
    attention, qkv = (("attention_plots", ".") if version == "pytorch" else
                      ("attention", "qkv"))
    maps, over = (("evolution",) * 2 if "step" in table else ("maps", "layers"))
    return {"attention": f"{attention}/attention_{maps}.png",
            "qkv": f"{qkv}/qkv_{over}.png", "path": "token_paths.png",
            "feed_forward": "feed_forward.png", "gradient": "gradient_flow.png"}[name]


def _maps(table: pd.DataFrame, folder: Path, last: int) -> None:
    """One picture of all heads for each snapshot."""
    if "step" not in table:
        table = table.assign(step=last)
    for step, own in table.groupby("step"):
        figure = five.attention_figure(own.drop(columns="step"))
        figure.suptitle(f"{figure.get_suptitle()}, step {step}", fontsize=11)
        five.save_png(figure, folder / f"attention_step_{step:06d}.png")


# ---- reading ----------------------------------------------------------------------


def loaded(options: Options) -> list[Run]:
    """The runs that `output_dir` holds, each with the sizes it was trained with.

    The evolution of the PyTorch version is that of its checkpoints.
    """
    runs = []
    for version in TRAINED:
        folder = options.folder / version
        there = {"pytorch": folder / "checkpoints" / "best" / INDEX,
                 "huggingface": folder / "model" / "config.json"}
        if there[version].exists() and (about := _about(folder)):
            runs.append(_loaded(options, version, folder, about))
    return runs


def _about(folder: Path) -> dict[str, Any] | None:
    """What `leave` wrote of a run; of one cut off, what its checkpoint says."""
    file, best = folder / "logs" / "run.json", folder / "checkpoints" / "best"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    if not (best / INDEX).exists():
        return None
    about = describe(best)
    return {"options": about["configuration"], "step": about["step"],
            "seconds": about["history"].get("seconds", 0.0), "exact match": {}}


def _loaded(options: Options, version: str, folder: Path, told: dict) -> Run:
    known = set(asdict(options))
    before = Options(**{k: v for k, v in told["options"].items() if k in known})
    task = prepare(replace(before, eval_size=2))
    device, taken = pick_device(options.device), None
    if version == "pytorch":
        model = Transformer(task.config).to(device)
        taken = training.snapshots_of(task)
        training.epochs_kept(taken, model, folder / "checkpoints")
        load_weights(folder / "checkpoints" / "best", model)
    else:
        # `to` of transformers is typed wrongly
        model = cast(nn.Module, load(folder)[0]).to(device)
    file = folder / "logs" / "history.csv"
    curve = pd.read_csv(file) if file.exists() else pd.DataFrame()
    return Run(version, model.eval(), task, told["step"], told["seconds"], curve, taken,
               told["exact match"], options=before)


def untrained(options: Options, task: Task) -> Run:
    """A model of these options before any training."""
    model = training.first_model(options, task).to(pick_device(options.device))
    return Run("pytorch", model.eval(), task, 0, options=options)


def opens(file: Path) -> bool:
    """Whether a file is what its name says.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "a.json"
    >>> file.write_text("{")
    1
    >>> opens(file)
    False
    """
    content = {
        ".png": lambda: matplotlib.image.imread(file).size,
        ".json": lambda: json.loads(file.read_text(encoding="utf-8")) is not None,
        ".csv": lambda: len(pd.read_csv(file)),
        ".safetensors": lambda: len(load_file(file)),
        **dict.fromkeys((".pt", ".pth", ".bin"),  # what torch.save writes
                        lambda: zipfile.is_zipfile(file))}
    try:
        return bool(content.get(file.suffix, lambda: file.stat().st_size)())
    except Exception:  # noqa: BLE001 - whatever the reader of that format raises
        return False


# ---- trying it out ------------------------------------------------------------------


def tree(options: Options) -> list[str]:
    """The files that a run with pictures and tracking must leave, as patterns."""
    epochs = [f"checkpoints/epoch_{n + 1}" for n in range(options.epochs)]
    kept = [f"{place}/{file}" for place in ["checkpoints/best", *epochs]
            for file in (INDEX, "*.safetensors")]
    return [
        *(f"pytorch/{name}" for name in (
            *kept, "visualizations/attention_plots/attention_evolution.png",
            "visualizations/training_curves.png", "visualizations/qkv_evolution.png",
            "logs/run.json", "logs/history.csv")),
        *(f"huggingface/{name}" for name in (
            "model/model.safetensors", "model/tokenizer.json", "config.json",
            "training_args.json", "visualizations/attention/attention_step_*.png",
            "visualizations/qkv/qkv_evolution.png", "logs/run.json"))]


def self_test(options: Options) -> pd.DataFrame:
    """Try both versions and the five analyses out, small, in a folder of their own.

    Device, precision and what else does not set a size are those of `options`. Raises
    AssertionError if something does not hold; it names what.
    """
    found: dict[str, bool] = {}
    with tempfile.TemporaryDirectory() as place:
        small = replace(
            options, version="both", output_dir=place, hidden_size=32, num_heads=2,
            num_layers=1, epochs=2, train_size=80, eval_size=8, batch_size=16,
            max_length=32, visualize=True, track_internals=True, wandb=False,
            resume=False, force=False, dropout=0.0, gradient_accumulation_steps=1,
            warmup_steps=None)
        task = prepare(check(small))
        runs = [training.train(small, task, version) for version in TRAINED]
        curves = [run.curve.set_index("step")["valid"] for run in runs]
        exact = small.mixed_precision == "no"
        found["one model under two sets of names"] = (
            bool(abs(curves[0][0] - curves[1][0]) < 1e-4))
        found["the same losses in both, step by step"] = (
            not exact or bool((curves[0] - curves[1]).abs().max() < 1e-3))
        found["training lowers the loss"] = all(c.iloc[-1] < c[0] for c in curves)
        for run in runs:
            leave(run, small)
        folder = Path(place)
        found["every file of the trees is there"] = all(
            any(folder.glob(name)) for name in tree(small))
        found["every file opens"] = all(map(opens, _files(folder)))
        again = loaded(replace(small, version="analysis"))
        found["what was saved is loaded"] = [run.version for run in again] == [*TRAINED]
        found["both write the same text, token by token"] = (
            training.written(again[0].model, task, task.valid[:4])
            == training.written(again[1].model, task, task.valid[:4])) or not exact
        found["five analyses of both"] = all(
            [*analyses(run)] == ["qkv", "attention", "feed_forward", "gradient", "path"]
            and all(len(table) for table in analyses(run).values()) for run in again)
        found[other := "a checkpoint of another shape is refused"] = True
        with suppress(CheckpointError):
            load_weights(folder / "pytorch" / "checkpoints" / "best",
                         Transformer(replace(task.config, d_model=16)))
            found[other] = False
    return _told({name: bool(held) for name, held in found.items()})


def _told(found: dict[str, bool]) -> pd.DataFrame:
    wrong = [name for name, held in found.items() if not held]
    if wrong:
        raise AssertionError(f"this does not hold here: {'; '.join(wrong)}")
    return pd.DataFrame({"check": found.keys(), "holds": found.values()})
