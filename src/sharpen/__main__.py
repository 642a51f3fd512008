"""`python -m sharpen`: the command line without its script."""

import sys

from sharpen.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
