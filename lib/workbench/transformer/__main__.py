"""`python -m lib.workbench.transformer`: train both Transformers of Part I."""

import os
import sys

from lib.options import given_by
from lib.training.out_of_memory import OutOfMemory
from lib.workbench.command import exit_code
from lib.workbench.transformer import files
from lib.workbench.transformer.options import Options, check, versions
from lib.workbench.transformer.training import prepare, train


def work() -> None:
    """Train and save, from words `name=value`; also under accelerate."""
    options = check(Options(**given_by(sys.argv[1:], Options)))
    if options.version == "test":
        print(files.self_test(options).to_string(index=False))
        return
    task = prepare(options)
    runs = [train(options, task, version) for version in versions(options)]
    if options.version == "analysis":
        runs = files.loaded(options) or [files.untrained(options, task)]
    if int(os.environ.get("RANK", "0")) == 0:
        for run in runs:
            left = files.leave(run, options)
            scores = ", ".join(f"{k} {v:.1%}" for k, v in run.scores.items())
            print(f"{run.version}: {scores or 'untrained'}; {len(left)} files")


if __name__ == "__main__":
    sys.exit(exit_code(work, ValueError, OutOfMemory))
