"""Several variants of one training, side by side, that survive whatever happens.

    python -m lib.workbench.ngt.screening small
    python -m lib.workbench.ngt.screening full --variants vanilla default --seed 1

Each variant has a folder of its own under the output: what is finished is not run
again, what was interrupted goes on, and what fails does not lose the others. Reports
(Markdown, CSV) and an archive to carry home are written anew after every variant.
The variants are those of leetae9yu/newton-gravity-transformer's screening.
"""

import argparse
import csv
import datetime
import io
import json
import math
import sys
import traceback
import zipfile
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import torch

from lib.commands import path_of
from lib.data import DataError
from lib.files import replaced, write_json, write_text
from lib.gravity.model import LanguageModel, parameters
from lib.options import one_of
from lib.page.profile import pick_device
from lib.training.resume import Keep
from lib.training.startup import differing
from lib.workbench.command import exit_code
from lib.workbench.ngt.options import FREE, Options, check
from lib.workbench.ngt.training import Task, model_config, prepare, train

#: What each variant changes. `default` has repulsion and a radius (compact).
VARIANTS: dict[str, dict[str, Any]] = {"vanilla": {"model": "vanilla"},
                                       "default": {},
                                       "mass_in_value": {"mass_in_value": True},
                                       "no_repulsion": {"no_repulsion": True},
                                       "repulsion_every_8": {"repulsion_interval": 8},
                                       "no_radius": {"no_radius_cutoff": True}}
#: The options in which variants differ.
VARYING = frozenset().union(*VARIANTS.values())
_SHARED: dict[str, Any] = {
    "tokenizer": "bpe", "no_radius_cutoff": False, "use_cosine_schedule": True,
    "kernel": "newton", "coordinates": "token+position", "looking": False,
    "positions": "learned", "qk_norm": False, "lambda_repulsion": 0.05}
#: The sizes. `full` is that of the original, where vanilla had mlp 1536; here the
#: width of the coordinates gives every variant vanilla's parameters instead.
BUDGETS: dict[str, Options] = {
    "smoke": Options(
        dataset="wikitext2", bpe_vocab_size=1024, hidden_dim=16, num_layers=2,
        num_heads=2, mlp_dim=32, block_size=64, batch_size=32, max_steps=4,
        learning_rate=2e-3, warmup_steps=1, dropout=0.0, eval_interval=2, eval_iters=4,
        vis_interval=0, **_SHARED),
    "small": Options(
        dataset="wikitext2", bpe_vocab_size=1024, hidden_dim=64, num_layers=3,
        num_heads=4, mlp_dim=256, block_size=64, batch_size=16, max_steps=200,
        learning_rate=4e-3, warmup_steps=20, dropout=0.0, eval_interval=20,
        eval_iters=64, vis_interval=0, **_SHARED),
    "full": Options(
        dataset="wikitext103", bpe_vocab_size=8192, hidden_dim=512, num_layers=8,
        num_heads=8, mlp_dim=2048, block_size=512, batch_size=32, max_steps=15_000,
        learning_rate=3e-4, warmup_steps=2000, dropout=0.1, eval_interval=500,
        eval_iters=100, gradient_accumulation_steps=2, use_amp=True, **_SHARED)}
#: The original's own figures: WikiText-103, about 25M parameters, BPE of 8192 tokens,
#: 15,000 steps, one seed. Reported by its author; not measured here.
REPORTED = {"vanilla": {"valid": 4.5554, "steps_per_second": 4.96},
            "default": {"valid": 4.7915, "steps_per_second": 0.83},
            "mass_in_value": {"valid": 4.6635, "steps_per_second": 0.85},
            "no_repulsion": {"valid": 4.7214, "steps_per_second": 0.83},
            "no_radius": {"valid": 4.7940, "steps_per_second": 0.86}}
COLUMNS: tuple[str, ...] = (
    "variant", "parameters", "valid", "perplexity", "steps", "steps_per_second",
    "seconds", "seed", "device", "date")


def plan(budget: str, variants: Iterable[str] | str | None = None,
         output: Path | str | None = None, **changes: Any) -> dict[str, Options]:
    """The options of each variant, checked; nothing is run.

    budget: smoke, small or full; variants: names, or one text with commas, None for
    all; output: a folder, relative to the root, None: results/wikitext103_<budget>;
    changes: options for all variants, None leaves one as it is.

    >>> list(plan("small", "vanilla, no_radius"))
    ['vanilla', 'no_radius']
    """
    one_of("budget", budget, BUDGETS)
    if isinstance(variants, str):
        variants = [name.strip() for name in variants.split(",") if name.strip()]
    names = list(VARIANTS) if variants is None else list(dict.fromkeys(variants))
    for name in names:
        if name not in VARIANTS:
            raise ValueError(
                f"variant {name!r} is not known; use some of {', '.join(VARIANTS)}")
    if not names:
        raise ValueError(
            f"no variant was named; use some of {', '.join(VARIANTS)}, or leave "
            "variants out for all")
    folder = path_of(output or f"results/wikitext103_{budget}")
    base = replace(BUDGETS[budget], **{
        name: value for name, value in changes.items() if value is not None})
    return {name: check(replace(base, **VARIANTS[name],
                                checkpoint_path=str(folder / name),
                                run_name=str(folder / "board" / name)))
            for name in names}


def size_of(options: Options, vocab: int | None = None) -> int:
    """The parameters of a variant, without making it; vocab None: the one asked for.

    >>> round(size_of(BUDGETS["full"]) / 1e6, 1)
    33.9
    """
    with torch.device("meta"):
        config = model_config(options, vocab or options.bpe_vocab_size)
        return parameters(LanguageModel(config))


@dataclass
class Screening:
    """What came of a screening: a row a finished variant, a sentence a failed one."""

    folder: Path
    rows: list[dict[str, Any]] = field(default_factory=list)
    curves: dict[str, dict[str, list]] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)  # finished before, not run again
    resumed: list[str] = field(default_factory=list)  # gone on with
    texts: set[str] = field(default_factory=set)  # that the losses are of

    def take(self, name: str, done: dict[str, Any]) -> None:
        """Note what a variant left when it was finished."""
        self.texts.add(done["text"])
        self.rows.append(done["row"])
        self.rows.sort(key=lambda row: list(VARIANTS).index(row["variant"]))
        self.curves[name] = done["curve"]

    @property
    def files(self) -> list[Path]:
        """The reports and the archive."""
        return [self.folder / name for name in ("report.md", "report.csv", "home.zip")]


def screen(plans: dict[str, Options], title: str = "Screening") -> Screening:
    """Run what is not finished, one variant after the other, and report.

    plans: of `plan`; rows of other variants that the folder holds, of the same budget
    and options, stand beside theirs. A variant that fails is told in `failed` and the
    next one runs; Ctrl-C ends the screening after its step, with reports and a
    checkpoint left. Raises DataError or ValueError if the text is not there or too
    short, or what is finished was trained on another: they could not be compared.
    """
    some = next(iter(plans.values()))
    screening = Screening(Path(cast(str, some.checkpoint_path)).parent)
    for name in VARIANTS.keys() - plans.keys():  # of an earlier screening
        place = replace(some, checkpoint_path=str(screening.folder / name))
        if done := finished(place, but=VARYING):
            screening.take(name, done)
    before = {name: finished(options) for name, options in plans.items()}
    # the text alone: what a folder holds is looked at when its variant is run
    task = None if all(before.values()) else prepare(replace(some, force=True))
    texts = screening.texts | {done["text"] for done in before.values() if done}
    texts |= {task.text.name} if task else set()
    if len(texts) > 1:
        raise ValueError(
            f"{screening.folder} and this run would mix losses on different texts "
            f"({'; '.join(sorted(texts))}); name another output, or remove that folder")
    for name, options in plans.items():
        done = before[name]
        if done is None and task is not None:
            try:
                done = _run(name, options, task, screening)
            except Exception as error:  # noqa: BLE001 the others go on, whatever it was
                traceback.print_exc()
                words = " ".join(str(error).split())
                screening.failed[name] = f"{type(error).__name__}: {words}"
            except KeyboardInterrupt:
                report(screening, title)
                raise
        else:
            screening.kept.append(name)
        if done is not None:
            screening.take(name, done)
        report(screening, title)
    return screening


def finished(options: Options, but: Collection[str] = ()) -> dict[str, Any] | None:
    """What a variant left when it was finished, if it was with the same options.

    but: options that may differ.
    """
    try:
        kept = json.loads((options.folder / "result.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return kept if _same(kept["options"], options, but) else None


def _same(then: dict[str, Any], options: Options, but: Collection[str] = ()) -> bool:
    """Whether these were the options, up to what does not change the result."""
    free = set(FREE) - {"max_steps"} | set(but)  # a longer cosine is another run
    return not differing(then, options, free)


def _run(name: str, options: Options, task: Task,
         screening: Screening) -> dict[str, Any]:
    started, kept = 0, Keep(options.folder).found()
    if kept and _same(kept[1]["configuration"].get("options", {}), options):
        options, started = replace(options, resume=True), kept[1]["step"]
        screening.resumed.append(name)
    else:
        options = replace(options, force=True)  # the folders are the screening's own
    run = train(options, task)
    if not math.isfinite(run.valid):
        raise ValueError(f"the loss is {run.valid}; lower learning_rate")
    steps = options.max_steps - started  # in this run; a speed of none is not told
    row = {"variant": name, "parameters": parameters(run.model), "valid": run.valid,
           "perplexity": math.exp(run.valid), "steps": options.max_steps,
           "steps_per_second": steps / max(run.seconds, 1e-9) if steps else None,
           "seconds": round(run.seconds, 1), "seed": options.seed,
           "device": _device(options),
           "date": datetime.datetime.now(datetime.UTC).date().isoformat()}
    history = asdict(run.history)
    done = {"row": row, "options": asdict(options), "text": task.text.name,
            "tokens": task.tokens.name,
            "curve": {key: history[key] for key in ("step", "train", "valid", "lr")}}
    write_json(options.folder / "result.json", done)
    return done


def _device(options: Options) -> str:
    device = pick_device(options.device)
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} thread(s)"


def report(screening: Screening, title: str) -> None:
    """Write report.md, report.csv and home.zip, each whole or not at all."""
    folder, rows = screening.folder, screening.rows
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "report.md", markdown(screening, title))
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(folder / "report.csv", table.getvalue())
    with (replaced(folder / "home.zip") as draft,
          zipfile.ZipFile(draft, "w", zipfile.ZIP_DEFLATED) as home):
        for name in ("report.md", "report.csv", *(
                f"{row['variant']}/result.json" for row in rows)):
            home.write(folder / name, name)


def markdown(screening: Screening, title: str) -> str:
    """The report as Markdown: a table, what failed, and where the rest lies.

    >>> print(markdown(Screening(Path("out"), failed={"default": "OSError: no space"}),
    ...                "Small").splitlines()[-1])
    - **default** failed: OSError: no space
    """
    shown = {"valid": "validation loss (nats/token)",
             "steps_per_second": "steps/s", "seconds": "seconds"}
    lines = [f"# {title}", "",
             "| " + " | ".join(shown.get(name, name) for name in COLUMNS) + " |",
             "|" + "---|" * len(COLUMNS)]
    for row in sorted(screening.rows, key=lambda row: row["valid"]):
        lines.append("| " + " | ".join(_shown(row[name]) for name in COLUMNS) + " |")
    note = "Loss over the whole validation text; lower is better. One seed each "
    lines += ["", note + "settles no ranking.", ""]
    lines += [f"- **{name}** failed: {why}" for name, why in screening.failed.items()]
    return "\n".join(lines) + "\n"


def _shown(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4f}" if value < 100 else f"{value:,.1f}"
    return f"{value:,}" if isinstance(value, int) and value > 9999 else str(value)


def main(words: list[str] | None = None) -> int:
    """0: all variants are there. 1: some failed, or no text. 2: wrong use. 130: Ctrl-C.

    >>> main(["small", "--variants", "vanila"])
    2
    """
    parser = argparse.ArgumentParser(prog="python -m lib.workbench.ngt.screening",
                                     description=str(__doc__).splitlines()[0])
    parser.add_argument("budget")
    parser.add_argument("--variants", nargs="+")
    parser.add_argument("--output")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--max-steps", type=int)
    parser.add_argument("--device")
    asked = vars(parser.parse_args(words))
    try:
        plans = plan(**asked)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2

    def work() -> int:
        screening = screen(plans, f"WikiText screening, budget {asked['budget']}")
        print((screening.folder / "report.md").read_text(encoding="utf-8"))
        return 1 if screening.failed else 0

    return exit_code(work, DataError, ValueError)


if __name__ == "__main__":
    sys.exit(main())
