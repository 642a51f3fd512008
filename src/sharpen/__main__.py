"""`python -m sharpen` is `sharpen`."""

import sys

from sharpen.cli.main import main

sys.exit(main())
