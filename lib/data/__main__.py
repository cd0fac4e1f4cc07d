"""`python -m lib.data`: fetch and verify the data of the book."""

import sys

from lib.data import main

if __name__ == "__main__":
    sys.exit(main())
