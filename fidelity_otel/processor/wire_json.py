"""OTLP JSON ↔ protobuf, by OTLP's own rules rather than protobuf's.

Rules (OTLP specification, "JSON Protobuf Encoding"): trace and span ids are hex of either case, not
base64; enums are integers only; keys are lowerCamelCase only; unknown keys are ignored; 64-bit
integers may be numbers or decimal strings, and are written as strings; bytes are base64.
"""

from __future__ import annotations

import base64
import binascii
import math
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fidelity_otel.errors import WireError

__all__ = ["from_json", "logs_from_json", "message_to_json", "to_json"]

_HEX: Final = {"trace_id", "span_id", "parent_span_id"}
_DEEPEST: Final = 90  # below protobuf's own limit of 100, so that what is read can be written
_WORDS: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_F = FieldDescriptor
_SIGNED: Final = {_F.TYPE_INT32, _F.TYPE_INT64, _F.TYPE_SINT32, _F.TYPE_SINT64, _F.TYPE_SFIXED64}
_UNSIGNED: Final = {_F.TYPE_UINT32, _F.TYPE_UINT64, _F.TYPE_FIXED32, _F.TYPE_FIXED64}
_WIDE: Final = {_F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_FIXED64, _F.TYPE_SFIXED64, _F.TYPE_SINT64}
_FLOATS: Final = {_F.TYPE_DOUBLE, _F.TYPE_FLOAT}

Rows = dict[str, FieldDescriptor]
_fields: dict[str, Rows] = {}


def _rows(descriptor: Descriptor) -> Rows:
    rows = _fields.get(descriptor.full_name)
    if rows is None:
        rows = {f.json_name: f for f in descriptor.fields}
        _fields[descriptor.full_name] = rows
    return rows


def from_json(body: bytes) -> bytes:
    """An OTLP JSON trace request as protobuf.

    Raises:
        WireError: not JSON, or a value that the rules forbid; the message names its place.
    """
    return _from_json(body, ExportTraceServiceRequest())


def logs_from_json(body: bytes) -> bytes:
    """An OTLP JSON logs request as protobuf; errors as in `from_json`."""
    return _from_json(body, ExportLogsServiceRequest())


def to_json(otlp: bytes) -> bytes:
    """A trace request as one line of OTLP JSON.

    Raises:
        WireError: the bytes are not an OTLP trace request.
    """
    try:
        return message_to_json(ExportTraceServiceRequest.FromString(otlp))
    except DecodeError as error:
        raise WireError(f"not an OTLP trace request: {error}") from None


def message_to_json(message: Any) -> bytes:
    """Any OTLP message as JSON by the rules above."""
    return msgspec.json.encode(_write(message))


def _from_json(body: bytes, message: Any) -> bytes:
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise WireError(f"not JSON: {error}") from None
    try:
        _read(message, data, "$", 0)
        encoded: bytes = message.SerializeToString()
    except (ValueError, TypeError, OverflowError) as error:  # the message class refuses a value
        raise WireError(f"not an OTLP request: {error}") from None
    return encoded


def _read(message: Any, data: Any, where: str, depth: int) -> None:
    if not isinstance(data, dict):
        raise WireError(f"{where}: an object is wanted, found {_kind(data)}")
    if depth > _DEEPEST:
        raise WireError(f"{where}: nested deeper than {_DEEPEST} levels")
    rows = _rows(message.DESCRIPTOR)
    for key, value in data.items():
        field = rows.get(key)
        if field is None or value is None:
            continue
        here = f"{where}.{key}"
        if field.is_repeated:
            if not isinstance(value, list):
                raise WireError(f"{here}: an array is wanted, found {_kind(value)}")
            target = getattr(message, field.name)
            for index, item in enumerate(value):
                place = f"{here}[{index}]"
                if field.message_type is None:
                    target.append(_scalar(field, item, place))
                else:
                    _read(target.add(), item, place, depth + 1)
        elif field.message_type is not None:
            child = getattr(message, field.name)
            child.SetInParent()
            _read(child, value, here, depth + 1)
        else:
            setattr(message, field.name, _scalar(field, value, here))


def _scalar(field: FieldDescriptor, value: Any, where: str) -> Any:
    kind = field.type
    if kind == _F.TYPE_STRING:
        if isinstance(value, str):
            return value
    elif kind == _F.TYPE_BOOL:
        if isinstance(value, bool):
            return value
    elif kind == _F.TYPE_BYTES:
        return _bytes(field, value, where)
    elif kind == _F.TYPE_ENUM:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
        raise WireError(f"{where}: an enum's integer is wanted, found {_kind(value)}")
    elif kind in _SIGNED or kind in _UNSIGNED:
        return _integer(value, where)
    elif kind in _FLOATS:
        return _float(value, where)
    raise WireError(f"{where}: {_kind(value)} is not a value of {field.json_name}")


def _bytes(field: FieldDescriptor, value: Any, where: str) -> bytes:
    if not isinstance(value, str):
        raise WireError(f"{where}: a string is wanted, found {_kind(value)}")
    try:
        if field.name in _HEX:
            return binascii.unhexlify(value)
        # Both alphabets, padded or not, as protobuf's JSON mapping asks of readers.
        text = value.replace("-", "+").replace("_", "/").rstrip("=")
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError as error:
        wanted = "hex" if field.name in _HEX else "base64"
        raise WireError(f"{where}: not {wanted}: {error}") from None


def _integer(value: Any, where: str) -> int:
    if isinstance(value, str) and len(value) <= 20 and value.isascii():  # noqa: PLR2004
        digits = value.removeprefix("-")
        if digits.isdigit():
            return int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        return value
    elif isinstance(value, float) and value.is_integer():
        return int(value)
    raise WireError(f"{where}: an integer is wanted, found {_kind(value)}")


def _float(value: Any, where: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        if value in _WORDS:
            return _WORDS[value]
        try:
            return float(value)
        except ValueError:
            pass
    raise WireError(f"{where}: a number is wanted, found {_kind(value)}")


def _kind(value: Any) -> str:
    if isinstance(value, str):
        return f"the string {value[:40]!r}"
    names = {dict: "an object", list: "an array", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"the number {value!r:.40}")


def _write(message: Any) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for field, value in message.ListFields():
        if field.is_repeated:
            out[field.json_name] = [
                _write(item) if field.message_type is not None else _plain(field, item)
                for item in value
            ]
        elif field.message_type is not None:
            out[field.json_name] = _write(value)
        else:
            out[field.json_name] = _plain(field, value)
    return out


def _plain(field: FieldDescriptor, value: Any) -> Any:
    if field.type == _F.TYPE_BYTES:
        return value.hex() if field.name in _HEX else base64.b64encode(value).decode()
    if field.type in _WIDE:
        return str(value)
    if field.type in _FLOATS and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
