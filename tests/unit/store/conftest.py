"""A store of each kind."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from store_support import Stores


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stores(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stores]:
    """Open stores in a file, and in a schema of its own of a PostgreSQL database."""
    if request.param == "postgres":
        place = request.getfixturevalue("new_store_url")()
    else:
        place = str(tmp_path / "store.sqlite")
    stores = Stores(place)
    yield stores
    stores.close()


@pytest.fixture
def in_file(tmp_path: Path) -> Iterator[Stores]:
    """Open stores in a file."""
    stores = Stores(str(tmp_path / "store.sqlite"))
    yield stores
    stores.close()
