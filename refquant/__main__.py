"""`python -m refquant` is the command `refquant`."""

import sys

from refquant.cli import main

sys.exit(main())
