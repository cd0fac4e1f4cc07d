"""`python -m lib.workbench.ivr`: the stages of the vocabulary pipeline."""

import sys

from lib.workbench.ivr.pipeline import main

if __name__ == "__main__":
    sys.exit(main())
