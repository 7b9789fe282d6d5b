"""The DAGs of orchestrators.md, run by Airflow itself."""

import pytest
from environments import environment_with
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.orchestrators, pytest.mark.slow]

REQUIREMENTS = ("apache-airflow==3.3.2", "apache-airflow-providers-standard==1.21.0")
FOLDER = EXAMPLES / "airflow"


class Airflow:
    """Airflow, with a database of its own, which runs a shop's project."""

    def __init__(self, shop: Shop) -> None:
        self._programs = environment_with("airflow", *REQUIREMENTS)
        self._shop = shop
        home = shop.folder.parent / "airflow"
        home.mkdir(exist_ok=True)
        self._env = {
            "AIRFLOW_HOME": str(home),
            "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
            "HOME": str(home),
            "LIVEINTENT_PROJECT": str(shop.folder),
            "PATH": f"{shop.folder}/.venv/bin:{self._programs}:/usr/bin:/bin",
        }
        ready = self.run("db", "migrate")
        assert ready.code == 0, ready.said

    def run(self, *command: str) -> Ended:
        """Run a command of Airflow."""
        return self._shop.run([self._programs / "airflow", *command], self._env)


@pytest.fixture
def airflow(shop: Shop) -> Airflow:
    return Airflow(shop)


def test_a_failure_and_the_run_after_it(airflow: Airflow, shop: Shop, sandbox: Sandbox) -> None:
    """The DAG of the run fails and recovers, and so does that of the health check."""
    assert airflow.run("dags", "list-import-errors").said.strip().endswith("No data found")
    fails_and_recovers(
        shop,
        sandbox,
        lambda: airflow.run("dags", "test", "liveintent"),
        lambda: airflow.run("dags", "test", "liveintent_health"),
    )
    replayed = airflow.run("dags", "test", "liveintent_replay")
    assert replayed.code == 0, replayed.said
    assert "total: read 2, " in replayed.said
