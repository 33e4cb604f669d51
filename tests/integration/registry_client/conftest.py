"""A registry of the test's own, and a client of it that does not wait between its tries."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pyrun.registry.client import RegistryClient
from pyrun.registry.retry import Retry
from tests.support.registry_asking import ANONYMOUS
from tests.support.registry_hostile import HostileRegistry


@pytest.fixture
def registry() -> Iterator[HostileRegistry]:
    with HostileRegistry() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def client(registry: HostileRegistry, pauses: list[float]) -> Iterator[RegistryClient]:
    with RegistryClient(registry.domain, ANONYMOUS, retry=Retry(sleep=pauses.append)) as made:
        yield made
