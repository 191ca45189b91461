"""HTTP servers on the service's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Generator
from typing import Any, Final

import uvicorn

from fidelity_otel.errors import ConfigError
from fidelity_otel.settings import by_name

__all__ = ["Listener"]

_BACKLOG: Final = 2048


class _Server(uvicorn.Server):
    """Leaves signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


class Listener:
    """Starts and stops HTTP servers.

    Args:
        host: the address to listen on.
    """

    def __init__(self, host: str) -> None:
        self._host = host
        self._running: list[tuple[_Server, asyncio.Task[None]]] = []

    async def start(
        self, app: Any, port: int, setting: str, *, tls: ssl.SSLContext | None = None
    ) -> int:
        """Serve an ASGI application, with TLS where a context is given; returns the bound port.

        Raises:
            ConfigError: the address cannot be used; names the setting.
        """
        bound = self._bind(port, setting)
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=75,
            h11_max_incomplete_event_size=64 << 10,
        )
        config.load()
        config.ssl = tls
        server = _Server(config)
        task = asyncio.create_task(server.serve([bound]), name=setting)
        while not server.started:
            if task.done():
                task.result()
            await asyncio.sleep(0.005)
        self._running.append((server, task))
        return int(bound.getsockname()[1])

    def _bind(self, port: int, setting: str) -> socket.socket:
        try:
            family = socket.getaddrinfo(self._host, port, type=socket.SOCK_STREAM)[0][0]
            bound = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:
            raise ConfigError(
                f"host = {self._host!r} is no address to listen on: {error.strerror}. Mend: an "
                "address of this machine, or 0.0.0.0 for all (host, FIDELITY_HOST)."
            ) from None
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind((self._host, port))
            bound.listen(_BACKLOG)
            bound.setblocking(False)
        except OSError as error:
            bound.close()
            row = by_name()[setting]
            raise ConfigError(
                f"{self._host}:{port} cannot be listened on: {error.strerror}. Mend: stop the "
                f"other program, or choose another port with {setting} ({row.variable}; 0 = any "
                "free one)."
            ) from None
        return bound

    async def stop(self, grace: float) -> None:
        """Let requests in flight end, within `grace` seconds."""
        for server, _ in self._running:
            server.should_exit = True
            server.config.timeout_graceful_shutdown = int(grace)
        for _, task in self._running:
            await task
