"""Does an ONNX file name weights outside itself? Answered from the bytes, without a protobuf library.

An ONNX file may point at other files by path (`external_data`). Such a file is never loaded: its sha256 would
not cover what it computes. The walk follows only the messages that can hold a tensor and skips everything else,
so that it touches some thousand bytes of a file of any size. Field numbers: `onnx/onnx.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator

from service.errors import PackError

_TENSOR = "tensor"
_TENSOR_EXTERNAL_DATA = 13
_TENSOR_DATA_LOCATION = 14
_LENGTH_DELIMITED = 2

_NESTED: dict[str, dict[int, str]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: _TENSOR, 15: "sparse_tensor"},
    "node": {5: "attribute"},
    "attribute": {5: _TENSOR, 6: "graph", 10: _TENSOR, 11: "graph", 22: "sparse_tensor", 23: "sparse_tensor"},
    "sparse_tensor": {1: _TENSOR, 2: _TENSOR},
}
"""Message -> field number -> message inside it, for the messages on a way to a tensor."""


def require_self_contained(model: bytes, name: str) -> None:
    """Raises `PackError` for what is no ONNX file or does not hold all of its weights."""
    try:
        external = names_external_data(model)
    except ValueError as error:
        raise PackError(f"{name} cannot be read as an ONNX file: {error}") from error
    if external:
        raise PackError(f"{name} keeps weights in other files (external data); such files are refused.")


def names_external_data(model: bytes) -> bool:
    """True when any tensor of the serialised `ModelProto` lies in another file.

    Raises `ValueError` for bytes that are no protobuf message.
    """
    waiting = [("model", memoryview(model))]
    while waiting:
        message, content = waiting.pop()
        nested = _NESTED.get(message, {})
        for number, value in _fields(content):
            if message == _TENSOR and number == _TENSOR_EXTERNAL_DATA:
                return True
            if message == _TENSOR and number == _TENSOR_DATA_LOCATION and value != 0:
                return True
            if number in nested and isinstance(value, memoryview):
                waiting.append((nested[number], value))
    return False


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field number and value (an int for varints, a view for length-delimited ones) of one message."""
    position = 0
    while position < len(content):
        tag, position = _varint(content, position)
        wire_type = tag & 7
        if wire_type == 0:
            value, position = _varint(content, position)
            yield tag >> 3, value
            continue
        if wire_type == _LENGTH_DELIMITED:
            length, position = _varint(content, position)
        elif wire_type in (1, 5):
            length = 8 if wire_type == 1 else 4
        else:
            raise ValueError(f"wire type {wire_type} is not used by ONNX")
        if length > len(content) - position:
            raise ValueError("a field reaches past the end of its message")
        if wire_type == _LENGTH_DELIMITED:
            yield tag >> 3, content[position : position + length]
        position += length


def _varint(content: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while position < len(content) and shift < 64:
        byte = content[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ValueError("a number is cut off or too long")
