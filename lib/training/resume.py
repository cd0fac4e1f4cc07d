"""Which checkpoints a training keeps, and how it goes on from one.

    last/      all of a run at its latest save: weights, optimizer, random state,
               the loss of every step …
    before/    the same at the save before that
    best/      the same where the validation loss was lowest
    epoch_3/   the weights after the third epoch

A run goes on from the first of `last`, `before`, `best` and the folder itself that is
whole. A new `last` is written beside the old one and takes its name when it is whole:
cut off at any moment, one of them is there, and going on from it gives the same run to
the bit.
"""

import os
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator
from accelerate.utils import gather
from torch import Tensor, nn

from lib.files import flush_folder
from lib.training import checkpoint
from lib.training.checkpoint import INDEX, CheckpointError, part, whole
from lib.training.process import random_state, set_random_state

#: The checkpoints of a run, in the order in which they are gone on with.
KEPT = ("last", "before", "best")
NEXT = ".next"  # where the next one is written

#: What may differ between a run and the one that goes on with it.
FREE = ("steps", "evaluations", "evaluation_interval", "evaluation_windows",
        "accumulation")


@dataclass
class History:
    """One entry an evaluation; losses in nats, means since the entry before."""

    step: list[int] = field(default_factory=list)
    train: list[float] = field(default_factory=list)
    valid: list[float | None] = field(default_factory=list)
    lr: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)  # before clipping
    interrupted: bool = False
    seconds: float = field(default=0.0, compare=False)  # of the updates, and no more


@dataclass
class Progress:
    """A run as it goes; losses and norms are those since the last entry."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    recipe: Any
    step: int = 0  # updates made
    history: History = field(default_factory=History)
    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)

    def note(self, valid: float | None, lr: float) -> dict[str, Any]:
        """Make an entry of the history; return it. Updates that fp16 skipped have no
        norm: the mean is that of the others, and NaN where all were skipped."""
        norms = torch.stack(self.norms)
        entry = {"step": self.step, "train": torch.stack(self.losses).mean().item(),
                 "valid": valid, "lr": lr,
                 "grad_norm": norms[norms.isfinite()].mean().item()}
        for name, value in entry.items():
            getattr(self.history, name).append(value)
        self.losses, self.norms = [], []
        return entry


@dataclass
class Keep:
    """Where a training is kept and how often.

    every: steps between two saves of `last` (None: at each evaluation); it is saved
    at the end and when interrupted as well. epoch: steps of an epoch, each of which
    leaves `epoch_n` (None: none). configuration: what builds the model again, JSON.
    """

    folder: Path
    every: int | None = None
    epoch: int | None = None
    configuration: dict[str, Any] = field(default_factory=dict)
    _begun: bool = field(default=False, init=False)
    _spoilt: bool = field(default=False, init=False)  # `last` is there and damaged
    _log: list[Tensor] = field(default_factory=list, init=False)

    def __post_init__(self) -> None:
        self.folder = Path(self.folder)

    def there(self) -> bool:
        """Whether there is a run to go on with."""
        return any((place / INDEX).exists() for place in self._places())

    def check(self) -> None:
        """Refuse, before anything is computed, a folder whose names are taken: by what
        is no checkpoint, and a training would put one in its place."""
        for place in self._ours():
            taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
            ours = (place / INDEX).exists() or any(place.glob("*.safetensors"))
            if taken and not ours:
                raise CheckpointError(
                    f"{place} is there and is no checkpoint, and a training would put "
                    "one in its place; move it away, or name another folder")

    def found(self, remedy: str = "") -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that can be described, and what stands beside it.

        remedy: what to do where there are some and all are damaged, which is an error
        then; without it, None.
        """
        wrong = []
        for place in self._places():
            try:
                return place, checkpoint.describe(place)
            except CheckpointError as error:
                wrong += [error] * (place / INDEX).exists()
        if wrong and remedy:
            raise CheckpointError(f"{str(wrong[0]).rsplit('; ', 1)[0]}; {remedy}")
        return None

    def losses(self) -> list[float]:
        """The loss of every step so far, those before a resume included, in nats."""
        if not self._log:
            return []
        self._log = [torch.cat(self._log)]
        return self._log[0].tolist()

    def after_step(self, run: Progress, loss: Tensor, evaluated: bool,
                   asked: bool) -> None:
        """Note the loss of a step and save what is due."""
        step, main = run.step, run.accelerator.is_main_process
        if step == 1:
            self._log = []
        self._log.append(loss.detach().reshape(1))
        valid = [value for value in run.history.valid if value is not None]
        best = evaluated and bool(valid) and valid[-1] <= min(valid)
        due = evaluated if self.every is None else step % self.every == 0
        names = ["best"] * best
        names += ["last"] * (due or asked or step == run.recipe.steps)
        about = {"step": step, "configuration": self.configuration,
                 "recipe": asdict(run.recipe), "history": asdict(run.history)}
        if self.epoch and step % self.epoch == 0:
            weights = whole(model=run.model.state_dict())  # by all, where it is sharded
            if main:
                self._store(f"epoch_{step // self.epoch}", weights,
                            about | {"holds": "weights"})
        if names:
            tensors, more = self._training(run, _gathered(run.accelerator))
            for name in names if main else ():
                self._store(name, tensors, about | more)
        run.accelerator.wait_for_everyone()

    def _training(self, run: Progress, random: dict[str, Tensor]
                  ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of a run: its tensors, and what else stands beside them."""
        state, groups = checkpoint.optimizer_parts(run.optimizer)
        since = {"losses": run.losses, "norms": run.norms}
        self.losses()  # one tensor now
        tensors = whole(
            model=run.model.state_dict(), optimizer=state, random=random,
            since={name: torch.stack(rows) for name, rows in since.items() if rows},
            log={"losses": self._log[0]})
        scaler = run.accelerator.scaler
        return tensors, {"holds": "training",
                         "optimizer": groups,
                         "scaler": scaler.state_dict() if scaler else None,
                         "schedule": {"name": run.recipe.schedule, "step": run.step,
                                      "lr": groups[0]["lr"]},
                         "data": {"batches": run.step},
                         "processes": run.accelerator.num_processes}

    def _store(self, name: str, tensors: dict[str, Tensor],
               about: dict[str, Any]) -> None:
        """Put a checkpoint in its place, once it is whole; `last` becomes `before`.

        What an earlier run left goes when the first of this one is whole.
        """
        place, draft = self.folder / name, self.folder / NEXT
        if self._begun and name != "last":
            checkpoint.save(place, tensors, about)
            return
        try:
            checkpoint.save(draft, tensors, about)
        except CheckpointError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if not self._begun:
            for old in self._ours():
                if (old / INDEX).exists():
                    shutil.rmtree(old)
            self._begun = True
        elif (place / INDEX).exists() and not self._spoilt:
            _remove(self.folder / "before")
            os.rename(place, self.folder / "before")
        _remove(place)
        os.rename(draft, place)
        flush_folder(self.folder)
        self._spoilt = False

    def _ours(self) -> list[Path]:
        """The folders that a training writes."""
        return [*(self.folder / name for name in KEPT), *self.folder.glob("epoch_*")]

    def _places(self) -> list[Path]:
        """Where a run can be gone on with, the newest first."""
        return [self.folder / name for name in (*KEPT, ".")]

    def restore(self, run: Progress) -> None:
        """Bring a run to where `last` was saved.

        Where `last` is missing or damaged this is said on stderr, and `before`, `best`
        or the folder itself is taken. Raises CheckpointError if none is whole, holds a
        training, and is of this model and recipe.
        """
        last, *others = self._places()
        there = [place for place in others if (place / INDEX).exists()]
        # where only the folder itself is one, no `last` is missed
        missed = any(place.name in KEPT for place in there)
        first = [last] if (last / INDEX).exists() or missed else []
        place, tensors, about = checkpoint.load_first([*first, *there], "training")
        self._spoilt = place != last and (last / INDEX).exists()
        for name, value in asdict(run.recipe).items():
            was = about["recipe"].get(name)
            was = tuple(was) if isinstance(was, list) else was
            if name not in FREE and was != value:
                raise CheckpointError(
                    f"{place} was trained with {name} {was} and this run has {value}; "
                    "go on with the same, or start anew in another folder")
        checkpoint.put(part(tensors, "model"), run.model, place)
        checkpoint.put_optimizer(part(tensors, "optimizer"), about["optimizer"],
                                 run.optimizer)
        if run.accelerator.scaler and about["scaler"]:
            run.accelerator.scaler.load_state_dict(about["scaler"])
        device = run.accelerator.device
        if about["processes"] == run.accelerator.num_processes:
            rank = run.accelerator.process_index
            random = {n: rows[rank] for n, rows in part(tensors, "random").items()}
            set_random_state(random, device)
        run.step, run.history = about["step"], History(**about["history"])
        since = part(tensors, "since")
        run.losses, run.norms = ([row.to(device) for row in since.get(name, ())]
                                 for name in ("losses", "norms"))
        unknown = torch.full((run.step,), torch.nan)  # older ones have no log
        self._log = [tensors.get("log.losses", unknown).to(device)]
        self._begun = True


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _gathered(accelerator: Accelerator) -> dict[str, Tensor]:
    """The random state of every process, one row each."""
    own = random_state(accelerator.device)
    if accelerator.num_processes == 1:
        return {name: state[None] for name, state in own.items()}
    return {name: cast(Tensor, gather(state[None].to(accelerator.device))).cpu()
            for name, state in own.items()}
