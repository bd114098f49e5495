"""Every test of the Python API runs through both doors: the hot one (binding/fast.c) and the wide one (cffi)."""

from __future__ import annotations

import pytest

API = {"test_store", "test_pipeline", "test_pubsub", "test_lock", "test_plugin", "test_leaks", "test_lifecycle"}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if metafunc.module.__name__.rpartition(".")[2] in API:
        metafunc.fixturenames.insert(0, "door")
        metafunc.parametrize("door", ["hot", "wide"], indirect=True)


@pytest.fixture
def door(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Which door stores opened by this test use, and those of processes that it starts."""
    monkeypatch.setenv("KVCORE_DOOR", request.param)
    return str(request.param)
