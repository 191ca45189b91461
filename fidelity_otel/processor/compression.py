"""Request bodies, decompressed up to a limit: a bomb costs no more memory than the limit."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any, Final

from fidelity_otel.errors import InputError, WireError

__all__ = ["ENCODINGS", "TooLarge", "decompress"]


_WINDOW: Final = 1 << 27


class TooLarge(InputError):  # noqa: N818 (as the other errors of this project)
    """A request is larger than `receive.max_request_bytes`, as sent or after decompression."""


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"the request is larger than {limit} bytes after decompression "
        "(receive.max_request_bytes). Mend: send smaller batches."
    )


def _gzip(body: bytes, limit: int) -> bytes:
    try:
        from isal import isal_zlib
    except ImportError:  # pragma: no cover
        return _inflate(zlib, zlib.error, 31, body, limit)
    return _inflate(isal_zlib, isal_zlib.error, 31, body, limit)


def _deflate(body: bytes, limit: int) -> bytes:
    return _inflate(zlib, zlib.error, 15, body, limit)


def _inflate(library: Any, error: Any, wbits: int, body: bytes, limit: int) -> bytes:
    """All members of a gzip (31) or zlib (15) stream."""
    pieces: list[bytes] = []
    size, rest = 0, body
    while rest:
        stream = library.decompressobj(wbits=wbits)
        try:
            piece: bytes = stream.decompress(rest, limit - size + 1)
        except error as why:
            raise WireError(f"the compressed body is damaged: {why}") from None
        size += len(piece)
        if size > limit:
            raise _too_large(limit)
        if not stream.eof:
            raise WireError("the compressed body is cut off")
        pieces.append(piece)
        rest = stream.unused_data
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _zstd(body: bytes, limit: int) -> bytes:
    import zstandard

    reader = zstandard.ZstdDecompressor(max_window_size=_WINDOW).stream_reader(
        body, read_across_frames=True
    )
    if not body:
        return b""
    try:
        out = reader.read(limit + 1)
        if len(out) > limit:
            raise _too_large(limit)
        whole = len(out) == zstandard.frame_content_size(body) or _ends(body)
    except zstandard.ZstdError as why:
        raise WireError(f"the compressed body is damaged: {why}") from None
    if not whole:
        raise WireError("the compressed body is cut off")
    return out


def _ends(body: bytes) -> bool:
    """Whether the last zstd frame is whole. Only for bodies that are known to fit the limit."""
    import zstandard

    rest = body
    while rest:
        stream = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
        stream.decompress(rest)
        if not stream.eof:
            return False
        rest = stream.unused_data
    return True


ENCODINGS: Final[dict[str, Callable[[bytes, int], bytes]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}


def decompress(body: bytes, encoding: str, *, limit: int) -> bytes:
    """A body without its content encoding.

    Args:
        body: as sent.
        encoding: gzip, deflate, zstd; identity or empty for none.
        limit: most bytes that may come out.

    Raises:
        TooLarge: more than `limit` would come out.
        WireError: damaged, cut off, or an encoding that is none of these.
    """
    if encoding in ("", "identity"):
        if len(body) > limit:
            raise _too_large(limit)
        return body
    if encoding not in ENCODINGS:
        raise WireError(f"content encoding {encoding!r} is none of {', '.join(ENCODINGS)}")
    return ENCODINGS[encoding](body, limit)
