"""Fixtures for pytest. Installed with kvcore; nothing is imported until a test asks for one of them.

    def test_directly(kvcore):                   # a fresh, empty store in this process
        kvcore.set("k", "v")

    def test_through_a_client(kvcore_url):       # the same over a socket, for code that takes a URL
        client = redis.Redis.from_url(kvcore_url)

Every test gets a store of its own and a port that the system chose, so tests may run side by side (pytest-xdist).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from kvcore.store import Store


@pytest.fixture
def kvcore() -> Iterator[Store[bytes]]:
    """A fresh, empty store, private to the test."""
    from kvcore.store import open as open_store

    with open_store() as store:
        yield store


@pytest.fixture
def kvcore_server() -> Iterator[Store[bytes]]:
    """A fresh store that is served on a free port of this machine: `kvcore_server.url`, `.host`, `.port`."""
    from kvcore.store import open as open_store

    with open_store() as store:
        store.serve(port=0)
        yield store


@pytest.fixture
def kvcore_url(kvcore_server: Store[bytes]) -> str:
    """Where `kvcore_server` is reached: redis://127.0.0.1:PORT/0."""
    return kvcore_server.url
