"""Conversions to LiveIntent by Airflow: a run each hour, a health check, and a replay by hand.

Copy this file into the folder of your DAGs, and set PROJECT.
"""

from __future__ import annotations

import os
from datetime import datetime, timedelta, timezone

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

PROJECT = os.environ.get("LIVEINTENT_PROJECT", "/srv/shop")
"""The folder of the Meltano project, on the machine that runs the task."""

# With `exec`, a signal from Airflow reaches Meltano, and not only the shell.
COMMANDS = {
    "liveintent": ("17 * * * *", "exec meltano run tap-shopify target-liveintent"),
    "liveintent_health": (
        "47 * * * *",
        "exec meltano invoke target-liveintent:health --max-age 3",
    ),
    "liveintent_replay": (None, "exec meltano invoke target-liveintent:replay"),
}
"""Each DAG with its schedule and its command. Start the last one by hand."""

for name, (schedule, command) in COMMANDS.items():
    with DAG(
        name,
        schedule=schedule,
        start_date=datetime(2026, 1, 1, tzinfo=timezone.utc),
        catchup=False,  # a run sends all new records, not only those of one hour
        max_active_runs=1,  # two runs of one job would share Meltano's STATE
        default_args={"retries": 0},  # if a run fails, the next run sends the rest
        dagrun_timeout=timedelta(hours=6),
    ):
        BashOperator(task_id="meltano", bash_command=command, cwd=PROJECT, append_env=True)
