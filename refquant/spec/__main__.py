"""`python -m refquant.spec trace` prints every rule with where it is implemented, tested and in vectors."""

import sys

from refquant.spec.trace import matrix, read

if sys.argv[1:] != ["trace"]:
    raise SystemExit("usage: python -m refquant.spec trace")
sys.stdout.write(matrix(read()))
