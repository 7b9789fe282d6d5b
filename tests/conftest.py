"""Fixtures that several folders of tests use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from target_liveintent.sandbox import Sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def _shared_sandbox() -> Iterator[Sandbox]:
    with Sandbox(seed=7) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(_shared_sandbox: Sandbox) -> Sandbox:
    """Return a local Conversions API that has received nothing yet."""
    _shared_sandbox.reset()
    return _shared_sandbox


@pytest.fixture
def own_sandbox() -> Iterator[Sandbox]:
    """Give a local Conversions API of its own to a test whose requests may outlive it."""
    with Sandbox(seed=7) as sandbox:
        yield sandbox
