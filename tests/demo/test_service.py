"""The demo's client of the service's API."""

from __future__ import annotations

import httpx


def test_a_trace_that_arrives_between_two_pages_doubles_none(demo):
    """The list is newest first: what arrives meanwhile pushes others onto the next page."""
    stored = ["c", "b", "a"]

    def pages(request):
        offset = int(request.url.params["offset"])
        page = [{"trace_id": name} for name in stored[offset : offset + 2]]
        if offset == 0:
            stored.insert(0, "d")
        return httpx.Response(200, json=page)

    client = httpx.Client(base_url="http://service", transport=httpx.MockTransport(pages))
    found = demo("service").Service("", "http://service", client).traces()
    assert [trace["trace_id"] for trace in found] == ["c", "b", "a"]
