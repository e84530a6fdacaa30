"""What one layer of a file must meet: which tensors it uses, and a table of checks on all of them together.

Checks are as in `tensor_checks`: each a demand, which gives its faults or raises the one that it meets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any, Callable, NamedTuple

from refquant.errors import RefquantError, ShapeError, TensorError, UpdatableError
from refquant.model.held import KINDS, SHAPELESS, Held, hold
from refquant.model.layers import FLOAT_LAYERS, INNER_NETWORKS, LAYERS, Row, Site, sites, takes_weights
from refquant.model.tensor_checks import faults as faults_of_tensor
from refquant.model.tensor_checks import run, words
from refquant.model.walk import OwnedNetwork
from refquant.model.within import may_hold_weights, weights_within
from refquant.schema.coreml import NeuralNetworkLayer

#: Value of `arrayInputShapeMapping` by which an array input keeps its rank. Source: the format.
EXACT_ARRAY_MAPPING = 1

#: Layer type -> its tensors that have a shape.
SHAPED = {**LAYERS, **FLOAT_LAYERS}

#: Layer types whose bias vectors count only with `params.hasBiasVectors`. Rule: TEN-9.
LSTMS = ("uniDirectionalLSTM", "biDirectionalLSTM")

#: Tensors that a batchnorm which computes them can do without. Rule: TEN-9.
COMPUTED = ("mean", "variance")

#: Ends of the paths of an activation's tensors.
ACTIVATIONS = ("PReLU.alpha", "parametricSoftplus.alpha", "parametricSoftplus.beta")

#: Layer type that must have floats -> the forms that its tensors may have. Rule: LAY-9.
FLOAT_FORMS = {"convolution3d": ("float32", "float16"), "layerNormalization": ("float32",)}

#: Form -> what it is called in a sentence.
CALLED = {
    "float32": "float32",
    "float16": "half precision",
    "codes": "codes",
    "linear": "linear codes",
    "lut": "codes of a table",
    "int8": "signed codes",
}


class LayerTensors(NamedTuple):
    """A layer with its tensors, read once."""

    layer: NeuralNetworkLayer
    layer_type: str
    parameters: Any
    owned: OwnedNetwork
    #: Those in use that have a shape; those of activations and custom layers, whose shape nobody states; and
    #: those that the format does not look at, such as a bias whose flag is off.
    shaped: list[Held]
    shapeless: list[Held]
    unused: list[Held]

    @property
    def used(self) -> list[Held]:
        """All that the format looks at."""
        return self.shaped + self.shapeless

    @property
    def dynamic(self) -> bool:
        """Whether the layer takes its product in integers."""
        return bool(getattr(self.parameters, "int8DynamicQuantize", False))


Check = Callable[[LayerTensors], "Iterable[RefquantError] | None"]


def read(layer: NeuralNetworkLayer, owned: OwnedNetwork) -> LayerTensors | None:
    """Read the tensors of a layer, without those of networks inside it; None: it has none. Rule: TEN-9."""
    every = all_tensors(layer, SHAPED)
    layer_type = layer.WhichOneof("layer") or ""
    if not every and layer_type not in SHAPED:
        return None
    found = LayerTensors(layer, layer_type, getattr(layer, layer_type), owned, [], [], [])
    for site in every:
        if site.row is SHAPELESS:
            looked_at = layer_type == "custom" or site.tensor.endswith(ACTIVATIONS)
            (found.shapeless if looked_at else found.unused).append(hold(site))
        else:
            (found.shaped if _uses(site) else found.unused).append(hold(site))
    return found


def all_tensors(layer: NeuralNetworkLayer, table: Mapping[str, tuple[Row, ...]]) -> list[Site]:
    """List the tensors of a layer that a table has, and then all others, whose row is SHAPELESS.

    Those of networks inside the layer are not its own.
    """
    layer_type = layer.WhichOneof("layer") or ""
    if not _may_have_tensors(layer_type):
        return []
    parameters = getattr(layer, layer_type)
    known = list(sites(layer, table))
    others = (
        Site(layer, layer_type, path, SHAPELESS, params, parameters)
        for path, params in weights_within(parameters)
        if not any(params is site.params for site in known)
    )
    return [*known, *others]


@cache
def _may_have_tensors(layer_type: str) -> bool:
    """Tell whether layers of a type have tensors, other than in networks inside them."""
    field = NeuralNetworkLayer.DESCRIPTOR.fields_by_name.get(layer_type)
    return field is not None and layer_type not in INNER_NETWORKS and may_hold_weights(field)


def faults(tensors: LayerTensors, *, numbers: bool) -> Iterator[RefquantError]:
    """Give every fault of a layer and of its tensors, with their place; `numbers`: those of numbers too."""
    where: dict[str, str] = {"layer": tensors.layer.name, "layer_type": tensors.layer_type}
    for check in CHECKS + CHECKS_OF_TYPE.get(tensors.layer_type, ()):
        for error in run(check, tensors):
            yield error.located(**where)
    for held in tensors.used:
        if not _told(held):
            found = faults_of_tensor(held, optional=_optional(held), numbers=numbers)
            yield from (error.located(**where, tensor=held.site.tensor) for error in found)
    for held in (*filter(_told, tensors.used), *tensors.unused):
        yield from (error.located(**where, tensor=held.site.tensor) for error in run(words, held))


def _uses(site: Site) -> bool:
    """Tell whether a layer uses a tensor whose flag is not off. Rule: TEN-9."""
    vector = site.layer_type in LSTMS and "BiasVector" in site.tensor
    unused = vector and not site.parameters.params.hasBiasVectors
    return not unused and not takes_weights(site.layer)


def _optional(held: Held) -> bool:
    """Tell whether a tensor that a layer uses may be empty. Rule: TEN-9."""
    site = held.site
    computed = site.layer_type == "batchnorm" and site.tensor in COMPUTED and site.parameters.computeMeanVar
    return site.row is SHAPELESS or bool(computed)


def _told(held: Held) -> bool:
    """Tell whether a check of the layer has said all there is to say of a tensor."""
    layer_type = held.site.layer_type
    return layer_type == "custom" or held.form not in (*FLOAT_FORMS.get(layer_type, (held.form,)), "empty")


def _one_precision(tensors: LayerTensors) -> None:
    """Refuse half precision beside float32, naming the first tensor that differs. Rule: HALF-4."""
    floats = [held for held in tensors.shaped if held.form in ("float32", "float16")]
    for held in floats:
        if held.form != floats[0].form:
            first = f"{floats[0].site.tensor} is in {CALLED[floats[0].form]}"
            reason = f"{CALLED[held.form]}, where {first}"
            raise TensorError(reason, tensor=held.site.tensor, rule="HALF-4")


def _one_form(tensors: LayerTensors) -> None:
    """Refuse a parametric softplus whose two tensors are not of one form. Rule: LAY-10."""
    pair = [held for held in tensors.shapeless if held.site.tensor.startswith("parametricSoftplus.")]
    forms = {"codes" if held.form in KINDS.values() else held.form for held in pair}
    if len(pair) == 1:
        forms.add("empty")
    if len(forms) > 1 and not any(len(held.filled) > 1 for held in pair):
        raise TensorError("its alpha and beta are not of one form", rule="LAY-10")


def _signed_codes(tensors: LayerTensors) -> Iterator[RefquantError]:
    """Find signed codes where none may be, and other values where they must be. Rule: INT8-5."""
    for held in tensors.used if tensors.layer_type != "custom" else ():
        is_signed, must = held.form == "int8", tensors.dynamic and held.site.tensor == "weights"
        reason = None
        if is_signed and not must:
            reason = "signed codes, which are only for weights of a layer with int8DynamicQuantize"
        elif must and not is_signed and held.form != "empty":
            reason = f"{CALLED[held.form]}, though int8DynamicQuantize asks for signed codes"
        if reason:
            yield TensorError(reason, tensor=held.site.tensor, rule="INT8-5")


def _dynamic(tensors: LayerTensors) -> Iterator[RefquantError]:
    """Find what stands against taking a product in integers. Rule: INT8-6."""
    for reason in hindrances(tensors.layer, tensors.owned) if tensors.dynamic else ():
        yield TensorError(f"int8DynamicQuantize is true, but {reason}", rule="INT8-6")


def hindrances(layer: NeuralNetworkLayer, owned: OwnedNetwork) -> list[str]:
    """List why the format refuses dynamic int8 for an innerProduct or batchedMatmul. Rule: INT8-3, INT8-6."""
    reasons = {
        "it has a bias": getattr(layer, layer.WhichOneof("layer") or "").hasBias,
        "it has two inputs": len(layer.input) > 1,
        "the network's array inputs do not have the exact mapping": owned.takes_arrays
        and owned.network.arrayInputShapeMapping != EXACT_ARRAY_MAPPING,
    }
    return [reason for reason, holds in reasons.items() if holds]


def _no_quantization(tensors: LayerTensors) -> Iterator[RefquantError]:
    """Find a quantization message, even an empty one, in a layer that learns. Rule: FILE-7."""
    if tensors.owned.model.isUpdatable and tensors.layer.isUpdatable:
        for held in tensors.shaped:
            if held.params.HasField("quantization"):
                reason = "a quantization message in an updatable layer"
                yield UpdatableError(reason, tensor=held.site.tensor, rule="FILE-7")


def _two_directions(tensors: LayerTensors) -> None:
    """Refuse a bidirectional LSTM that has not the tensors of two directions. Rule: LAY-8."""
    count = len(tensors.parameters.weightParams)
    if count != 2:
        raise ShapeError(f"it has the tensors of {count} directions, not 2", rule="LAY-8")


def _floats_only(tensors: LayerTensors) -> Iterator[RefquantError]:
    """Find other values than floats in a layer that must have floats. Rule: LAY-9."""
    for held in tensors.shaped:
        reason = None
        if _told(held) and held.form != "int8":
            reason = f"{CALLED[held.form]}, which this type of layer may not have"
        elif tensors.layer_type == "layerNormalization" and held.params.HasField("quantization"):
            reason = "a quantization message, which this type of layer may not have"
        if reason:
            yield TensorError(reason, tensor=held.site.tensor, rule="LAY-9")


def _custom(tensors: LayerTensors) -> Iterator[RefquantError]:
    """Find tensors of a custom layer that have not exactly one field filled. Rule: LAY-11."""
    for held in tensors.shapeless:
        if len(held.filled) != 1:
            reason = f"{len(held.filled)} fields of values are filled, not one"
            yield TensorError(reason, tensor=held.site.tensor, rule="LAY-11")


#: What every layer must meet as a whole.
CHECKS: tuple[Check, ...] = (_one_precision, _signed_codes, _no_quantization)

#: Layer type -> what layers of this type must meet as well.
CHECKS_OF_TYPE: dict[str, tuple[Check, ...]] = {
    "innerProduct": (_dynamic,),
    "batchedMatmul": (_dynamic,),
    "biDirectionalLSTM": (_two_directions,),
    "activation": (_one_form,),
    "convolution3d": (_floats_only,),
    "layerNormalization": (_floats_only,),
    "custom": (_custom,),
}
