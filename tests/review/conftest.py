"""A store with support conversations in it, and the web application over it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fidelity_otel.store import Store, open_store

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parents[2] / "tools")]
from review_traces import Clock, fill, read_fake, support_trace  # noqa: E402


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path) as opened:
        yield opened


@pytest.fixture
def filled(store: Store) -> Store:
    fill(store, [support_trace(n) for n in range(6)])
    return store


@pytest.fixture
def web(store: Store, clock: Clock) -> Callable[..., Any]:
    """Makes a test client: `web(**settings)`."""
    from starlette.testclient import TestClient

    from fidelity_otel.review.web import create_app

    def make(hooks: Any = None, **settings: Any) -> TestClient:
        given = {"review." + name: value for name, value in settings.items()}
        app = create_app(store, read_fake, settings=given, now=clock, hooks=hooks)
        return TestClient(app, base_url="http://127.0.0.1:8318")

    return make
