"""A histogram of values that stand for others like them, which nobody kept."""

from __future__ import annotations

from prometheus_client import Histogram

__all__ = ["WeighedHistogram"]


class WeighedHistogram(Histogram):
    """As its base; a value may count several times, and in fractions."""

    def observe_often(
        self, amount: float, times: float, exemplar: dict[str, str] | None = None
    ) -> None:
        """Put a value in as often as that, at least once."""
        self.observe(amount, exemplar)
        more = times - 1.0
        if more > 0.0:
            self._sum.inc(amount * more)
            bounds = zip(self._buckets, self._upper_bounds, strict=True)
            next(bucket for bucket, bound in bounds if amount <= bound).inc(more)
