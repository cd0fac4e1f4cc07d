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

import contextlib
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
from lib.training.checkpoint import (
    INDEX,
    CheckpointError,
    describe,
    load_first,
    optimizer_parts,
    part,
    put,
    put_optimizer,
    save,
    whole,
)
from lib.training.process import random_state, set_random_state

#: The checkpoints of a run, in the order in which they are gone on with.
KEPT = ("last", "before", "best")
NEXT = ".next"  # where the next one is written

#: What may differ between a run and the one that goes on with it.
FREE = ("steps", "evaluations", "evaluation_interval", "evaluation_windows",
        "accumulation")


@dataclass(frozen=True)
class Progress:
    """The parts of a run that change as it goes."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    accelerator: Accelerator
    recipe: Any


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

    def there(self) -> bool:
        """Whether there is a run to go on with."""
        return any((place / INDEX).exists() for place in self._places())

    def check(self) -> None:
        """Refuse, before anything is computed, a folder whose names are taken.

        Raises
        ------
        CheckpointError
            If what a training would put another in place of is none of ours.
        """
        folder = Path(self.folder)
        for place in [*(folder / name for name in KEPT), *folder.glob("epoch_*")]:
            taken = place.exists() and (not place.is_dir() or any(place.iterdir()))
            ours = (place / INDEX).exists() or any(place.glob("*.safetensors"))
            if taken and not ours:
                raise CheckpointError(
                    f"{place} is there and is no checkpoint, and a training would put "
                    "one in its place; move it away, or name another folder"
                )

    def found(self) -> tuple[Path, dict[str, Any]] | None:
        """The newest checkpoint that can be described, and what stands beside it."""
        for place in self._places():
            with contextlib.suppress(CheckpointError):
                return place, describe(place)
        return None

    def wrong(self) -> CheckpointError | None:
        """What is wrong with the first checkpoint that cannot be described."""
        for place in self._places():
            if (place / INDEX).exists():
                try:
                    describe(place)
                except CheckpointError as error:
                    return error
        return None

    def losses(self) -> list[float]:
        """The loss of every step so far, those before a resume included, in nats."""
        if not self._log:
            return []
        self._log = [torch.cat(self._log)]
        return self._log[0].tolist()

    def after_step(
        self,
        run: Progress,
        step: int,
        loss: Tensor,
        history: dict[str, Any],
        losses: list[Tensor],
        norms: list[Tensor],
        evaluated: bool,
        asked: bool,
    ) -> None:
        """Note the loss of a step and save what is due."""
        if step == 1:
            self._log = []
        self._log.append(loss.detach().reshape(1))
        valid = [value for value in history["valid"] if value is not None]
        better = evaluated and valid and valid[-1] <= min(valid)
        due = evaluated if self.every is None else step % self.every == 0
        epoch, rest = divmod(step, self.epoch) if self.epoch else (0, 1)
        names = ["best"] * bool(better)
        names += ["last"] * (due or asked or step == run.recipe.steps)
        about = {
            "step": step,
            "configuration": self.configuration,
            "recipe": asdict(run.recipe),
            "history": history,
        }
        main = run.accelerator.is_main_process
        if rest == 0 and main:
            weights = whole(model=run.model.state_dict())
            self._store(f"epoch_{epoch}", weights, about | {"holds": "weights"})
        if names:
            random = _gathered(run.accelerator)
            if main:
                tensors, more = self._training(run, about, random, losses, norms)
                for name in names:
                    self._store(name, tensors, about | more)
        run.accelerator.wait_for_everyone()

    def _training(
        self,
        run: Progress,
        about: dict[str, Any],
        random: dict[str, Tensor],
        losses: list[Tensor],
        norms: list[Tensor],
    ) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All of a run: its tensors, and what else stands beside them."""
        state, groups = optimizer_parts(run.optimizer)
        since = {"losses": losses, "norms": norms}
        self.losses()  # one tensor now
        tensors = whole(
            model=run.model.state_dict(),
            optimizer=state,
            random=random,
            since={name: torch.stack(part) for name, part in since.items() if part},
            log={"losses": self._log[0]},
        )
        scaler = run.accelerator.scaler
        more = {
            "holds": "training",
            "optimizer": groups,
            "scaler": scaler.state_dict() if scaler else None,
            "schedule": {"name": run.recipe.schedule, "step": about["step"],
                         "lr": groups[0]["lr"]},
            "data": {"batches": about["step"]},
            "processes": run.accelerator.num_processes,
        }
        return tensors, more

    def _store(
        self, name: str, tensors: dict[str, Tensor], about: dict[str, Any]
    ) -> None:
        """Put a checkpoint in its place, once it is whole; `last` becomes `before`.

        What an earlier run left goes when the first of this one is whole.
        """
        folder = Path(self.folder)
        place, draft = folder / name, folder / NEXT
        if self._begun and name != "last":
            save(place, tensors, about)
            return
        try:
            save(draft, tensors, about)
        except CheckpointError:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        if not self._begun:
            for old in [*(folder / n for n in KEPT), *folder.glob("epoch_*")]:
                if (old / INDEX).exists():
                    shutil.rmtree(old)
            self._begun = True
        elif (place / INDEX).exists() and not self._spoilt:
            _remove(folder / "before")
            os.rename(place, folder / "before")
        _remove(place)
        os.rename(draft, place)
        flush_folder(folder)
        self._spoilt = False

    def _places(self) -> list[Path]:
        """Where a run can be gone on with, the newest first."""
        return [Path(self.folder) / name for name in (*KEPT, ".")]

    def restore(
        self, run: Progress
    ) -> tuple[int, dict[str, Any], list[Tensor], list[Tensor]]:
        """Bring a run to where `last` was saved: its step, history and recent losses.

        Where `last` is missing or damaged this is said on stderr, and `before`, `best`
        or the folder itself is taken.

        Raises
        ------
        CheckpointError
            If none is whole, holds a training, and is of this model and recipe.
        """
        last, *others = self._places()
        there = [place for place in others if (place / INDEX).exists()]
        # where only the folder itself is one, no `last` is missed
        missed = any(place.name in KEPT for place in there)
        first = [last] if (last / INDEX).exists() or missed else []
        place, tensors, about = load_first([*first, *there], holds="training")
        self._spoilt = place != last and (last / INDEX).exists()
        before, now = about["recipe"], asdict(run.recipe)
        for name, value in now.items():
            was = before.get(name)
            was = tuple(was) if isinstance(was, list) else was
            if name not in FREE and was != value:
                raise CheckpointError(
                    f"{place} was trained with {name} {was} and this run has {value}; "
                    "go on with the same, or start anew in another folder"
                )
        put(part(tensors, "model"), run.model, place)
        put_optimizer(part(tensors, "optimizer"), about["optimizer"], run.optimizer)
        if run.accelerator.scaler and about["scaler"]:
            run.accelerator.scaler.load_state_dict(about["scaler"])
        device = run.accelerator.device
        if about["processes"] == run.accelerator.num_processes:
            rank = run.accelerator.process_index
            random = {n: rows[rank] for n, rows in part(tensors, "random").items()}
            set_random_state(random, device)
        since = part(tensors, "since")
        losses, norms = (
            [row.to(device) for row in since.get(name, ())]
            for name in ("losses", "norms")
        )
        unknown = torch.full((about["step"],), torch.nan)  # older ones have no log
        self._log = [tensors.get("log.losses", unknown).to(device)]
        self._begun = True
        return about["step"], about["history"], losses, norms


def _remove(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)


def _gathered(accelerator: Accelerator) -> dict[str, Tensor]:
    """The random state of every process, one row each."""
    own = random_state(accelerator.device)
    if accelerator.num_processes == 1:
        return {name: state[None] for name, state in own.items()}
    return {
        name: cast(Tensor, gather(state[None].to(accelerator.device))).cpu()
        for name, state in own.items()
    }
