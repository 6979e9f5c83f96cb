"""`python -m bandit_rft.cli`: the command line where `bandit-rft` is not on the path."""

import sys

from bandit_rft.cli import main

sys.exit(main())
