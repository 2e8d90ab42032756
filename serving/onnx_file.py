"""What a graph's file tells before it is loaded, read from its protocol buffers' wire format.

onnx.proto3 numbers the fields; protobuf.dev, "Encoding", describes the bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

_FIELDS: dict[str, dict[int, str]] = {
    "model": {7: "graph", 8: "opset", 20: "training"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "training": {1: "graph", 2: "graph"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
    "opset": {},
}
"""by kind of message, the fields that hold what is looked for somewhere below, and their kinds"""

_FUNCTIONS = 25
"""field of a model"""

_DOMAINS = {"opset": 1, "node": 7}
"""by kind of message, the field that names the domain of operators"""

_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
"""fields of a tensor"""

_ONNX = ("", "ai.onnx")
"""ONNX's own domain, by both its names"""


class Needs(msgspec.Struct):
    """What a graph needs that is neither in its file nor an operator of ONNX itself."""

    other_file: bool = False
    domains: set[str] = msgspec.field(default_factory=set)
    functions: bool = False


def needs(model: bytes) -> Needs:
    """What the ONNX file `model` needs: data elsewhere, foreign operators, functions of its own.

    Raises:
        ValueError: where `model` is no ONNX file.
    """
    needs = Needs()
    left: list[tuple[str, memoryview]] = [("model", memoryview(model))]
    while left:
        kind, message = left.pop()
        for field, value in _fields(message):
            if kind == "tensor" and field in (_EXTERNAL_DATA, _DATA_LOCATION) and value:
                needs.other_file = True
            elif kind == "model" and field == _FUNCTIONS:
                needs.functions = True
            elif field == _DOMAINS.get(kind):
                needs.domains.add(bytes(value).decode("utf-8", "replace"))
            elif below := _FIELDS[kind].get(field):
                left.append((below, value))
    needs.domains.difference_update(_ONNX)
    return needs


def _fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """The number and content of each field; of a number only its bytes, none where it is 0."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        start = place
        match key & 7:
            case 0:
                number, place = _varint(message, place)
                start = place if number == 0 else start
            case 1:
                place += 8
            case 2:
                size, start = _varint(message, place)
                place = start + size
            case 5:
                place += 4
            case other:
                raise ValueError(f"a field has the unknown wire type {other}")
        if place > len(message):
            raise ValueError("a field ends beyond its message")
        yield key >> 3, message[start:place]


def _varint(message: memoryview, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, least first, and the place behind it."""
    number = shift = 0
    while True:
        if place == len(message):
            raise ValueError("a number has no end")
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place
