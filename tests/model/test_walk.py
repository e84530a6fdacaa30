"""The walk over a model: what it finds, and what it says where it finds nothing."""

from __future__ import annotations

import pytest

from refquant.errors import FileError, ModelKindError
from refquant.model.walk import OwnedNetwork, check_nesting, networks
from refquant.schema.coreml import Model
from tests.networks import ROWS, described, network

#: What to use for a forest in place of quantization.
FOREST = "a tree ensemble has no layers; train it anew with fewer or smaller trees"


class TestNetworks:
    """FILE-3: A model that is not a neural network and holds none MUST be refused at the top level, naming
    what to use instead.
    """

    @pytest.mark.parametrize(
        ("kind", "hint"),
        [
            (
                "mlProgram",
                "an ML program keeps its weights elsewhere; compress it with coremltools.optimize.coreml",
            ),
            ("treeEnsembleClassifier", FOREST),
            ("treeEnsembleRegressor", FOREST),
            ("glmRegressor", "only neural networks have weights to quantize"),
        ],
    )
    def test_hint(self, kind: str, hint: str) -> None:
        with pytest.raises(ModelKindError) as caught:
            networks(described(kind))
        assert str(caught.value) == f"the model is of type {kind}, not a neural network: {hint}"

    @pytest.mark.parametrize(
        ("model", "reason"),
        [
            (described("pipelineRegressor"), "the pipeline holds no neural network"),
            (
                Model(),
                "the model is of type nothing, not a neural network: only neural networks have weights to"
                " quantize",
            ),
        ],
    )
    def test_nothing_within(self, model: Model, reason: str) -> None:
        with pytest.raises(ModelKindError) as caught:
            networks(model)
        assert str(caught.value) == reason

    @pytest.mark.parametrize("kind", ["neuralNetwork", "neuralNetworkClassifier", "neuralNetworkRegressor"])
    def test_every_kind(self, kind: str) -> None:
        model = network(ROWS["innerProduct"], kind=kind)
        assert networks(model) == [(model, getattr(model, kind))]

    def test_inputs_that_are_arrays(self) -> None:
        """INT8-3 asks for one among others, which may be images."""
        model = network(ROWS["innerProduct"])
        model.description.input.add(name="picture").type.imageType.SetInParent()
        assert OwnedNetwork(model, model.neuralNetwork).takes_arrays is True
        del model.description.input[0]
        assert OwnedNetwork(model, model.neuralNetwork).takes_arrays is False


class TestNesting:
    def test_one_too_deep(self) -> None:
        model = Model()
        innermost = model.neuralNetwork
        for _ in range(30):
            innermost = innermost.layers.add().branch.ifBranch
        check_nesting(model)
        innermost.layers.add().loop.SetInParent()
        with pytest.raises(FileError) as caught:
            check_nesting(model)
        message = "nested too deeply: pipelines, branches and loops lie more than 30 deep in each other"
        assert caught.value.reason == message
