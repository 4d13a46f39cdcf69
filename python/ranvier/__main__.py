"""`python -m ranvier` is the command `ranvier`."""

import sys

from ranvier.cli import main

sys.exit(main())
