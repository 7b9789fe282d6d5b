"""The DAGs of orchestrators.md, run by Airflow itself."""

from collections.abc import Callable

import pytest
from environments import environment_with
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.orchestrators, pytest.mark.slow]

REQUIREMENTS = ("apache-airflow==3.3.2", "apache-airflow-providers-standard==1.21.0")
FOLDER = EXAMPLES / "airflow"


Airflow = Callable[..., Ended]


@pytest.fixture
def airflow(shop: Shop) -> Airflow:
    """Return what runs a command of Airflow, which has a database of its own."""
    programs = environment_with("airflow", *REQUIREMENTS)
    home = shop.folder.parent / "airflow"
    home.mkdir(exist_ok=True)
    env = {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(FOLDER),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__USAGE_DATA_COLLECTION__ENABLED": "False",
        "HOME": str(home),
        "LIVEINTENT_PROJECT": str(shop.folder),
        "PATH": f"{shop.folder}/.venv/bin:{programs}:/usr/bin:/bin",
    }

    def run(*command: str) -> Ended:
        return shop.run([programs / "airflow", *command], env)

    ready = run("db", "migrate")
    assert ready.code == 0, ready.said
    return run


def test_a_failure_and_the_run_after_it(airflow: Airflow, shop: Shop, sandbox: Sandbox) -> None:
    """The DAG of the run fails and recovers, and so does that of the health check."""
    assert airflow("dags", "list-import-errors").said.strip().endswith("No data found")
    fails_and_recovers(
        shop,
        sandbox,
        lambda: airflow("dags", "test", "liveintent"),
        lambda: airflow("dags", "test", "liveintent_health"),
    )
    replayed = airflow("dags", "test", "liveintent_replay")
    assert replayed.code == 0, replayed.said
    assert "total: read 2, " in replayed.said
