"""`python -m refquant.spec trace [RULE...]`: where every rule is implemented, tested and in vectors."""

import sys

from refquant.errors import RefquantError
from refquant.spec.trace import described, matrix, read

if sys.argv[1:2] != ["trace"]:
    raise SystemExit("usage: python -m refquant.spec trace [RULE...]")
try:
    trace = read()
    rules = sys.argv[2:]
    sys.stdout.write("".join(described(trace, rule) for rule in rules) if rules else matrix(trace))
except RefquantError as error:
    raise SystemExit(f"refquant: {error}") from None
