"""A vectorized testee, written the plain way that a backend author would write it. Needs numpy.

refquant conformance run -- python conformance/testees/numpy_testee.py
"""

import json
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
    data: bytes = np.asarray(codes).astype(np.uint8).tobytes()
    return data.hex()


def finite(values: Any, what: str) -> Any:
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise Refused(f"{what} is not finite", int(bad[0]))
    return values


class Refused(Exception):  # noqa: N818
    def __init__(self, message: str, index: Any = None) -> None:
        super().__init__(message)
        self.index = index


def check_nbits(f: Fields) -> None:
    if not 1 <= f["nbits"] <= 8:
        raise Refused("codes have 1 to 8 bits")


def pack(f: Fields) -> Fields:
    check_nbits(f)
    codes = np.frombuffer(bytes.fromhex(f["codes"]), np.uint8)
    large: Any = np.flatnonzero(codes >> f["nbits"]) if f["nbits"] < 8 else []
    if len(large):
        raise Refused("code does not fit", int(large[0]))
    bits = np.unpackbits(codes[:, None], axis=1)[:, 8 - f["nbits"] :]
    return {"bytes": np.packbits(bits).tobytes().hex()}


def unpack(f: Fields) -> Fields:
    check_nbits(f)
    data = np.frombuffer(bytes.fromhex(f["bytes"]), np.uint8)
    if len(data) != -(-f["count"] * f["nbits"] // 8):
        raise Refused("wrong number of bytes")
    bits = np.unpackbits(data)[: f["count"] * f["nbits"]].reshape(f["count"], f["nbits"])
    return {"codes": codes_hex(bits @ (1 << np.arange(f["nbits"])[::-1]))}


def half_encode(f: Fields) -> Fields:
    weights = finite(floats(f["weights"]), "weight")
    outside = np.flatnonzero(np.abs(weights) >= 65504)
    if outside.size:
        raise Refused("outside half precision", int(outside[0]))
    return {"bytes": weights.astype("<f2").tobytes().hex()}


def half_decode(f: Fields) -> Fields:
    if len(f["bytes"]) % 4:
        raise Refused("odd number of bytes")
    return {"weights": floats_hex(finite(np.frombuffer(bytes.fromhex(f["bytes"]), "<f2"), "weight"))}


def by_channel(values: Any, f: Fields) -> Any:
    """Shape (channels, weights of a channel)."""
    shape = f["outer"], f["channels"], f["inner"]
    if values.size != np.prod(shape) or not values.size:
        raise Refused("weights do not fill the shape")
    return values.reshape(shape).transpose(1, 0, 2).reshape(f["channels"], -1)


def in_order(rows: Any, f: Fields) -> Any:
    return rows.reshape(f["channels"], f["outer"], f["inner"]).transpose(1, 0, 2)


def affine(rows: Any, nbits: int) -> Any:
    least, greatest = rows.min(1), rows.max(1)
    scales = (greatest - least) / (2**nbits - 1)
    inverse = np.divide(1, scales, out=np.zeros_like(scales), where=scales > 1e-6)
    return np.rint((rows - least[:, None]) * inverse[:, None]), scales, least


def check_stored(scales: Any, biases: Any, top: int) -> None:
    scales, biases = finite(scales.astype(np.float32), "scale"), finite(biases.astype(np.float32), "bias")
    weights = top * scales.astype(np.float64) + biases
    finite(weights.astype(np.float32), "decoded weight")


def linear_encode(f: Fields) -> Fields:
    check_nbits(f)
    rows = by_channel(finite(floats(f["weights"]), "weight"), f)
    codes, scales, biases = affine(rows, f["nbits"])
    check_stored(scales, biases, 2 ** f["nbits"] - 1)
    return {
        "codes": codes_hex(in_order(codes, f)),
        "scales": floats_hex(scales),
        "biases": floats_hex(biases),
    }


def symmetric_encode(f: Fields) -> Fields:
    rows = by_channel(finite(floats(f["weights"]), "weight"), f)
    scales = np.abs(rows).max(1) / 127
    biases = -128 * scales
    check_stored(scales, biases, 255)
    numerator = rows - biases[:, None]
    out = np.zeros_like(numerator)
    codes = np.rint(np.divide(numerator, scales[:, None], out=out, where=scales[:, None] > 1e-6))
    return {
        "codes": codes_hex(in_order(codes, f)),
        "scales": floats_hex(scales),
        "biases": floats_hex(biases),
    }


def linear_decode(f: Fields) -> Fields:
    scales, biases = finite(floats(f["scales"]), "scale"), finite(floats(f["biases"]), "bias")
    if len(scales) not in (1, f["channels"]) or len(biases) not in (0, len(scales)):
        raise Refused("wrong number of scales or biases")
    rows = by_channel(np.frombuffer(bytes.fromhex(f["codes"]), np.uint8), f)
    weights = rows * scales[:, None] + (biases[:, None] if len(biases) else 0)
    return {"weights": floats_hex(in_order(weights, f))}


def linear_lut_encode(f: Fields) -> Fields:
    check_nbits(f)
    weights = finite(floats(f["weights"]), "weight")
    if not weights.size:
        raise Refused("no weights")
    codes, scales, biases = affine(weights[None], f["nbits"])
    table = np.arange(2 ** f["nbits"]) * scales[0] + biases[0]
    return {"codes": codes_hex(codes), "table": floats_hex(table)}


def custom_lut_encode(f: Fields) -> Fields:
    check_nbits(f)
    weights, table = floats(f["weights"]), floats(f["table"])
    if len(table) != 2 ** f["nbits"]:
        raise Refused("wrong length of table")
    finite(table, "table entry")
    if len(f["given_codes"]) != len(weights):
        raise Refused("wrong number of codes")
    allowed = range(len(table))
    for index, code in enumerate(f["given_codes"]):
        if code not in allowed:
            raise Refused("no code", index)
    return {"codes": codes_hex(f["given_codes"]), "table": f["table"]}


def lut_decode(f: Fields) -> Fields:
    codes = np.frombuffer(bytes.fromhex(f["codes"]), np.uint8)
    table = finite(floats(f["table"]), "table entry")
    past = np.flatnonzero(codes >= len(table))
    if past.size:
        raise Refused("code past the table", int(past[0]))
    return {"weights": floats_hex(table[codes])}


def int8_encode(f: Fields) -> Fields:
    weights = finite(floats(f["weights"]), "weight")
    peak = np.abs(weights).max()
    if np.isinf(np.float32(127 * np.float64(np.float32(peak / 127)))):
        raise Refused("code 127 would be read back as an infinity")
    codes = np.trunc(127 * (weights / peak)) if peak else weights * 0
    return {"codes": codes.astype(np.int8).tobytes().hex(), "scales": floats_hex([peak / 127])}


def int8_decode(f: Fields) -> Fields:
    codes = np.frombuffer(bytes.fromhex(f["codes"]), np.int8)
    return {"weights": floats_hex(codes * finite(floats(f["scales"]), "scale")[0])}


OPERATIONS = {
    "pack": pack,
    "unpack": unpack,
    "half.encode": half_encode,
    "half.decode": half_decode,
    "linear.encode": linear_encode,
    "linear.decode": linear_decode,
    "symmetric.encode": symmetric_encode,
    "linear_lut.encode": linear_lut_encode,
    "custom_lut.encode": custom_lut_encode,
    "lut.decode": lut_decode,
    "int8.encode": int8_encode,
    "int8.decode": int8_decode,
}


def answer(request: Fields) -> Fields:
    if request["command"] == "start":
        known = {"name": "numpy testee", "version": np.__version__, "language": "Python"}
        return {"protocol": 1, "implementation": known, "operations": list(OPERATIONS)}
    try:
        return {"result": OPERATIONS[request["operation"]](request["input"])}
    except Refused as refused:
        return {"error": {"message": str(refused), "index": refused.index}}


def main() -> None:
    np.seterr(all="ignore")
    for line in sys.stdin:
        request = json.loads(line)
        if request["command"] == "stop":
            break
        sys.stdout.write(json.dumps({"seq": request["seq"], **answer(request)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
