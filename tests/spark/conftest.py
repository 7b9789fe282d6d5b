"""One Spark application for most tests, a cluster for those of failures."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from spark_support import Cluster, Recorder, Spark, closing


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


@pytest.fixture
def server() -> Iterator[Recorder]:
    """Serve an API that takes everything and keeps it."""
    with Recorder() as server:
        yield server


@pytest.fixture
def outcomes(tmp_path: Path) -> Path:
    """Name a folder for the table of outcomes."""
    return tmp_path / "outcomes"
