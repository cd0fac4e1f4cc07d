"""What a training of Part II tells TensorBoard: scalars, and the Projector's points.

    runs/<run>/options.json                     what the run was
    runs/<run>/events.out.tfevents…             one value a scalar and evaluation
    runs/<run>/projector_config.pbtxt           the list of the embeddings
    runs/<run>/000100/coordinates/tensors.tsv   the last layer's coordinates, a line
                     …/metadata.tsv             a token: its label, mass and position

Look with `tensorboard --logdir runs`. The scalars are

    loss/train, loss/valid   cross-entropy in nats, without repulsion
    lr, gradient_norm        of the update; the norm is before clipping
    repulsion                mean of m_i m_j / r² over pairs of the window
    strength, radius, distance, entropy, cut_off   means over layers and heads, see
                             `lib.gravity.layers.statistics`

all but the first four of one fixed window of the validation text. The vanilla model
has no coordinates: of the rest it tells only its entropy.
"""

import shutil
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from jaxtyping import Int
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from lib.files import write_json, write_text
from lib.gravity.attention import repulsion
from lib.gravity.layers import statistics
from lib.gravity.model import LanguageModel
from lib.gravity.tokenizers import Tokens
from lib.training.loop import Step

WINDOW = 256  # tokens at most, in the window that is looked at
NAMES = ("strength", "radius", "distance", "entropy", "cut_off")
CONFIG = "projector_config.pbtxt"


class Board:
    """An `on_step` of `lib.training.loop.fit` that writes a TensorBoard folder.

    folder: one run; window: ids that are looked at; interval: updates between two
    embeddings (0: none), the last update has one as well; fresh: begin the folder
    anew, else go on with it and drop what lies after the step that comes first;
    options: of the run, which `options.json` of the folder tells.
    """

    def __init__(
        self, folder: Path, window: Int[Tensor, " seq"], tokens: Tokens,
        interval: int = 0, fresh: bool = True, options: dict[str, Any] | None = None):
        self.folder, self.window, self.tokens = Path(folder), window[:WINDOW], tokens
        self.interval, self.fresh, self.options = interval, fresh, options
        self.writer: SummaryWriter | None = None

    def close(self) -> None:
        """Write what is still in memory."""
        if self.writer is not None:
            self.writer.close()

    def __call__(self, step: Step) -> None:
        """Write what is due after an update."""
        if self.writer is None:
            self.writer = self._begin(step.step)
        end = step.step == step.steps
        drawn = self.interval and (end or step.step % self.interval == 0)
        if step.point is None and not drawn:
            return
        told, z, mass = look(cast(LanguageModel, step.model), self.window)
        if step.point is not None:
            told |= {"loss/train": step.point["train"], "lr": step.point["lr"],
                     "loss/valid": step.point["valid"],
                     "gradient_norm": step.point["grad_norm"]}
            for name, value in told.items():
                if value is not None:
                    self.writer.add_scalar(name, value, step.step)
            self.writer.flush()
        if drawn and z is not None and mass is not None:
            self._place(step.step, z, mass)

    def _begin(self, first: int) -> SummaryWriter:
        """Open the folder; of what it held, only steps before the first stay."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.fresh:
            for old in self.folder.glob("events.out.tfevents.*"):
                old.unlink()
        for old in self.folder.glob("[0-9]*/coordinates"):
            # nothing that someone else put here, whatever its name begins with
            made_here = old.parent.name.isdecimal() and (old / "tensors.tsv").exists()
            if made_here and (self.fresh or int(old.parent.name) >= first):
                shutil.rmtree(old.parent)
        if self.options is not None:
            write_json(self.folder / "options.json", self.options)
        purged = None if self.fresh else first
        return SummaryWriter(str(self.folder), purge_step=purged)

    def _place(self, step: int, z: Tensor, mass: Tensor) -> None:
        """Write the points of the window and list them for the Projector."""
        place = self.folder / f"{step:06d}" / "coordinates"
        place.mkdir(parents=True, exist_ok=True)
        labels = self.tokens.labels()
        points = ("\t".join(f"{x:.6g}" for x in row) for row in z.tolist())
        about = (f"{labels[i]}\t{m:.6g}\t{position}" for position, (i, m) in
                 enumerate(zip(self.window.tolist(), mass.tolist(), strict=True)))
        write_text(place / "tensors.tsv", "\n".join(points) + "\n")
        write_text(place / "metadata.tsv",
                   "\n".join(["token\tmass\tposition", *about]) + "\n")
        write_text(self.folder / CONFIG, listing(self.folder))


@torch.no_grad()
def look(
    model: LanguageModel, window: Int[Tensor, " seq"]
) -> tuple[dict[str, float], Tensor | None, Tensor | None]:
    """What a model does on a window: the scalars, last coordinates and masses."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    layers = model.trace(window[None].to(device))[1]
    model.train(training)
    z, mass = layers[-1]["z"], layers[-1]["mass"]
    if z is None or mass is None:
        entropy = torch.stack([
            -(w * w.clamp_min(1e-30).log()).sum(-1).mean()
            for w in (cast(Tensor, layer["weights"]) for layer in layers)])
        return {"entropy": entropy.mean().item()}, None, None
    seen = [statistics(cast(Any, block).attention, cast(dict[str, Tensor], layer))
            for block, layer in zip(model.blocks, layers, strict=True)]
    told = {name: torch.stack([s[name] for s in seen]).mean().item() for name in NAMES}
    told["repulsion"] = repulsion(z, mass).item()
    return told, z[0].cpu(), mass[0].cpu()


def listing(folder: Path) -> str:
    """The Projector's configuration for the embeddings that a folder holds."""
    from google.protobuf import text_format
    from tensorboard.plugins.projector import projector_config_pb2

    # protobuf makes its classes when it is imported
    config = cast(Any, projector_config_pb2).ProjectorConfig()
    for file in sorted(folder.glob("[0-9]*/coordinates/tensors.tsv")):
        place = file.parent.relative_to(folder).as_posix()
        entry = config.embeddings.add()
        entry.tensor_name = f"coordinates:{file.parent.parent.name}"
        entry.tensor_path = f"{place}/tensors.tsv"
        entry.metadata_path = f"{place}/metadata.tsv"
    return text_format.MessageToString(config)


def scalars(folder: Path) -> pd.DataFrame:
    """Every scalar of a run as TensorBoard reads it: a row a step, a column a name."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if not folder.is_dir():
        return pd.DataFrame().rename_axis("step")
    read = EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    columns = {
        name: pd.Series({event.step: event.value for event in read.Scalars(name)})
        for name in sorted(read.Tags()["scalars"])}
    return pd.DataFrame(columns).rename_axis("step")
