"""refquant: the reference implementation of Core ML neural-network weight quantization.

The public names are loaded when they are first asked for, so that `refquant.codec`, the arithmetic, can be
imported where there is no protobuf. `__init__.pyi` lists them for type checkers.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

#: Module -> the public names that it defines.
_PUBLIC = {
    "refquant.errors": (
        "ArgumentError",
        "CodeError",
        "FileError",
        "HalfRangeError",
        "InternalError",
        "LutFunctionError",
        "ModelKindError",
        "NonFiniteError",
        "NotYetError",
        "RefquantError",
        "RefquantWarning",
        "ShapeError",
        "TensorError",
        "UpdatableError",
        "WorkerError",
    ),
    "refquant.model.file": ("MLModel",),
    "refquant.model.selectors": (
        "AdvancedQuantizedLayerSelector",
        "MatrixMultiplyLayerSelector",
        "QuantizedLayerSelector",
    ),
    "refquant.model.validate": ("Fault", "validate_model"),
    "refquant.quantize": (
        "activate_int8_int8_matrix_multiplications",
        "dequantize_weights",
        "quantize_weights",
    ),
    "refquant.report": (
        "Comparison",
        "TensorDifference",
        "TensorInfo",
        "compare_weights",
        "inspect_weights",
    ),
    "refquant.steps": ("Progress", "TensorCertificate"),
}
_HOME = {name: module for module, names in _PUBLIC.items() for name in names}

__all__ = [*sorted(_HOME), "__version__"]


def __getattr__(name: str) -> Any:
    """Load a public name from the module that defines it."""
    if name not in _HOME:
        raise AttributeError(f"module 'refquant' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOME[name]), name)
    return value


def __dir__() -> list[str]:
    return __all__
