"""Ways to get the target into a project: by reference, from a Hub, by a lock file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from faulty_server import FaultyServer, Reply, Request
from meltano_support import MELTANO, ROOT, empty_project

import hub

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

PROJECTS = [ROOT / "meltano.yml", *sorted(ROOT.glob("examples/*/meltano.yml"))]
NOT_FOR_PROJECTS = {
    "domain_url",
    "keywords",
    "log_parser",
    "maintenance_status",
    "next_steps",
    "quality",
    "settings_preamble",
    "supported_python_versions",
    "usage",
}
"""Of a definition, what is for the Hub and for lock files."""


@pytest.fixture
def hub_url() -> Iterator[str]:
    """A Hub that has the target, at this address."""
    index = {"variants": {hub.MAINTAINER: {"ref": ""}}, "default_variant": hub.MAINTAINER}

    definition = yaml.safe_load((ROOT / hub.DEFINITION).read_text(encoding="utf-8"))

    def answer(request: Request) -> Reply:
        answers: dict[str, Any] = {
            "/meltano/api/v1/plugins/loaders/index": {
                hub.NAME: index | {"logo_url": hub.definition()["logo_url"]}
            },
            "/target": definition,
        }
        return Reply(200, json.dumps(answers[request.path]).encode())

    with FaultyServer(answer) as server:
        index["variants"] = {hub.MAINTAINER: {"ref": f"{server.url}/target"}}
        yield server.url


def test_lock_file(hub_url: str, tmp_path: Path) -> None:
    """The lock files here are what Meltano makes of the definition, once its Hub has it."""
    cache = {"XDG_CACHE_HOME": str(tmp_path), "MELTANO_HUB_URL": hub_url}
    done = empty_project(tmp_path).run("add", "--no-install", hub.NAME, **cache)
    assert done.returncode == 0, done.stdout + done.stderr
    locked = json.loads((tmp_path / hub.LOCK).read_text(encoding="utf-8"))
    assert json.loads((ROOT / hub.LOCK).read_text(encoding="utf-8")) == locked


@pytest.mark.parametrize("path", PROJECTS, ids=lambda path: path.parent.name)
def test_projects_are_valid(path: Path) -> None:
    """Meltano's schema takes each project, the target's definition in place, and its schedule."""
    (found,) = MELTANO.parents[1].glob(
        "lib/python*/site-packages/meltano/schemas/meltano.schema.json"
    )
    schema = json.loads(found.read_text(encoding="utf-8"))
    project = yaml.safe_load(path.read_text(encoding="utf-8"))
    (loader,) = project["plugins"]["loaders"]
    definition = {
        key: value for key, value in hub.definition().items() if key not in NOT_FOR_PROJECTS
    }
    loader |= {**definition, **loader}
    loader["capabilities"].remove("validate-records")  # The Hub knows it, this schema does not yet.
    jsonschema.Draft202012Validator(schema).validate(project)
    (job,) = project["jobs"]
    tap = project["plugins"]["extractors"][-1]
    for schedule in project.get("schedules", ()):  # A CronJob has a schedule of its own.
        assert schedule["job"] == job["name"]
    assert job["tasks"] == [f"{tap['name']} {loader['name']}"]
