"""What has to be done now and then while the service runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from fidelity_otel.errors import FidelityError
from fidelity_otel.processor.chain import Chain
from fidelity_otel.processor.live import Live
from fidelity_otel.processor.metrics import Metrics
from fidelity_otel.processor.metrics_store import StoreWatch
from fidelity_otel.processor.reports import Reports
from fidelity_otel.processor.risk_model import fit_from_reviews, keep_model
from fidelity_otel.processor.windows import Windows
from fidelity_otel.report.census import fold_windows

if TYPE_CHECKING:
    from fidelity_otel.store import Store

__all__ = ["Chores"]

_log = logging.getLogger(__name__)
_TICK: Final = 0.5
_PRUNE_SECONDS: Final = 600.0
_WINDOWS_SECONDS: Final = 5.0
_FOLD_SECONDS: Final = 30.0
_FIT_SECONDS: Final = 86_400.0
_SHARE: Final = 10.0  # a chore may take a tenth of the time

Chore = Callable[[], Awaitable[object]]


class Chores:
    """Frees the journal, draws and folds windows, refreshes estimates, prunes, fits the risk.

    A chore that fails is logged, and tried again when its time comes.
    """

    def __init__(
        self,
        *,
        chain: Chain,
        windows: Windows,
        reports: Reports,
        store: Store,
        metrics: Metrics,
        settings: Mapping[str, Any],
        clock: Callable[[], int],
        live: Live,
    ) -> None:
        self._chain = chain
        self._windows = windows
        self._reports = reports
        self._store = store
        self._metrics = metrics
        self._settings = settings
        self._clock = clock
        self._live = live
        self._watch = StoreWatch(metrics, store, started_ns=clock())
        self._stop = asyncio.Event()

    def stop(self) -> None:
        """Ask `run` to end."""
        self._stop.set()

    async def run(self) -> None:
        """Do what is due, until `stop`."""
        every: list[tuple[str, float, Chore]] = [
            ("free the journal", _TICK, self._free),
            ("draw windows", min(_WINDOWS_SECONDS, self._window_seconds / 4), self._draw),
            ("fold windows", _FOLD_SECONDS, self._fold),
            ("refresh estimates", self._settings["report.refresh_seconds"], self._refresh),
            ("prune the store", _PRUNE_SECONDS, self._prune),
            ("fit the risk", _FIT_SECONDS, self._fit),
        ]
        due = {name: time.monotonic() + seconds for name, seconds, _ in every}
        due["refresh estimates"] = 0.0
        while not self._stop.is_set():
            for name, seconds, chore in every:
                began = time.monotonic()
                if began < due[name]:
                    continue
                try:
                    await chore()
                except FidelityError as error:
                    _log.warning("could not %s: %s", name, error)
                    self._metrics.inc("fidelity_store_errors", operation=name)
                except Exception:  # noqa: BLE001 (one broken chore must not end the others)
                    _log.exception("could not %s", name)
                    self._metrics.inc("fidelity_store_errors", operation=name)
                ended = time.monotonic()
                due[name] = ended + max(seconds, _SHARE * (ended - began))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), _TICK)

    @property
    def _window_seconds(self) -> float:
        return float(self._settings["sample.window_seconds"])

    @property
    def _keep_share(self) -> float:
        return float(self._settings["sample.keep_share"])

    async def _free(self) -> None:
        self._chain.free()
        await self._chain.compact()

    async def _draw(self) -> None:
        closed = await asyncio.to_thread(self._windows.close)
        if closed.windows:
            _log.info("%d windows drawn, %d traces to review", closed.windows, closed.enqueued)

    async def _fold(self) -> None:
        folded = await asyncio.to_thread(fold_windows, self._store, now_ns=self._clock())
        if folded:
            _log.info("%d windows folded", folded)

    async def _refresh(self) -> None:
        began = time.monotonic()
        made = await asyncio.to_thread(self._reports.summary, {})
        self._metrics.set_summary(made, seconds=time.monotonic() - began)
        self._metrics.set("fidelity_keep_share_ratio", self._keep_share)
        await asyncio.to_thread(self._watch.look)

    async def _fit(self) -> None:
        fitted = await asyncio.to_thread(fit_from_reviews, self._store, now_ns=self._clock())
        if fitted.drift is not None:
            for kind in ("observed", "predicted"):
                share = getattr(fitted.drift, kind)
                self._metrics.set("fidelity_risk_wrong_ratio", share, kind=kind)
        if fitted.drifted and fitted.drift is not None:
            _log.warning(
                "the risk model has drifted: %.0f%% of %d fresh reviews are wrong, it said %.0f%%",
                100 * fitted.drift.observed,
                fitted.drift.n,
                100 * fitted.drift.predicted,
            )
        await asyncio.to_thread(keep_model, self._store, fitted.model)
        self._live.risk_model = fitted.model
        _log.info("the risk is fitted to %d reviews", fitted.reviews)

    async def _prune(self) -> None:
        await asyncio.to_thread(
            self._store.prune,
            self._clock(),
            self._settings["retain.days"],
            self._settings["retain.max_bytes"],
        )
        if self._keep_share < 1.0:
            await asyncio.to_thread(
                self._store.prune_orphans, self._clock(), self._settings["retain.days"]
            )
        if self._settings["retain.all_days"] > 0:
            await asyncio.to_thread(
                self._store.erase_older, self._settings["retain.all_days"], now_ns=self._clock()
            )
        size = await asyncio.to_thread(self._store.body_bytes)
        self._metrics.set("fidelity_store_bytes", size)
