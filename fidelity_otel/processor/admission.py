"""How much may be in flight: bytes received and not yet durable, counted before they are parsed."""

from __future__ import annotations

from fidelity_otel.errors import Overloaded

__all__ = ["Admission"]

_RESUME = 0.75


class Admission:
    """A budget of bytes, for one event loop.

    Once it is used up, nothing new is admitted until a quarter of it is free again, so that senders
    are not turned away and let in by turns.

    Args:
        max_bytes: the budget. A single request above it is admitted when nothing else is in flight,
            for it could never be otherwise.
        retry_after: seconds that refused senders are told to wait.
    """

    def __init__(self, max_bytes: int, *, retry_after: float = 1.0) -> None:
        self.max_bytes = max_bytes
        self.in_flight = 0
        self.requests = 0
        self.refusing = False
        self._retry_after = retry_after

    def enter(self, size: int) -> None:
        """Admit a request of so many bytes.

        Raises:
            Overloaded: there is no room; nothing was counted.
        """
        resumes = self.in_flight <= self.max_bytes * _RESUME
        if self.refusing and resumes:
            self.refusing = False
        if self.in_flight and (self.refusing or self.in_flight + size > self.max_bytes):
            self.refusing = True
            raise Overloaded(
                f"{self.in_flight} bytes are being received, {self.max_bytes} may be "
                "(receive.max_in_flight_bytes): come again shortly",
                retry_after=self._retry_after,
            )
        self.in_flight += size
        self.requests += 1

    def grow(self, size: int) -> None:
        """A request that is in already turned out larger, for example by decompression.

        Raises:
            Overloaded: there is no room; the request keeps what it had.
        """
        if self.in_flight + size > self.max_bytes and self.requests > 1:
            self.refusing = True
            raise Overloaded(
                f"a compressed request needs {size} more bytes than there is room for: come again",
                retry_after=self._retry_after,
            )
        self.in_flight += size

    def leave(self, size: int) -> None:
        """A request of so many bytes, growth included, is done with."""
        self.in_flight -= size
        self.requests -= 1
