"""Which checkpoints a training keeps, and how it goes on from one.

    last/      all of a run at its latest save: weights, optimizer, random state …
    best/      the weights with the lowest validation loss
    epoch_3/   the weights after the third epoch
"""

import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather
from torch import Tensor, nn

from lib.checkpoint import (
    INDEX,
    CheckpointError,
    load,
    optimizer_parts,
    part,
    put,
    put_optimizer,
    save,
    whole,
)
from lib.running import random_state, set_random_state

#: What may differ between a run and the one that goes on with it.
FREE = ("steps", "evaluations", "evaluation_windows", "accumulation")


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

    def there(self) -> bool:
        """Whether there is a run to go on with."""
        return (Path(self.folder) / "last" / INDEX).exists()

    def after_step(
        self,
        run: Progress,
        step: int,
        history: dict[str, Any],
        losses: list[Tensor],
        norms: list[Tensor],
        evaluated: bool,
        asked: bool,
    ) -> None:
        """Save what is due after a step."""
        valid = [value for value in history["valid"] if value is not None]
        better = evaluated and valid and valid[-1] <= min(valid)
        due = evaluated if self.every is None else step % self.every == 0
        epoch, rest = divmod(step, self.epoch) if self.epoch else (0, 1)
        names = ["best"] * bool(better) + [f"epoch_{epoch}"] * (rest == 0)
        about = {
            "step": step,
            "configuration": self.configuration,
            "recipe": asdict(run.recipe),
            "history": history,
        }
        main = run.accelerator.is_main_process
        if names and main:
            self._begin()
            weights = whole(model=run.model.state_dict())
            for name in names:
                save(Path(self.folder) / name, weights, about | {"holds": "weights"})
        if due or asked or step == run.recipe.steps:
            random = _gathered(run.accelerator)
            if main:
                self._begin()
                self._save_last(run, about, random, losses, norms)
        run.accelerator.wait_for_everyone()

    def _save_last(
        self,
        run: Progress,
        about: dict[str, Any],
        random: dict[str, Tensor],
        losses: list[Tensor],
        norms: list[Tensor],
    ) -> None:
        state, groups = optimizer_parts(run.optimizer)
        since = {"losses": losses, "norms": norms}
        tensors = whole(
            model=run.model.state_dict(),
            optimizer=state,
            random=random,
            since={name: torch.stack(part) for name, part in since.items() if part},
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
        save(Path(self.folder) / "last", tensors, about | more)

    def restore(
        self, run: Progress
    ) -> tuple[int, dict[str, Any], list[Tensor], list[Tensor]]:
        """Bring a run to where `last` was saved: its step, history and recent losses.

        Raises
        ------
        CheckpointError
            If `last` is damaged, holds no training, or is of another model or recipe.
        """
        place = Path(self.folder) / "last"
        tensors, about = load(place)
        if about.get("holds") != "training":
            raise CheckpointError(
                f"{place} holds {about.get('holds')} and not a whole training; "
                "start anew in another folder"
            )
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
        self._begun = True
        return about["step"], about["history"], losses, norms

    def _begin(self) -> None:
        """Before the first save of a run: what an earlier one left goes."""
        if not self._begun:
            folder = Path(self.folder)
            for old in [folder / "best", folder / "last", *folder.glob("epoch_*")]:
                if (old / INDEX).exists():
                    shutil.rmtree(old)
        self._begun = True


def _gathered(accelerator: Accelerator) -> dict[str, Tensor]:
    """The random state of every process, one row each."""
    own = random_state(accelerator.device)
    if accelerator.num_processes == 1:
        return {name: state[None] for name, state in own.items()}
    return {
        name: gather(state[None].to(accelerator.device)).cpu()
        for name, state in own.items()
    }
