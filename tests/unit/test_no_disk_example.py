"""The example without a disk: its CronJob, workflow and project fit together, and keep no file."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from target_liveintent import config
from target_liveintent.singer.process import STOP_SECONDS

hub = pytest.importorskip("hub", reason="not a checkout")

EXAMPLE = hub.ROOT / "examples" / "no-disk"
PREFIX = "TARGET_LIVEINTENT_"
OTHERS = {"PGPASSWORD", "MELTANO_DATABASE_URI"}
"""What PostgreSQL's client and Meltano read."""


def text(name: str) -> str:
    return (EXAMPLE / name).read_text(encoding="utf-8")


PROJECT: dict[str, Any] = yaml.safe_load(text("meltano.yml"))
CRONJOB: dict[str, Any] = yaml.safe_load(text("cronjob.yaml"))
# YAML 1.1 reads the key `on` as a boolean.
WORKFLOW: dict[Any, Any] = yaml.safe_load(text(".github/workflows/liveintent.yml"))
POD = CRONJOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
WORKFLOW_JOB = WORKFLOW["jobs"]["send"]
(LOADER,) = PROJECT["plugins"]["loaders"]
(TAP,) = PROJECT["plugins"]["extractors"]
README, DOCKERFILE = text("README.md"), text("Dockerfile")
SECRETS = dict(line.split("=", 1) for line in text(".env.example").splitlines() if "=" in line)
"""What `.env`, and by it the secret `liveintent`, gives a run."""


def in_kubernetes() -> dict[str, str]:
    (source,) = CONTAINER["envFrom"]
    assert source == {"secretRef": {"name": "liveintent"}}
    own = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert not own.keys() & SECRETS.keys()
    return SECRETS | own


def in_github() -> dict[str, str]:
    given = WORKFLOW_JOB["env"]
    assert given == {name: f"${{{{ secrets.{name} }}}}" for name in given}
    assert given.keys() - SECRETS.keys() == {"TARGET_LIVEINTENT_AUTH_TOKEN"}
    assert "gh secret set TARGET_LIVEINTENT_AUTH_TOKEN < liveintent.token" in README
    return SECRETS | {"TARGET_LIVEINTENT_AUTH_TOKEN": "made-up"}


@pytest.mark.parametrize("place", [in_kubernetes, in_github])
def test_the_settings(place: Callable[[], dict[str, str]]) -> None:
    """Each variable is one that the target or somebody else reads; a run needs no other."""
    environment = place()
    tap = {f"TAP_POSTGRES_{setting['name'].upper()}" for setting in TAP["settings"]}
    settings = {f"{PREFIX}{name.upper()}" for name in config.SETTINGS_SCHEMA["properties"]}
    assert environment.keys() - tap - settings == OTHERS
    needed = {f"TAP_POSTGRES_{name}" for name in ("HOST", "USER", "PASSWORD", "DATABASE")}
    assert environment.keys() >= needed
    given = {**config.with_environment({}, environment).values, **LOADER["config"]}
    assert len(given.keys() & {"auth_token", "auth_token_path"}) == 1
    # The file of the token is there only where the secret is mounted.
    assert [each for each in config.problems(given) if "auth_token_path" not in each] == []
    assert given.keys() <= config.SETTINGS_SCHEMA["properties"].keys()


def test_nothing_is_on_the_disk() -> None:
    """What a run writes goes to the database, for which the project names the extra."""
    given = config.with_environment(LOADER["config"], SECRETS).values
    assert [name for name in given if name.endswith("_path")] == []
    assert given["store"].startswith("postgresql://")
    assert LOADER["pip_url"] == hub.PIP_URL.replace(hub.NAME, f"{hub.NAME}[postgres]", 1)
    uses = [step["uses"].partition("@")[0] for step in WORKFLOW_JOB["steps"] if "uses" in step]
    assert uses == ["actions/checkout", "actions/setup-python"]  # No cache, no artifact.


def test_the_command() -> None:
    """Both run the job of the project, which the README has as well."""
    (job,) = PROJECT["jobs"]
    assert job["tasks"] == [f"{TAP['name']} {LOADER['name']}"]
    assert CONTAINER["args"] == ["run", job["name"]]
    run = f"meltano run {job['name']}"
    assert run in [step.get("run") for step in WORKFLOW_JOB["steps"]]
    assert f"{run}\n" in README


def test_one_run_at_a_time() -> None:
    """The next one starts after it, and is the repetition of one that failed; a stop has time."""
    spec = CRONJOB["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert POD["restartPolicy"] == "Never"
    assert POD["terminationGracePeriodSeconds"] > STOP_SECONDS + 10
    assert WORKFLOW["concurrency"] == {"group": "liveintent", "cancel-in-progress": False}
    assert WORKFLOW[True]["schedule"] == [{"cron": spec["schedule"]}]


def test_the_image() -> None:
    """The names of the image and of its user agree; nothing secret is copied."""
    copied = re.findall(r"^COPY \S+ (\S+) ", DOCKERFILE, re.MULTILINE)
    assert copied == ["meltano.yml", "plugins"]
    assert re.findall(r"--tag (\S+)", README) == [CONTAINER["image"]]
    assert {".env", "*.token"} <= set(text(".gitignore").split())
    user = POD["securityContext"]["runAsUser"]
    assert f"--uid {user} " in DOCKERFILE
    assert f"USER {user}\n" in DOCKERFILE
