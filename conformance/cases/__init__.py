"""The cases of the kit's vectors: a module for each chapter of the codec, and what they share.

Expected values come from the exact-rational oracle in tests/oracle, never from refquant.
"""

from pathlib import Path

#: The kit's folder, and that of the specification.
HERE = Path(__file__).parents[1]
SPEC = HERE.parent / "spec"
