"""Fixtures of the tests with real namespaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import features
from tests.support.bundle import Bundle, bundle

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def box() -> Iterator[Bundle]:
    """A container with busybox alone, in the map that this user can have."""
    features.check("native", "overlay", "busybox")
    with bundle() as made:
        yield made


@pytest.fixture
def single() -> Iterator[Bundle]:
    """The same in the single-id map."""
    features.check("native", "overlay", "busybox", "unprivileged")
    with bundle(single_id=True) as made:
        yield made
