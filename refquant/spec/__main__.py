"""What can be made of spec/ in a checkout: `python -m refquant.spec trace`, and `figures`."""

from __future__ import annotations

import argparse
import sys

from refquant.errors import RefquantError
from refquant.spec import figures
from refquant.spec.trace import described, matrix, read


def main() -> int:
    """Print the trace, or draw or check the figures."""
    parser = argparse.ArgumentParser(prog="python -m refquant.spec")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    text = (
        "print what names every rule, and fail where something is missing; or all that names the rules given"
    )
    trace = actions.add_parser("trace", help=text)
    trace.add_argument("rules", nargs="*", metavar="RULE", help="an id, such as LIN-3")
    draw = actions.add_parser("figures", help="draw the figures of spec/")
    draw.add_argument("--check", action="store_true", help="draw nothing; fail where a figure is not current")
    given = parser.parse_args()
    if given.action == "figures":
        return _figures(given.check)
    found = read()
    if given.rules:
        sys.stdout.write("".join(described(found, rule) for rule in given.rules))
        return 0
    sys.stdout.write(matrix(found))
    return 1 if found.problems else 0


def _figures(check: bool) -> int:
    if not check:
        figures.write()
        return 0
    stale = figures.stale()
    if stale:
        raise SystemExit(f"stale: {', '.join(stale)}; run: python -m refquant.spec figures")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except RefquantError as error:
        raise SystemExit(f"refquant: {error}") from None
