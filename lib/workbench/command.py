"""A program of this room ends in an exit code, and what is wrong in one sentence."""

import sys
from collections.abc import Callable


def exit_code(work: Callable[[], int | None],
              *refusals: type[BaseException]) -> int:
    """Do the work of a program: what it returns, else 0; 1 after the sentence of one of
    these errors, 130 after Ctrl-C.

    >>> exit_code(lambda: None), exit_code(lambda: 1 // 0, ArithmeticError)
    (0, 1)
    """
    try:
        return work() or 0
    except refusals as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(error or "stopped", file=sys.stderr)
        return 130
