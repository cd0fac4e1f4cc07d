"""What surrounds a training: its processes, its randomness, and being stopped."""

import os
import signal
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import Tensor, nn

from lib.training.sharding import is_sharded, shard_on_cpu

# cuBLAS is deterministic with this workspace; it is read when CUDA starts.
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


class Diverged(ValueError):
    """A training whose loss or gradients are no longer numbers; says what to lower.

    run: its name; step: of the update that is not made; what: "loss is nan".
    """

    def __init__(self, run: str, step: int, steps: int, what: str, advice: str) -> None:
        super().__init__(f"the training diverged: at step {step:,} of {steps:,} the "
                         f"{what}{advice}")
        self.run, self.step, self.what = run, step, what


def accelerator_for(model: nn.Module, precision: str = "no") -> Accelerator:
    """An `Accelerator` on the kind of device that the model is on.

    Under `accelerate launch` it is one of several processes. For several on a CPU
    accelerate 1.15 wants `--multi_gpu --num_processes 2`, which means torchrun; with
    `--cpu`, or with neither, it starts a single process unless MPI is there.
    Raises ValueError if the device has no such precision.
    """
    cpu = next(model.parameters()).device.type == "cpu"
    cpu = cpu and not (is_sharded() and torch.cuda.is_available())
    if precision == "fp16" and cpu:
        raise ValueError(
            "precision 'fp16' needs a GPU and this run is on cpu; use 'bf16' or 'no'")
    # its state is one for the whole process; another run may want another precision
    alone = int(os.environ.get("WORLD_SIZE", "1")) == 1
    AcceleratorState._reset_state(reset_partial_state=alone)
    accelerator = Accelerator(mixed_precision=precision, cpu=cpu)
    if is_sharded():
        shard_on_cpu(accelerator)
    return accelerator


def random_state(device: torch.device) -> dict[str, Tensor]:
    """The state of the random numbers of the CPU and of `device`."""
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    elif device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: dict[str, Tensor], device: torch.device) -> None:
    """Put back what `random_state` took."""
    # of a row of a larger tensor torch 2.13 would read the first row's memory
    torch.set_rng_state(state["cpu"].clone())
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"].clone(), device)
    elif device.type == "mps" and "mps" in state:
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def own_randomness(device: torch.device) -> Iterator[None]:
    """Leave the random state as it was, whatever the block draws.

    >>> torch.manual_seed(0).initial_seed()
    0
    >>> with own_randomness(torch.device("cpu")):
    ...     inside = torch.rand(1)
    >>> bool(torch.rand(1) == inside)
    True
    """
    state = random_state(device)
    try:
        yield
    finally:
        set_random_state(state, device)


@contextmanager
def deterministic(device: torch.device) -> Iterator[None]:
    """Ask CUDA for sums in a fixed order; on a CPU they are in one already."""
    if device.type != "cuda":
        yield
        return
    before = torch.are_deterministic_algorithms_enabled()
    warn = torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*deterministic", UserWarning)
            yield
    finally:
        torch.use_deterministic_algorithms(before, warn_only=warn)


class Stop:
    """Make Ctrl-C and SIGTERM wait for the end of the step; a second one does not.

    Outside the main thread signals cannot be caught, and nothing is changed.
    """

    def __init__(self) -> None:
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Take the signals for the block."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._ask)
        try:
            yield
        finally:
            self._restore()

    def pass_on(self) -> None:
        """Once all is saved, let SIGTERM end the process as it was meant to."""
        if self.asked == signal.SIGTERM:
            os.kill(os.getpid(), signal.SIGTERM)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = number
        self._restore()

    def _restore(self) -> None:
        while self._before:
            signal.signal(*self._before.popitem())
