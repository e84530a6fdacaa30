"""Every fault of whole models: FAULTS has them by name, in the order of the chapters."""

from conformance.testees.model_faults import around, fusion, layers, selectors
from conformance.testees.model_faults.base import FAULTS

__all__ = ["FAULTS", "around", "fusion", "layers", "selectors"]
