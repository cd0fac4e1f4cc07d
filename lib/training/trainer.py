"""A Hugging Face Trainer that counts its loss by tokens and lets one look in.

    arguments = training_arguments("results/huggingface", steps=1000)
    trainer = TracingTrainer(model, arguments, tokenizer, rows,
                             on_step=look, every=100)     # look(step, model)
    trainer.train()                       # or resume_from_checkpoint=last_checkpoint(…)

Model, tokenizer and rows come from `lib.attention.huggingface`. Several processes are
`accelerate launch --multi_gpu --num_processes 2 …`, on CPUs too, as with any Trainer.
Nothing is reported anywhere, unless `wandb` is asked for.
"""

import json
import math
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, get_args

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import (
    DataCollatorForSeq2Seq,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Seq2SeqTrainer,
    Seq2SeqTrainingArguments,
    TrainerCallback,
    TrainerState,
    TrainingArguments,
    set_seed,
)

from lib.options import Precision, one_of
from lib.page.profile import pick_device
from lib.training.loop import token_loss
from lib.training.process import Diverged, Stop
from lib.training.progress import Bar
from lib.training.wandb_log import expect_wandb

#: Our names and theirs.
SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear",
             "cosine": "cosine_with_min_lr", "noam": "inverse_sqrt"}
ORDERS = {"shuffled": "random", "by length": "group_by_length",
          "as given": "sequential"}
#: The label that the loss leaves out.
IGNORED = -100


def training_arguments(
    folder: Path | str, *,
    epochs: float = 5, steps: int | None = None,
    batch: int = 16, accumulation: int = 1,
    learning_rate: float = 1e-4, schedule: str = "cosine", final_share: float = 0.1,
    warmup: int = 0, weight_decay: float = 0.0, beta2: float = 0.999, clip: float = 1.0,
    label_smoothing: float = 0.0, precision: str = "no",
    device: str | torch.device = "auto", seed: int = 0, order: str = "shuffled",
    save_every: int | None = None, log_every: int = 10,
    wandb: bool = False, wandb_project: str | None = None,
) -> Seq2SeqTrainingArguments:
    """Write the arguments of a Trainer: the recipe under the names of this book.

    folder: checkpoints go to `folder/checkpoint-…`, every `save_every` steps (`None`:
    none), the last two are kept. epochs, steps: how long; `steps`, when given, wins.
    batch, accumulation: one update sees batch · accumulation · processes rows.
    schedule: `constant`, `linear`, `cosine` (down to `final_share` of the peak) or
    `noam`, after `warmup` steps. precision: `no` (float32), `bf16` or `fp16`, by
    autocast. order: of the rows in an epoch: `shuffled`, `by length` (shuffled, but
    rows of similar length together: less padding) or `as given`.

    Raises ValueError on an unknown precision, schedule, order or device, a device that
    is not there, or wandb that is not installed.
    """
    one_of("precision", precision, get_args(Precision))
    one_of("schedule", schedule, SCHEDULES)
    one_of("order", order, ORDERS)
    if wandb:
        expect_wandb()
    kind = pick_device(str(device).split(":")[0]).type
    if precision == "fp16" and kind == "cpu":
        raise ValueError("precision 'fp16' needs a GPU and this run is on the cpu; "
                         "use bf16 or no.")
    if wandb and wandb_project:
        os.environ["WANDB_PROJECT"] = wandb_project
    return Seq2SeqTrainingArguments(
        output_dir=str(folder),
        num_train_epochs=epochs,
        max_steps=-1 if steps is None else steps,
        per_device_train_batch_size=batch,
        per_device_eval_batch_size=max(batch, 64),
        gradient_accumulation_steps=accumulation,
        learning_rate=learning_rate,
        lr_scheduler_type=SCHEDULES[schedule],
        lr_scheduler_kwargs=(
            {"min_lr_rate": final_share} if schedule == "cosine" else {}),
        warmup_steps=warmup,
        weight_decay=weight_decay,
        adam_beta2=beta2,
        max_grad_norm=clip,
        label_smoothing_factor=label_smoothing,
        bf16=precision == "bf16",
        fp16=precision == "fp16",
        use_cpu=kind == "cpu",
        seed=seed,
        train_sampling_strategy=ORDERS[order],
        save_strategy="steps" if save_every else "no",
        save_steps=save_every or 500,
        save_total_limit=2,
        logging_steps=log_every,
        logging_first_step=True,
        logging_nan_inf_filter=False,
        disable_tqdm=True,  # our own bar: theirs is a table on the page
        dataloader_pin_memory=kind == "cuda",
        ddp_find_unused_parameters=False,
        report_to=["wandb"] if wandb else "none")


class TracingTrainer(Seq2SeqTrainer):
    """A Trainer that counts its loss by tokens and lets one look in while it trains.

    `on_step(step, model)` is called before the first step, after every `every` steps
    and after the last, in the first process only. The model is in evaluation mode
    then; what the look draws from the random generators or leaves in the gradients
    is undone, so that looking changes no loss.

    `compute_loss` is ours because the models of transformers divide the loss of each
    part batch by its own tokens. With accumulation or several processes that weighs
    short part batches too much, and the Trainer, which believes that the model has
    divided by the tokens of the whole batch, does not divide again.
    """

    def __init__(
        self, model: PreTrainedModel, args: Seq2SeqTrainingArguments,
        tokenizer: PreTrainedTokenizerFast, train_dataset: Dataset,
        on_step: Callable[[int, PreTrainedModel], Any] | None = None, every: int = 100,
    ) -> None:
        super().__init__(
            model=model, args=args, train_dataset=train_dataset,
            processing_class=tokenizer,
            data_collator=DataCollatorForSeq2Seq(tokenizer, model))
        self.loss_is_scaled_for_ga = True  # by compute_loss, below
        self.remove_callback(PrinterCallback)
        self.stop = Stop()
        self.add_callback(_Watch(self.stop, args.fp16, on_step, every))

    def train(self, *args: Any, **options: Any):
        """Train, or go on; a run depends on its seed, not on what was drawn before.

        Ctrl-C and SIGTERM end it after the update that is being made, with a checkpoint
        where there are any and KeyboardInterrupt; a second one ends it at once. Raises
        Diverged at the first loss or gradient that is not finite.
        """
        set_seed(self.args.seed)
        self.stop.asked = None
        with self.stop.waiting():
            result = super().train(*args, **options)
        if self.stop.asked is not None:
            self.stop.pass_on()
            raise KeyboardInterrupt(f"stopped at step {self.state.global_step:,} of "
                                    f"{self.state.max_steps:,}")
        return result

    def training_step(self, *args: Any, **options: Any) -> Tensor:
        """The loss of a part batch; it must be a number before it is learned from."""
        loss = super().training_step(*args, **options)
        expect_finite(loss, "loss", self.args, self.state)
        return loss

    def compute_loss(self, model: nn.Module, inputs: Mapping[str, Tensor],
                     return_outputs: bool = False,
                     num_items_in_batch: Tensor | int | None = None):
        """Sum the loss over this part batch; divide by the tokens of the whole one."""
        labels = inputs["labels"]
        outputs = model(**{k: v for k, v in inputs.items() if k != "labels"})
        smoothing = self.args.label_smoothing_factor if model.training else 0.0
        precise = torch.promote_types(outputs.logits.dtype, torch.float32)
        total, tokens = token_loss(outputs.logits.to(precise), labels, IGNORED,
                                   smoothing)
        if num_items_in_batch is None:
            loss = total / tokens
        else:  # the processes average their gradients, and we want the sum
            loss = total / num_items_in_batch * self.args.world_size
        return (loss, outputs) if return_outputs else loss


class _Watch(TrainerCallback):
    """A bar on stderr, which leaves nothing on the page; the look, without a trace left
    in the training; and a stop where it was asked for, or before gradients that are no
    numbers (fp16 skips what overflows by itself)."""

    def __init__(self, stop: Stop, scaled: bool, look: Callable | None,
                 every: int) -> None:
        self.stop, self.scaled, self.look, self.every = stop, scaled, look, every

    def on_train_begin(self, args, state, control, *, model, **rest) -> None:
        self.bar = Bar("training", state.max_steps, state.global_step,
                       disable=not state.is_world_process_zero)
        self.bar.costs(model, args.train_batch_size * args.gradient_accumulation_steps
                       * args.world_size)
        self._look(state, model)

    def on_pre_optimizer_step(self, args, state, control, *, model, **rest) -> None:
        if not self.scaled:
            sums = [p.grad.sum() for p in model.parameters() if p.grad is not None]
            expect_finite(torch.stack(sums).sum(), "sum of the gradients", args, state)

    def on_step_end(self, args, state, control, *, model, **rest) -> None:
        self.bar.update(state.global_step - self.bar.n)
        if self.stop.asked is not None:
            control.should_training_stop = True
            control.should_save = args.save_strategy != "no"
        if state.global_step % self.every == 0 or state.global_step == state.max_steps:
            self._look(state, model)

    def on_log(self, args, state, control, logs=None, **rest) -> None:
        if logs and "loss" in logs:
            self.bar.tell(loss=logs["loss"])

    def on_train_end(self, args, state, control, **rest) -> None:
        self.bar.close()

    def _look(self, state, model) -> None:
        if self.look is None or not state.is_world_process_zero:
            return
        model = getattr(model, "module", model)
        training = model.training
        model.eval()
        with torch.random.fork_rng():
            self.look(state.global_step, model)
        model.zero_grad()
        model.train(training)


def expect_finite(value: Tensor, name: str, args: TrainingArguments,
                  state: TrainerState) -> None:
    """Refuse to learn from what is no number (Diverged); checkpoints stay as they are.
    """
    if not math.isfinite(value):
        raise Diverged(
            "training", state.global_step + 1, state.max_steps,
            f"{name} is {float(value)}",
            f"; lower learning_rate ({args.learning_rate:g}), or raise the warm-up "
            f"({args.warmup_steps})")


def history(trainer: Seq2SeqTrainer) -> list[dict[str, float | int]]:
    """What the Trainer logged: step, loss (nats), learning_rate, grad_norm."""
    names = ("step", "loss", "learning_rate", "grad_norm")
    return [{name: log[name] for name in names if name in log}
            for log in trainer.state.log_history if "loss" in log]


def last_checkpoint(folder: Path | str) -> Path | None:
    """The newest whole checkpoint of a Trainer in `folder`, or None.

    The Trainer writes `trainer_state.json` last: a checkpoint without it was cut off.
    """
    places = []
    for state in Path(folder).glob("checkpoint-*/trainer_state.json"):
        with suppress(ValueError, KeyError):
            places.append((json.loads(state.read_text())["global_step"], state.parent))
    return max(places)[1] if places else None
