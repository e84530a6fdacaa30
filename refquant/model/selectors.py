"""Selectors: which layers a quantizer touches.

A selector is any object with `do_quantize(layer, **kwargs)`. It is asked once for each layer and, where a
convolution, innerProduct or batchedMatmul has a bias, once more with `weight_param="bias"`. The layers may
be refquant's messages or those of another definition of the format: only field names are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from refquant.errors import ArgumentError, ShapeError
from refquant.model.layers import INNER_NETWORKS, LAYERS, kernel_size

#: A `NeuralNetworkLayer`, of refquant's definition of the format or of another.
Layer = Any

#: The one type that is not a layer's: a convolution with a kernel channel of its own for each group.
DEPTHWISE = "depthwiseConv"

#: Types whose sizes the matrix-multiply selector knows, and the fields with input and output channels.
MATRIX_MULTIPLIES = {
    "innerProduct": ("inputChannels", "outputChannels"),
    "batchedMatmul": ("weightMatrixFirstDimension", "weightMatrixSecondDimension"),
}


class QuantizedLayerSelector:
    """Take every layer whose type is quantizable; the base of all selectors.

    `quantizable_layer_types` is a set that a subclass may change. A subclass overrides `do_quantize`;
    true means: quantize this layer. Rule: SEL-1, SEL-3, SEL-10.
    """

    def __init__(self) -> None:
        self.quantizable_layer_types: set[str] = {*LAYERS, *INNER_NETWORKS, DEPTHWISE}

    def do_quantize(self, layer: Layer, **kwargs: Any) -> bool:
        """Tell whether to quantize the layer or, with `weight_param="bias"`, its bias."""
        return layer.WhichOneof("layer") in self.quantizable_layer_types


class AdvancedQuantizedLayerSelector(QuantizedLayerSelector):
    """Leave out layers by type, and convolutions that are too small to gain.

    Args:
        skip_layer_types: layer types to leave alone, also `bias` (which besides the bias layer means the
            biases of convolutions, innerProducts and batchedMatmuls) and `depthwiseConv`.
        minimum_conv_kernel_channels: least kernel channels of a convolution whose weights are taken.
        minimum_conv_weight_count: least weights (output channels x kernel channels x height x width).

    Raises ArgumentError for an unknown type and for what is no list of names. Rule: SEL-4 to SEL-6, SEL-9.
    """

    def __init__(
        self,
        skip_layer_types: Iterable[str] = (),
        minimum_conv_kernel_channels: int = 4,
        minimum_conv_weight_count: int = 4096,
    ) -> None:
        super().__init__()
        self.skip_layer_types = _names("skip_layer_types", skip_layer_types, "SEL-4")
        self.minimum_conv_kernel_channels = minimum_conv_kernel_channels
        self.minimum_conv_weight_count = minimum_conv_weight_count
        unknown = [repr(name) for name in self.skip_layer_types if name not in self.quantizable_layer_types]
        if unknown:
            known = ", ".join(sorted(self.quantizable_layer_types))
            raise ArgumentError(f"cannot skip {', '.join(unknown)}: the types are {known}", rule="SEL-4")

    def do_quantize(self, layer: Layer, weight_param: str | None = None, **kwargs: Any) -> bool:
        """Tell whether to quantize the layer or, with `weight_param="bias"`, its bias."""
        _check_weight_param(weight_param)
        layer_type = layer.WhichOneof("layer")
        if not super().do_quantize(layer) or layer_type in self.skip_layer_types:
            return False
        if weight_param == "bias":
            return "bias" not in self.skip_layer_types
        return layer_type != "convolution" or self._is_large(layer)

    def _is_large(self, layer: Layer) -> bool:
        """Whether a convolution has the channels and weights that are asked for. Rule: SEL-5."""
        convolution = layer.convolution
        try:
            height, width = kernel_size(convolution)
        except ShapeError as error:
            raise error.located(layer=layer.name, layer_type="convolution") from None
        channels = convolution.kernelChannels
        if DEPTHWISE in self.skip_layer_types and channels == 1 and convolution.nGroups > 1:
            return False
        return bool(
            channels >= self.minimum_conv_kernel_channels
            and convolution.outputChannels * channels * height * width >= self.minimum_conv_weight_count
        )


class MatrixMultiplyLayerSelector(QuantizedLayerSelector):
    """Take matrix products with constant weights, by size and by name, inside branches and loops too.

    Args:
        minimum_weight_count: least weights (input x output channels).
        minimum_input_channels, minimum_output_channels: least channels.
        maximum_input_channels, maximum_output_channels: most channels; None or 0: no limit.
        include_layers_with_names: the only names to take; None or empty: all.

    Raises ArgumentError for what is no list of names. Rule: SEL-7, SEL-9.
    """

    def __init__(
        self,
        minimum_weight_count: int = 1,
        minimum_input_channels: int = 1,
        minimum_output_channels: int = 1,
        maximum_input_channels: int | None = None,
        maximum_output_channels: int | None = None,
        include_layers_with_names: Iterable[str] | None = None,
    ) -> None:
        super().__init__()
        self.minimum_weight_count = minimum_weight_count
        self.minimum_input_channels = minimum_input_channels
        self.minimum_output_channels = minimum_output_channels
        self.maximum_input_channels = maximum_input_channels
        self.maximum_output_channels = maximum_output_channels
        names = () if include_layers_with_names is None else include_layers_with_names
        self.include_layers_with_names = _names("include_layers_with_names", names, "SEL-7")

    def do_quantize(self, layer: Layer, weight_param: str | None = None, **kwargs: Any) -> bool:
        """Tell whether to quantize the layer; its bias always follows."""
        _check_weight_param(weight_param)
        layer_type = layer.WhichOneof("layer")
        if not super().do_quantize(layer):
            return False
        if layer_type not in MATRIX_MULTIPLIES:
            return layer_type in INNER_NETWORKS
        if weight_param == "bias":
            return True
        inputs, outputs = (
            getattr(getattr(layer, layer_type), name) for name in MATRIX_MULTIPLIES[layer_type]
        )
        return (
            inputs * outputs >= self.minimum_weight_count
            and _within(inputs, self.minimum_input_channels, self.maximum_input_channels)
            and _within(outputs, self.minimum_output_channels, self.maximum_output_channels)
            and (not self.include_layers_with_names or layer.name in self.include_layers_with_names)
        )


def _names(argument: str, given: object, rule: str) -> list[str]:
    """List names that are given in any order: a string, though it can be gone through, is no list of them."""
    if isinstance(given, Iterable) and not isinstance(given, (str, Mapping)):
        names = list(given)
        if all(isinstance(name, str) for name in names):
            return names
    raise ArgumentError(f"{argument} must be a list of names, not {given!r}", rule=rule)


def _within(size: int, least: int, most: int | None) -> bool:
    return least <= size and (not most or size <= most)


def _check_weight_param(weight_param: str | None) -> None:
    if weight_param not in (None, "weights", "bias"):
        raise ArgumentError(f"weight_param must be 'weights' or 'bias', not {weight_param!r}", rule="SEL-4")
