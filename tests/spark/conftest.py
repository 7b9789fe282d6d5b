"""One Spark application for most tests, a cluster for those of failures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from spark_support import Cluster, Recorder, Spark, closing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Spark]:
    """Start an application with two tasks at a time; it keeps an event log."""
    conf = {"spark.ui.enabled": "true", "spark.ui.port": "0"}
    with closing(Spark(tmp_path_factory.mktemp("spark"), **conf)) as spark:
        yield spark


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Start a master and two workers."""
    cluster = Cluster(tmp_path_factory.mktemp("cluster"))
    yield cluster
    cluster.close()


@pytest.fixture(scope="module", params=["local", pytest.param("cluster", marks=pytest.mark.slow)])
def anywhere(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Spark]:
    """Start an application on this machine, and another one on the cluster.

    It ends with the module, as other tests need all cores of the cluster.
    """
    if request.param == "local":
        yield request.getfixturevalue("spark")
        return
    url = request.getfixturevalue("cluster").url
    with closing(Spark(tmp_path_factory.mktemp("app"), url, **{"spark.cores.max": "2"})) as spark:
        yield spark


@pytest.fixture
def server() -> Iterator[Recorder]:
    """Serve an API that takes everything and keeps it."""
    with Recorder() as server:
        yield server


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Name a folder for the table of outcomes."""
    return tmp_path / "outcomes"
