"""Values as bytes, for what lies outside this process. Never pickle: who can write to Redis could run code here."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from types import GenericAlias
from typing import Final, Generic, TypeVar, cast

from heykit.cache.protocol import Codec

V = TypeVar("V")

_PLAIN, _DEFLATED, _NONE = b"=", b"z", b"0"  # the first byte
_LEVEL: Final = 1  # of 9: the others take several times as long and save a tenth more
_MEBIBYTE: Final = 1024 * 1024


def json_codec(kind: type[V], *, compress_above: int | None = None, max_size: int = 16 * _MEBIBYTE) -> Codec[V]:
    """Give a codec that writes values of a type as JSON, and takes nothing else back.

    What pydantic can read is a type for it: dataclasses, TypedDicts, models, lists and dicts of those. What takes more
    than `compress_above` bytes is compressed (RFC 1950); below 2 kB that seldom pays. Bytes that are no such value, and
    those that would take more than `max_size` bytes, raise ValueError, both ways.
    """
    from pydantic import ConfigDict, TypeAdapter

    # In a tuple of one: a dataclass by itself takes no configuration but its own, and inside of something inherits it.
    exact = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="constants")
    one = cast("type[tuple[V]]", GenericAlias(tuple, (kind,)))
    adapter: TypeAdapter[tuple[V]] = TypeAdapter(one, config=exact)

    def write(value: V) -> bytes:
        return adapter.dump_json((value,), warnings="error")

    def read(data: bytes) -> V:
        return adapter.validate_json(data, strict=True)[0]

    return _Packed(write, read, compress_above, max_size)


def bytes_codec(*, compress_above: int | None = None, max_size: int = 16 * _MEBIBYTE) -> Codec[bytes]:
    """Give a codec for what is bytes already; the limits are those of `json_codec`."""
    return _Packed(bytes, bytes, compress_above, max_size)


def optional(codec: Codec[V]) -> Codec[V | None]:
    """Give a codec that also takes None: `optional(json_codec(Video))` is one of `Video | None`."""
    return _Optional(codec)


class _Packed(Generic[V]):
    def __init__(
        self,
        write: Callable[[V], bytes],
        read: Callable[[bytes], V],
        compress_above: int | None,
        max_size: int,
    ) -> None:
        if max_size < 1 or (compress_above is not None and compress_above < 0):
            raise ValueError("max_size is 1 byte or more, and compress_above 0 or more")
        self._write = write
        self._read = read
        self._compress_above = max_size if compress_above is None else compress_above
        self._max_size = max_size

    def encode(self, value: V, /) -> bytes:
        data = self._write(value)
        if len(data) > self._max_size:
            raise ValueError(f"the value takes {len(data):,} bytes, and {self._max_size:,} is the most")
        if len(data) > self._compress_above and len(deflated := zlib.compress(data, _LEVEL)) < len(data):
            return _DEFLATED + deflated
        return _PLAIN + data

    def decode(self, data: bytes, /) -> V:
        how, packed = data[:1], data[1:]
        if how == _DEFLATED:
            packed = _expanded(packed, self._max_size)
        elif how != _PLAIN or len(packed) > self._max_size:
            raise ValueError("the bytes are not a value of this codec")
        return self._read(packed)


def _expanded(packed: bytes, most: int) -> bytes:
    """Expand, but no further than `most` bytes: a few kilobytes can stand for gigabytes."""
    expanding = zlib.decompressobj()
    try:
        data = expanding.decompress(packed, most + 1)
    except zlib.error:
        raise ValueError("the bytes are not compressed data") from None
    if len(data) > most:
        raise ValueError(f"the value takes more than {most:,} bytes")
    if not expanding.eof or expanding.unused_data:
        raise ValueError("the compressed data is cut off, or goes on after its end")
    return data


class _Optional(Generic[V]):
    def __init__(self, codec: Codec[V]) -> None:
        self._codec = codec

    def encode(self, value: V | None, /) -> bytes:
        return _NONE if value is None else self._codec.encode(value)

    def decode(self, data: bytes, /) -> V | None:
        return None if data == _NONE else self._codec.decode(data)
