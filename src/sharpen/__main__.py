"""`python -m sharpen`."""

import sys

from sharpen.cli.main import main

sys.exit(main())
