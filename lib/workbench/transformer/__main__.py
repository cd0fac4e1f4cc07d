"""`python -m lib.workbench.transformer`: train both Transformers of Part I."""

import sys

from lib.workbench.transformer.training import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
