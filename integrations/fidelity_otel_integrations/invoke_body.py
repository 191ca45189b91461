"""Bodies of responses that the application reads itself: what it reads is seen on the way."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any

from fidelity_otel.sdk import guard
from fidelity_otel.sdk.modelcall import ModelCall
from fidelity_otel_integrations.invoke_format import Body

__all__ = ["Reading", "Tee"]


class Reading:
    """The open call of a response whose body is being read; it ends with that.

    Args:
        call: the call.
        body: reads it in the format of the model.
        length: how many bytes are to come; None where that is not known.
    """

    def __init__(self, call: ModelCall, body: Body, length: int | None) -> None:
        self._call: ModelCall | None = call
        self._body = body
        self._length = length
        self._bytes = bytearray()

    def saw(self, chunk: bytes, *, whole: bool) -> None:
        """The application has read this; `whole`: and there is no more."""
        self._bytes += chunk
        if whole or (self._length is not None and len(self._bytes) >= self._length):
            self.end(complete=True)

    def end(self, error: BaseException | None = None, *, complete: bool = False) -> None:
        """It was read, failed, was closed or let go of."""
        call, self._call = self._call, None
        if call is None:
            return
        try:
            if complete:
                self._body.write_whole(call, bytes(self._bytes))
            elif error is not None:
                call.fail(error)
            else:
                self._body.write_whole(call, b"")
                call.recording.lose("unread_response")
        except Exception as own:  # noqa: BLE001
            guard.trip("bedrock", own)
        finally:
            call.end()

    def until_dropped(self, stream: Any) -> None:
        """End with the stream, where it is neither read nor closed."""
        weakref.finalize(stream, self.end).atexit = False


class Tee:
    """The raw stream within the client's own one; what is read from it is seen.

    Args:
        raw: the stream.
        reading: what sees it.
    """

    def __init__(self, raw: Any, reading: Reading) -> None:
        self._raw = raw
        self._reading = reading

    def read(self, amt: int | None = None, *args: Any, **kwargs: Any) -> Any:
        """Read so many bytes; all by default."""
        try:
            chunk = self._raw.read(amt, *args, **kwargs)
        except BaseException as error:
            self._reading.end(error)
            raise
        self._reading.saw(chunk, whole=amt is None or (not chunk and amt != 0))
        return chunk

    def readinto(self, buffer: Any) -> Any:
        """Read into a buffer."""
        try:
            count = self._raw.readinto(buffer)
        except BaseException as error:
            self._reading.end(error)
            raise
        self._reading.saw(bytes(memoryview(buffer)[:count]), whole=not count and len(buffer) > 0)
        return count

    def readlines(self, *args: Any) -> Any:
        """Read all lines."""
        lines = self._raw.readlines(*args)
        self._reading.saw(b"".join(lines), whole=True)
        return lines

    def close(self) -> None:
        """The application is done with it."""
        self._reading.end()
        self._raw.close()

    def __iter__(self) -> Iterator[Any]:
        for line in self._raw:
            self._reading.saw(line, whole=False)
            yield line
        self._reading.saw(b"", whole=True)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)
