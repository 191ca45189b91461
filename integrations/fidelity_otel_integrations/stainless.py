"""Clients that Stainless generates (openai, anthropic): one door that every call goes through.

Patched is the client's `request`, so that helpers (`parse`, `stream`, `with_raw_response`,
`with_streaming_response`) and methods of later releases are seen too, and the request body is read
as it is sent: without placeholders for unset arguments.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import sys
import weakref
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final
from urllib.parse import urlsplit

from fidelity_otel import semconv as sc
from fidelity_otel.sdk import guard
from fidelity_otel.sdk.describe import type_name
from fidelity_otel.sdk.modelcall import CURRENT_CALL, ModelCall
from fidelity_otel.sdk.patch import Integration, Patches
from fidelity_otel.sdk.watch import StreamWatch, watch_async, watch_sync

__all__ = ["Stainless"]


class Stainless:
    """The patches of one such client.

    Args:
        library: its name.
        formats: how the endpoints are read, by the end of their path: objects with `operation`,
            `settings`, `write_input`, `write_output` and `chunks`.
        provider: the GenAI name of the provider at a host.
        minimum: oldest supported release.
        own_spans: whether the client, as it is set up, records its calls itself.
        more: further patches, where the client has its own ways.
    """

    def __init__(
        self,
        library: str,
        formats: Mapping[str, Any],
        provider: Callable[[str], str],
        minimum: tuple[int, int],
        *,
        own_spans: Callable[[Any], bool] = lambda _client: False,
        more: Callable[[Patches, ModuleType], None] | None = None,
    ) -> None:
        self._library = library
        self._formats = formats
        self._provider = provider
        self._own_spans = own_spans
        self._more = more
        self._held: Final = f"_fidelity_{library}"  # what is to be told of a stream's end
        self.integration = Integration(
            library, library, self._install, module=f"{library}._base_client", minimum=minimum
        )

    @property
    def active(self) -> bool:
        """Whether it is on."""
        return self.integration.active

    def _install(self, patches: Patches, module: ModuleType) -> None:
        patches.wrap(module.SyncAPIClient, "request", self._request)
        patches.wrap(module.AsyncAPIClient, "request", self._request_async)
        patches.wrap(module.BaseClient, "_calculate_retry_timeout", self._retry)
        patches.wrap(module.BaseClient, "_should_retry", self._status)
        # The client is loaded: its other parts cost nothing.
        streaming = importlib.import_module(f"{self._library}._streaming")
        raw = importlib.import_module(f"{self._library}._response")
        patches.wrap(streaming.Stream, "__init__", self._made)
        patches.wrap(streaming.AsyncStream, "__init__", self._made)
        patches.wrap(streaming.Stream, "close", self._close)
        patches.wrap(streaming.AsyncStream, "close", self._close_async)
        if importlib.util.find_spec(f"{self._library}._legacy_response") is not None:
            legacy = importlib.import_module(f"{self._library}._legacy_response")
            patches.wrap(legacy.LegacyAPIResponse, "parse", self._parse)
        patches.wrap(raw.APIResponse, "parse", self._parse)
        patches.wrap(raw.AsyncAPIResponse, "parse", self._parse_async)
        patches.wrap(raw.APIResponse, "close", self._close)
        patches.wrap(raw.AsyncAPIResponse, "close", self._close_async)
        if self._more is not None:
            self._more(patches, module)

    # --- the request -------------------------------------------------------------------------

    def _request(
        self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        opened = self._open(client, args, kwargs)
        if opened is None:
            return wrapped(*args, **kwargs)
        call, form = opened
        try:
            with call:
                response = wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            call.end()
            raise
        self._answered(call, form, response)
        return response

    async def _request_async(
        self, wrapped: Any, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        opened = self._open(client, args, kwargs)
        if opened is None:
            return await wrapped(*args, **kwargs)
        call, form = opened
        try:
            with call:
                response = await wrapped(*args, **kwargs)
        except BaseException as error:
            call.fail(error)
            call.end()
            raise
        self._answered(call, form, response)
        return response

    def _open(
        self, client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[ModelCall, Any] | None:
        if not self.active:
            return None
        try:
            form, body = self.read(kwargs.get("options", args[1] if len(args) > 1 else None))
            if form is None or self._own_spans(client):
                return None
            address = urlsplit(str(getattr(client, "base_url", "")))
            call = ModelCall.open(
                self._library,
                form.operation,
                str(body.get("model", "")),
                self._provider(address.hostname or ""),
                {
                    **form.settings(body),
                    sc.SERVER_ADDRESS: address.hostname,
                    sc.SERVER_PORT: address.port,
                },
            )
            if call is None:
                return None
        except Exception as error:  # noqa: BLE001
            guard.trip(self._library, error)
            return None
        if call.wants_content:
            self.safely(lambda: form.write_input(call, body))
        return call, form

    def read(self, options: Any) -> tuple[Any, dict[str, Any]]:
        """The format and the body of a request; no format where it is none of ours."""
        path = str(getattr(options, "url", "")).partition("?")[0]
        body = getattr(options, "json_data", None)
        form = self._formats.get(path)
        return (form, body) if form is not None and isinstance(body, dict) else (None, {})

    def _status(
        self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The client asks itself whether this answer is worth another attempt."""
        if (call := CURRENT_CALL.get()) is not None:
            response = kwargs.get("response", args[0] if args else None)
            call.last_status = getattr(response, "status_code", None)
        return wrapped(*args, **kwargs)

    def _retry(
        self, wrapped: Any, _client: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """The client asks itself how long to wait: an attempt failed, and another one comes."""
        delay = wrapped(*args, **kwargs)
        call = CURRENT_CALL.get()
        if call is not None and self.active:
            error = sys.exc_info()[1]
            response = getattr(error, "response", None)
            status = getattr(response, "status_code", None) or call.last_status
            call.last_status = None
            self.safely(
                lambda: call.attempt_failed(
                    status=status,
                    error_type=None if error is None else type_name(error),
                    delay=float(delay),
                )
            )
        return delay

    def safely(self, work: Callable[[], object]) -> None:
        """Do something of ours; what goes wrong is noted and goes no further."""
        try:
            work()
        except Exception as error:  # noqa: BLE001
            guard.trip(self._library, error)

    # --- the response ------------------------------------------------------------------------

    def _answered(self, call: ModelCall, form: Any, response: Any) -> None:
        """Read a response, or hold on to the call where it is a stream or not yet read."""
        try:
            if hasattr(response, "_iterator"):
                self._watch(call, form, response)
            elif hasattr(response, "http_response") and hasattr(response, "parse"):
                self._answered_raw(call, form, response)
            else:
                form.write_output(call, response)
                call.end()
        except Exception as error:  # noqa: BLE001
            call.end()
            guard.trip(self._library, error)

    def _watch(self, call: ModelCall, form: Any, stream: Any) -> None:
        watch = StreamWatch(call, form.chunks())
        inner = stream._iterator  # noqa: SLF001 - the stream's only state; its type stays
        follow: Any = watch_async if hasattr(inner, "__anext__") else watch_sync
        stream._iterator = follow(inner, watch)  # noqa: SLF001
        setattr(stream, self._held, watch)
        watch.until_dropped(stream)
        if (response := getattr(stream, "response", None)) is not None:
            setattr(response, self._held, (watch, id(stream)))

    def _made(
        self, wrapped: Any, stream: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Old helpers put a second stream on the response of the first, and let go of that."""
        wrapped(*args, **kwargs)
        if (held := getattr(stream.response, self._held, None)) is not None:
            self.safely(lambda: self._moved(stream, *held))

    def _moved(self, stream: Any, watch: StreamWatch, old: int) -> None:
        inner = stream._iterator  # noqa: SLF001
        follow: Any = watch_async if hasattr(inner, "__anext__") else watch_sync
        stream._iterator = follow(inner, watch)  # noqa: SLF001
        setattr(stream, self._held, watch)
        watch.moved(old, stream)

    def _answered_raw(self, call: ModelCall, form: Any, response: Any) -> None:
        """`with_raw_response`, `with_streaming_response`: read what is in memory, else wait."""
        http = response.http_response
        if getattr(http, "is_closed", False) and hasattr(http, "_content"):
            form.write_output(call, json.loads(http.content))
            call.end()
        else:
            held = Unread(call, form, self._answered)
            setattr(response, self._held, held)
            held.until_dropped(response)

    def _parse(
        self, wrapped: Any, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        found = wrapped(*args, **kwargs)
        if isinstance(held := getattr(response, self._held, None), Unread):
            held.parsed(found)
        return found

    async def _parse_async(
        self, wrapped: Any, response: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        found = await wrapped(*args, **kwargs)
        if isinstance(held := getattr(response, self._held, None), Unread):
            held.parsed(found)
        return found

    def _close(
        self, wrapped: Any, holder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return wrapped(*args, **kwargs)
        finally:
            if (held := getattr(holder, self._held, None)) is not None:
                held.end()

    async def _close_async(
        self, wrapped: Any, holder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        try:
            return await wrapped(*args, **kwargs)
        finally:
            if (held := getattr(holder, self._held, None)) is not None:
                held.end()


class Unread:
    """A raw response whose content the application has not asked for yet."""

    def __init__(
        self, call: ModelCall, form: Any, answered: Callable[[ModelCall, Any, Any], None]
    ) -> None:
        self._call: ModelCall | None = call
        self._form = form
        self._answered = answered
        self._ref: Any = None

    def parsed(self, found: Any) -> None:
        """The application had it parsed."""
        call, self._call = self._call, None
        if call is not None:
            self._answered(call, self._form, found)

    def end(self) -> None:
        """It was closed or dropped unparsed."""
        call, self._call = self._call, None
        if call is not None:
            call.recording.lose("unread_response")
            call.end()

    def until_dropped(self, response: Any) -> None:
        """End with the response, where it is neither parsed nor closed."""
        self._ref = weakref.finalize(response, self.end)
        self._ref.atexit = False
