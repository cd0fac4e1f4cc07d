"""`python -m lib.workbench.ngt`: train with gravity, or the vanilla twin."""

import sys

from lib.workbench.ngt.training import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
