"""The first half of a sampling decision: what is known of a trace when it is decided."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from fidelity_otel.errors import ConfigError
from fidelity_otel.model import Decision, Finding, Trace
from fidelity_otel.processor.sample.allocate import History
from fidelity_otel.processor.sample.draw import Budget, Draw, Row, draw
from fidelity_otel.processor.sample.priority import RANDOM_BITS, hashed
from fidelity_otel.processor.sample.upstream import read_upstream
from fidelity_otel.semconv import SHADOW_KEYS

__all__ = ["SampleSettings", "Sampler", "stratum_name"]

_DAY_SECONDS = 86_400.0
_NS = 1_000_000_000
_LEAST_RISK = 1e-6


@dataclass(frozen=True, slots=True)
class SampleSettings:
    """The `sample.*` rows of the settings table."""

    reviews_per_day: float = 50.0
    window_seconds: float = 3600.0
    discovery_share: float = 0.3
    uniform_share: float = 0.3
    stratum_floor: float = 5.0
    keep_share: float = 1.0

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> SampleSettings:
        """From settings by dotted name (`sample.reviews_per_day`); absent ones keep defaults.

        Raises:
            ConfigError: a share is outside 0–1.
        """
        given = {
            f.name: float(settings[f"sample.{f.name}"])
            for f in fields(cls)
            if settings.get(f"sample.{f.name}") is not None
        }
        made = cls(**given)
        for name in ("discovery_share", "uniform_share"):
            if not 0.0 <= getattr(made, name) <= 1.0:
                raise ConfigError(f"sample.{name} = {getattr(made, name):g} is not a share (0–1)")
        if not 0.0 < made.keep_share <= 1.0:
            raise ConfigError(
                f"sample.keep_share = {made.keep_share:g} is not above 0 and at most 1"
            )
        return made


def stratum_name(workflow: str, release: str, flagged: bool) -> str:
    """`workflow | release | flagged`, readable and unambiguous (a bar in a name is escaped)."""
    parts = (workflow, release, "flagged" if flagged else "clear")
    return " | ".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)


def _drawn_together(trace: Trace) -> str:
    """The trace's id; of a shadow pair the pair's, so that both tend to be drawn or neither.

    Permanent random numbers (Ohlsson 1995): a comparison needs both verdicts of a pair.
    """
    for name, value in trace.keys:
        if name in SHADOW_KEYS.values():
            return f"pair {value}"
    return trace.trace_id


def _size(risk: float, uniform_share: float) -> float:
    """Size w = ε + (1−ε)·√(p(1−p)): the best single-unit weight, kept away from zero by ε."""
    p = min(max(risk, _LEAST_RISK), 1.0 - _LEAST_RISK)
    return uniform_share + (1.0 - uniform_share) * math.sqrt(p * (1.0 - p))


@lru_cache(maxsize=64)
def _window_name(start_ns: int, seconds: float) -> str:
    text = datetime.fromtimestamp(start_ns / _NS, UTC).strftime("%Y%m%dT%H%M%S")
    return f"{text}Z+{seconds:g}s"


class Sampler:
    """Makes candidates of traces and draws closed windows; holds settings and salt, no state.

    Args:
        settings: the sampling settings, or all settings by dotted name.
        salt: the installation's secret; whoever knows it can tell what will be reviewed.

    Raises:
        ConfigError: the salt is empty.
    """

    def __init__(self, settings: SampleSettings | Mapping[str, Any], salt: bytes | str) -> None:
        self.settings = (
            settings if isinstance(settings, SampleSettings) else SampleSettings.of(settings)
        )
        self.salt = salt.encode() if isinstance(salt, str) else salt
        if not self.salt:
            raise ConfigError("sample.salt is empty: set FIDELITY_SAMPLE_SALT to a secret text")
        # As `hashed(salt, "keep", trace_id)`, of which the beginning is worked out once: every
        # trace is asked for.
        size = RANDOM_BITS // 8
        self._keep = hashlib.blake2b(b"keep\x1f", key=self.salt[:64], digest_size=size)
        below = min(round(self.settings.keep_share * (1 << RANDOM_BITS)), (1 << RANDOM_BITS) - 1)
        self._kept_below = below.to_bytes(size, "big")

    def keeps(self, trace_id: str) -> float:
        """The probability with which a trace without findings is stored; 0 where this one isn't.

        It hangs on nothing but the id, the salt and `sample.keep_share`, so that every process, and
        one that decides again after a crash, says the same. It has nothing to do with the draw.

        Args:
            trace_id: in hex.
        """
        share = self.settings.keep_share
        if share >= 1.0:
            return 1.0
        lot = self._keep.copy()
        lot.update(trace_id.encode())
        return share if lot.digest() < self._kept_below else 0.0

    def window(self, now_ns: int) -> str:
        """The window that a time falls in: its start in UTC and its length; sorts by time."""
        length = max(1, round(self.settings.window_seconds * _NS))
        return _window_name(now_ns // length * length, self.settings.window_seconds)

    def candidate(
        self,
        trace: Trace,
        findings: Sequence[Finding],
        risk: float,
        now_ns: int,
        *,
        trace_state: str = "",
    ) -> Decision:
        """What the draw needs to know of one trace; its arms are empty until the window closes.

        Args:
            trace: the trace as read.
            findings: what the detectors found; any finding flags the trace.
            risk: probability that the answer is wrong, 0–1.
            now_ns: the time of the decision, nanoseconds since the epoch.
            trace_state: the root span's W3C tracestate, for the head sampler's `th` and `rv`.
        """
        flagged = bool(findings)
        upstream = read_upstream(trace_state)
        reasons = [f"mode {mode}" for mode in sorted({f.mode for f in findings})]
        if upstream.probability < 1.0:
            reasons.append(f"kept upstream with probability {upstream.probability:.6g}")
        if upstream.problem:
            reasons.append(upstream.problem)
        return Decision(
            trace_id=trace.trace_id,
            stratum=stratum_name(trace.workflow, trace.release, flagged),
            window=self.window(now_ns),
            randomness=hashed(self.salt, "estimation", _drawn_together(trace)),
            size=_size(risk, self.settings.uniform_share),
            risk=risk,
            flagged=flagged,
            upstream=upstream.probability,
            reasons=tuple(reasons),
            revision=trace.revision,
            decided_ns=now_ns,
        )

    def budget(self, carry: float = 0.0, elapsed_seconds: float | None = None) -> Budget:
        """Reviews to draw now: what accrued since the last draw and what it left over.

        At most one day's reviews, so that a quiet week doesn't flood the reviewers on Monday.

        Args:
            carry: `Draw.carry` of the last draw.
            elapsed_seconds: time since the last draw; one window by default.
        """
        s = self.settings
        elapsed = s.window_seconds if elapsed_seconds is None else max(0.0, elapsed_seconds)
        accrued = s.reviews_per_day * elapsed / _DAY_SECONDS + max(0.0, carry)
        cap = s.reviews_per_day * max(1.0, s.window_seconds / _DAY_SECONDS)
        total = min(accrued, cap)
        return Budget(total * (1.0 - s.discovery_share), total * s.discovery_share)

    def draw(
        self,
        rows: Sequence[Row],
        history: Mapping[str, History],
        *,
        carry: float = 0.0,
        elapsed_seconds: float | None = None,
    ) -> Draw:
        """Draw a closed window with the budget that has accrued; see `draw`."""
        per_day = self.settings.stratum_floor / _DAY_SECONDS
        return draw(
            rows,
            self.budget(carry, elapsed_seconds),
            history,
            self.salt,
            floor=per_day * self.settings.window_seconds,
        )
