"""The bar of a training: step, loss, rate, time left, and what a step costs.

It is text on stderr, so that no widget stays behind on the page; a batch run reads it
from there and shows it in the terminal (`book.progress`).
"""

from typing import Any

from torch import Tensor, nn
from tqdm import tqdm


class Bar(tqdm):
    """A bar over the steps of a training; it first shows itself with `costs`.

    >>> import io
    >>> bar = Bar("ngt", steps=200, file=io.StringIO())
    >>> bar.costs(nn.Linear(10, 10), 64, 256)
    >>> bar.words
    '64 × 256 tokens a step, 110 parameters'
    >>> bar.tell(loss=2.30259)
    >>> bar.words
    'loss=2.303, 64 × 256 tokens a step, 110 parameters'
    """

    def __init__(self, name: str, steps: int, done: int = 0, **options: Any) -> None:
        self.numbers: dict[str, Tensor | float] = {}
        self.cost = ""
        options = {"mininterval": 1.0, "delay": 1e-3} | options
        super().__init__(total=steps, initial=done, desc=name, **options)

    def costs(self, model: nn.Module, *sizes: int) -> None:
        """Say what a step is: rows of its batch, or rows × tokens; what learns."""
        learned = sum(p.numel() for p in model.parameters() if p.requires_grad)
        batch = " × ".join(f"{size:,}" for size in sizes)
        unit = "tokens" if len(sizes) > 1 else "rows"
        self.cost = f"{batch} {unit} a step, {learned:,} parameters"
        self.refresh()

    def tell(self, **numbers: Tensor | float) -> None:
        """Show these from now on; a tensor is read when the bar is printed."""
        self.numbers |= numbers

    @property
    def words(self) -> str:
        """What stands behind the rate."""
        told = [f"{name}={float(x):.3f}" for name, x in self.numbers.items()]
        return ", ".join([*told, self.cost] if self.cost else told)

    @property
    def format_dict(self) -> dict[str, Any]:
        """As of tqdm, with our words."""
        return {**super().format_dict, "postfix": self.words}
