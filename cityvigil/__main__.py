"""`python -m cityvigil`: the same as the `cityvigil` command."""

import sys

from cityvigil.cli import main

sys.exit(main())
