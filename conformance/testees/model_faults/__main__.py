"""refquant with one fault, chosen by name: it shows that the cases of whole models catch what they should.

    refquant conformance run --family file -- python -m conformance.testees.model_faults file.version-lowered
    python -m conformance.testees.model_faults             # the list of faults

A fault is a patch: of the table of layers, of a rule of fusion, of a selector, or of the model before or
after the work. A name begins with the family of vectors that is to catch it. Runs in a checkout.
"""

from __future__ import annotations

import sys

from conformance.testees.model_faults import FAULTS
from refquant.conformance import testee


def main(arguments: list[str]) -> int:
    """Answer requests with the fault that is named; without a name, list them."""
    if not arguments:
        sys.stdout.write("".join(f"{name}\n" for name in FAULTS))
        return 0
    with FAULTS[arguments[0]]():
        return testee.main()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
