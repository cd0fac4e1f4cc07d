"""`python -m lib.workbench.transformer`: train both Transformers of Part I."""

import os
import sys

from lib.training.out_of_memory import OutOfMemory
from lib.workbench.transformer import files
from lib.workbench.transformer.options import check, parsed, versions
from lib.workbench.transformer.training import prepare, train


def main(words: list[str]) -> int:
    """Train and save, from words `name=value`; also under accelerate.

    Returns 0, or 1 after one sentence on what is wrong, or 130 after Ctrl-C.
    """
    try:
        options = check(parsed(words))
        if options.version == "test":
            print(files.self_test(options).to_string(index=False))
            return 0
        task = prepare(options)
        runs = [train(options, task, version) for version in versions(options)]
        if options.version == "analysis":
            runs = files.loaded(options) or [files.untrained(options, task)]
        if int(os.environ.get("RANK", "0")) == 0:
            for run in runs:
                left = files.leave(run, options)
                scores = ", ".join(f"{k} {v:.1%}" for k, v in run.scores.items())
                print(f"{run.version}: {scores or 'untrained'}; {len(left)} files")
    except (ValueError, OutOfMemory) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(error or "stopped", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
