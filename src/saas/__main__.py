"""`python -m saas` is the `saas` command."""

import sys

from saas.entrypoints.cli import main

# Worker processes import this module again, under another name.
if __name__ == "__main__":
    sys.exit(main())
