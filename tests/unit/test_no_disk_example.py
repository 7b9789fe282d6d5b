"""The example without a disk: its CronJob, workflow and project fit together, and keep no file."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

import hub
from target_liveintent import config
from target_liveintent.singer import STOP_SECONDS

EXAMPLE = hub.ROOT / "examples" / "no-disk"
PREFIX = "TARGET_LIVEINTENT_"
OTHERS = {
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_DEFAULT_REGION",
    "MELTANO_DATABASE_URI",
}
"""What S3's client and Meltano read."""
RUN = ["run", "postgres-to-liveintent"]
TOKEN = {"auth_token", "auth_token_path"}


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
README = text("README.md")
SECRETS = dict(line.split("=", 1) for line in text(".env.example").splitlines() if "=" in line)
"""What `.env`, and by it the secret `liveintent`, gives a run."""


def in_kubernetes() -> dict[str, str]:
    (source,) = CONTAINER["envFrom"]
    assert source == {"secretRef": {"name": "liveintent"}}
    own = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert not own.keys() & SECRETS.keys()
    return SECRETS | own


def in_github() -> dict[str, str]:
    for name, value in WORKFLOW_JOB["env"].items():
        assert value == f"${{{{ secrets.{name} }}}}"
    missing = WORKFLOW_JOB["env"].keys() - SECRETS.keys()
    assert missing == {"TARGET_LIVEINTENT_AUTH_TOKEN"}
    assert "gh secret set TARGET_LIVEINTENT_AUTH_TOKEN < liveintent.token" in README
    return SECRETS | {"TARGET_LIVEINTENT_AUTH_TOKEN": "made-up"}


PLACES = {"kubernetes": in_kubernetes, "github": in_github}


@pytest.mark.parametrize("place", PLACES)
def test_the_environment(place: str) -> None:
    """Each variable is a setting of the target, of the tap, of Meltano, or of S3's client."""
    names = PLACES[place]().keys()
    tap = {f"TAP_POSTGRES_{setting['name'].upper()}" for setting in TAP["settings"]}
    settings = {f"{PREFIX}{name.upper()}" for name in config.SCHEMA["properties"]}
    assert names - tap - settings == OTHERS
    assert names >= {f"TAP_POSTGRES_{name}" for name in ("HOST", "USER", "PASSWORD", "DATABASE")}


@pytest.mark.parametrize("place", PLACES)
def test_the_settings(place: str) -> None:
    """All that a run needs is there, and right."""
    given = {
        **config.from_environment(PLACES[place](), PREFIX),
        **LOADER["config"],
    }
    assert len(given.keys() & TOKEN) == 1
    problems = config.problems(given)
    # The file of the token is there only where the secret is mounted.
    assert [each for each in problems if "auth_token_path" not in each] == []
    assert given.keys() <= config.SCHEMA["properties"].keys()


def test_nothing_is_on_the_disk() -> None:
    """What a run writes goes to URLs."""
    given = LOADER["config"] | config.from_environment(SECRETS, PREFIX)
    written = {
        name
        for name in config.SCHEMA["properties"]
        if name.endswith("_path") and name not in {"auth_token_path", "suppression_path"}
    }
    assert written - given.keys() == {"ledger_path", "metrics_path"}  # ledger_url; off
    for name in written & given.keys():
        assert given[name].startswith("s3://shop-liveintent/"), name
    assert given["ledger_url"].startswith("postgresql://")
    assert [volume["name"] for volume in POD["volumes"]] == ["token"]
    uses = [step["uses"].partition("@")[0] for step in WORKFLOW_JOB["steps"] if "uses" in step]
    assert uses == ["actions/checkout", "actions/setup-python"]  # No cache, no artifact.


def test_the_requirement_has_what_the_settings_need() -> None:
    """The extras are there, and named in the project."""
    extras = re.fullmatch(rf"{hub.NAME}\[(.*)\]", LOADER["pip_url"])
    assert extras is not None
    assert set(extras[1].split(",")) == {"postgres", "report", "s3"}
    pyproject = (hub.ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in extras[1].split(","):
        assert re.search(rf"^{extra} = \[", pyproject, re.MULTILINE), extra


def test_the_command() -> None:
    """Both run a job of the project, by the command that README.md has as well."""
    (job,) = PROJECT["jobs"]
    assert job == {"name": RUN[1], "tasks": [f"{TAP['name']} {LOADER['name']}"]}
    assert 'ENTRYPOINT ["meltano"]' in text("Dockerfile").splitlines()
    assert CONTAINER["args"] == RUN
    *install, run = (step["run"] for step in WORKFLOW_JOB["steps"] if "run" in step)
    assert run == " ".join(["meltano", *RUN])
    assert install == ["pip install 'meltano[postgres]>=4.4'", "meltano install"]
    assert "pip install --no-cache-dir 'meltano[postgres]>=4.4'" in text("Dockerfile")
    assert f"{run}\n" in README


def test_the_commands_for_dead_letters() -> None:
    """What README.md names is in the definition that the project has in its lock file."""
    named = re.findall(rf"^meltano invoke {hub.NAME}:([\w-]+)$", README, re.MULTILINE)
    assert named == ["dead-letters", "replay"]
    assert set(named) <= hub.lock()["commands"].keys()


def test_one_run_at_a_time() -> None:
    """The next one starts after it, and is the repetition of one that failed."""
    spec = CRONJOB["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 0
    assert POD["restartPolicy"] == "Never"
    assert WORKFLOW["concurrency"] == {"group": "liveintent", "cancel-in-progress": False}
    assert WORKFLOW[True]["schedule"] == [{"cron": spec["schedule"]}]


def test_a_stop_has_its_time() -> None:
    assert POD["terminationGracePeriodSeconds"] > STOP_SECONDS + 10


def test_the_token_is_where_it_is_looked_for() -> None:
    """The file that is mounted is the one of the secret, and the one that the setting names."""
    (volume,), (mount,) = POD["volumes"], CONTAINER["volumeMounts"]
    assert (volume["name"], mount["readOnly"]) == (mount["name"], True)
    path = in_kubernetes()["TARGET_LIVEINTENT_AUTH_TOKEN_PATH"]
    folder, _, key = path.rpartition("/")
    assert folder == mount["mountPath"]
    name = volume["secret"]["secretName"]
    made = f"kubectl create secret generic {name} --from-file={key}=liveintent.token\n"
    assert made in README
    assert "kubectl create secret generic liveintent --from-env-file=.env\n" in README


def test_the_files_that_are_named() -> None:
    """What the image is made of and README.md names is there; nothing secret is copied."""
    copied = re.findall(r"^COPY \S+ (\S+) ", text("Dockerfile"), re.MULTILINE)
    assert copied == ["meltano.yml", "plugins"]
    named = re.findall(r"\]\(([^)]+)\)", README)
    for name in [*copied, *named, ".env.example"]:
        assert (EXAMPLE / name).exists(), name
    (image,) = re.findall(r"--tag (\S+)", README)
    assert image == CONTAINER["image"]
    assert {".env", "*.token"} <= set(text(".gitignore").split())
    user = POD["securityContext"]["runAsUser"]
    assert f"--uid {user} " in text("Dockerfile")
    assert f"USER {user}\n" in text("Dockerfile")
