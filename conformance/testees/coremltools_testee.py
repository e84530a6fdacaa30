"""coremltools as a testee; run it in a virtualenv with coremltools 9.0 and protobuf 6.

    refquant conformance run --known-failures conformance/testees/coremltools-9.0.json \
        -- python conformance/testees/coremltools_testee.py

Its known failures are the departures of spec/14-departures.md: `python -m conformance.departures` makes the
list, with every case that shows a row.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import numpy as np

Fields = dict[str, Any]


def floats(text: str) -> Any:
    return np.frombuffer(bytes.fromhex(text), ">f4").astype(np.float64)


def floats_hex(values: Any) -> str:
    data: bytes = np.asarray(values).astype(">f4").tobytes()
    return data.hex()


def codes_hex(codes: Any) -> str:
    data: bytes = np.uint8(codes).tobytes()
    return data.hex()


class Holder:
    """What quantize_weights asks of a model."""

    compute_unit = None

    def __init__(self, spec: Any) -> None:
        self.spec = spec

    def get_spec(self) -> Any:
        return self.spec


class Skipped(Exception):  # noqa: N818 -- an answer of the protocol
    """What coremltools has no form for."""


class Coremltools:
    """The operations, by the functions of coremltools that do them."""

    def __init__(self) -> None:
        import coremltools
        from coremltools.models.neural_network import quantization_utils

        self.version = coremltools.__version__
        self.proto = coremltools.proto.Model_pb2
        self.weights = coremltools.proto.NeuralNetwork_pb2.WeightParams
        self.utils = quantization_utils
        self.custom_mode = coremltools.models._QUANTIZATION_MODE_CUSTOM_LOOKUP_TABLE
        # The result would be wrapped in an MLModel, which compiles on macOS and only costs time elsewhere.
        quantization_utils._get_model = lambda spec, **settings: spec

    def shape(self, f: Fields) -> tuple[int, int, int]:
        return f["outer"], f["channels"], f["inner"]

    def pack(self, f: Fields) -> Fields:
        codes = np.frombuffer(bytes.fromhex(f["codes"]), np.uint8)
        if f["nbits"] == 8:
            return {"bytes": codes.tobytes().hex()}
        return {"bytes": self.utils._convert_array_to_nbit_quantized_bytes(codes, f["nbits"]).tobytes().hex()}

    def unpack(self, f: Fields) -> Fields:
        data = np.frombuffer(bytes.fromhex(f["bytes"]), np.uint8)
        if f["nbits"] == 8:
            return {"codes": data.reshape(f["count"]).tobytes().hex()}
        return {"codes": codes_hex(self.utils._unpack_to_bytes(data, f["count"], f["nbits"]))}

    def half_encode(self, f: Fields) -> Fields:
        params = self.weights()
        params.floatValue.extend(floats(f["weights"]))
        self.utils._wp_to_fp16wp(params)
        return {"bytes": params.float16Value.hex()}

    def _linear(self, f: Fields, nbits: int, symmetric: bool) -> Fields:
        # coremltools takes channels from axis 0 or, of four dimensions, from axis 1.
        weights = floats(f["weights"]).reshape(*self.shape(f), 1)
        found = self.utils._quantize_channelwise_linear(weights, nbits, 1, symmetric)
        codes, scales, biases = found
        return {"codes": codes_hex(codes), "scales": floats_hex(scales), "biases": floats_hex(biases)}

    def linear_encode(self, f: Fields) -> Fields:
        return self._linear(f, f["nbits"], False)

    def symmetric_encode(self, f: Fields) -> Fields:
        return self._linear(f, 8, True)

    def linear_decode(self, f: Fields) -> Fields:
        codes = np.frombuffer(bytes.fromhex(f["codes"]), np.uint8).reshape(*self.shape(f), 1)
        weights = self.utils._dequantize_linear(codes, floats(f["scales"]), floats(f["biases"]), 1)
        return {"weights": floats_hex(weights)}

    def linear_lut_encode(self, f: Fields) -> Fields:
        table, codes = self.utils._get_linear_lookup_table_and_weight(f["nbits"], floats(f["weights"]))
        return {"codes": codes_hex(codes), "table": floats_hex(table)}

    def custom_lut_encode(self, f: Fields) -> Fields:
        params = self.weights()
        params.floatValue.extend(floats(f["weights"]))
        given = floats(f["table"]), np.array(f["given_codes"])
        mode = self.custom_mode
        self.utils._quantize_wp_field(
            params, f["nbits"], mode, (len(params.floatValue),), lut_function=lambda nbits, weights: given
        )
        codes = self.utils._unpack_to_bytes(
            np.frombuffer(params.rawValue, np.uint8), len(given[1]), params.quantization.numberOfBits
        )
        table = params.quantization.lookupTableQuantization.floatValue
        return {"codes": codes_hex(codes), "table": floats_hex(table)}

    def lut_decode(self, f: Fields) -> Fields:
        codes = np.frombuffer(bytes.fromhex(f["codes"]), np.uint8)
        return {"weights": floats_hex(self.utils._dequantize_lut(codes, floats(f["table"])))}

    def kmeans_encode(self, f: Fields) -> Fields:
        table, codes = self.utils._get_kmeans_lookup_table_and_weight(f["nbits"], floats(f["weights"]))
        return {"codes": codes_hex(codes), "table": floats_hex(np.asarray(table).reshape(-1))}

    def selector(self, name: str, arguments: Fields) -> Any:
        if name == "advanced":
            return self.utils.AdvancedQuantizedLayerSelector(**arguments)
        if name == "matrix_multiply":
            return self.utils.MatrixMultiplyLayerSelector(**arguments)
        if name == "base":
            made = self.utils.QuantizedLayerSelector()
            made.quantizable_layer_types = set(arguments["quantizable_layer_types"])
            return made
        if name == "reading":
            limit = arguments["first_weight_above"]
            made = self.utils.QuantizedLayerSelector()
            made.do_quantize = lambda layer, **more: layer.innerProduct.weights.floatValue[0] > limit
            return made
        raise Skipped(f"selector {name}")

    def model_quantize(self, f: Fields) -> Fields:
        spec = self.proto.Model.FromString(bytes.fromhex(f["model"]))
        settings = dict(f["settings"])
        if "half_overflow" in settings:
            raise Skipped("half_overflow")
        mode, more = settings.pop("mode"), {}
        selector = settings.get("selector")
        if selector:
            more["selector"] = self.selector(**selector)
        if mode == "int8":
            made = self.utils.activate_int8_int8_matrix_multiplications(spec, **more)
        else:
            made = self.utils.quantize_weights(Holder(spec), settings.get("nbits", 8), mode, **more)
        return {"model": made.SerializeToString(deterministic=True).hex()}


OPERATIONS = [
    "pack",
    "unpack",
    "half.encode",
    "linear.encode",
    "linear.decode",
    "symmetric.encode",
    "linear_lut.encode",
    "custom_lut.encode",
    "lut.decode",
    "kmeans.encode",
    "model.quantize",
]


def main() -> None:
    # coremltools prints as it goes: the answers keep the real standard output.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    np.seterr(all="ignore")
    peer = Coremltools()
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            break
        if request["command"] == "start":
            known = {"name": "coremltools", "version": peer.version, "language": "Python"}
            reply: Fields = {"protocol": 1, "implementation": known, "operations": OPERATIONS}
        else:
            try:
                if not 1 <= request["input"].get("nbits", 8) <= 8:
                    raise ValueError("its entry point takes 1 to 8 bits, and 16 for half precision")
                answer = getattr(peer, request["operation"].replace(".", "_"))(request["input"])
                reply = {"result": answer}
            except Skipped as skipped:
                reply = {"skipped": str(skipped)}
            except Exception as error:
                reply = {"error": {"message": f"{type(error).__name__}: {str(error)[:200]}"}}
        answers.write(json.dumps({"seq": request["seq"], **reply}) + "\n")
        answers.flush()


if __name__ == "__main__":
    main()
