"""refquant: the reference implementation of Core ML neural-network weight quantization."""

from refquant.errors import (
    ArgumentError,
    CodeError,
    FileError,
    HalfRangeError,
    InternalError,
    LutFunctionError,
    ModelKindError,
    NonFiniteError,
    NotYetError,
    RefquantError,
    RefquantWarning,
    ShapeError,
    TensorError,
    UpdatableError,
    WorkerError,
)
from refquant.model.file import MLModel
from refquant.model.selectors import (
    AdvancedQuantizedLayerSelector,
    MatrixMultiplyLayerSelector,
    QuantizedLayerSelector,
)
from refquant.model.validate import Fault, validate_model
from refquant.quantize import (
    activate_int8_int8_matrix_multiplications,
    dequantize_weights,
    quantize_weights,
)
from refquant.report import (
    Comparison,
    TensorDifference,
    TensorInfo,
    compare_weights,
    inspect_weights,
)
from refquant.steps import Progress, TensorCertificate

__version__ = "0.1.0"

__all__ = [
    "AdvancedQuantizedLayerSelector",
    "ArgumentError",
    "CodeError",
    "Comparison",
    "Fault",
    "FileError",
    "HalfRangeError",
    "InternalError",
    "LutFunctionError",
    "MLModel",
    "MatrixMultiplyLayerSelector",
    "ModelKindError",
    "NonFiniteError",
    "NotYetError",
    "Progress",
    "QuantizedLayerSelector",
    "RefquantError",
    "RefquantWarning",
    "ShapeError",
    "TensorCertificate",
    "TensorDifference",
    "TensorError",
    "TensorInfo",
    "UpdatableError",
    "WorkerError",
    "__version__",
    "activate_int8_int8_matrix_multiplications",
    "compare_weights",
    "dequantize_weights",
    "inspect_weights",
    "quantize_weights",
    "validate_model",
]
