"""`python -m eval`: see `eval.benchmark`."""

import sys

from eval.benchmark import main

sys.exit(main())
