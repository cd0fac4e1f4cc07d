"""`kill -9` at a chosen moment of what a process does to files."""

import os
import signal
import sys

CALLS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"}


def killed(work, root, moment):
    """How many changes below root a process doing `work` made before it was killed.

    The audit events of Python tell of every file that is about to be opened, renamed
    or removed: at the one that `moment` names the process kills itself, as `kill -9`
    would. Without a kill they are all counted.
    """
    told, tell = os.pipe()
    child = os.fork()
    if child:
        os.close(tell)
        with open(told, "rb") as stream:
            count = len(stream.read())
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) == (count == moment), status
        assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, status
        return count
    count = 0

    def hook(event, args):
        nonlocal count
        if event in CALLS and str(root) in str(args[0]):
            count += 1
            os.write(tell, b".")
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    code = 1
    try:
        sys.addaudithook(hook)
        work()
        code = 0
    finally:
        os._exit(code)
