"""The example without a disk: what Kubernetes and GitHub read is right, and runs keep no file."""

import shutil
from pathlib import Path

import programs
import pytest
from environments import environment_with
from meltano_support import ROOT, Project, changed_text, copy_of_an_example, expected, seen
from postgres_server import Postgres
from store_tables import count

import hub
from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

EXAMPLE = ROOT / "examples" / "no-disk"
REQUIREMENT = hub.PIP_URL.replace("@", "[postgres]@")
# These programs know the schemas, and ask no network.
CHECKERS = ("check-jsonschema==0.39.0", "kubernetes-validate==1.37.0")
CHECKS = {
    "cronjob.yaml": ("kubernetes-validate", "--strict"),
    ".github/workflows/liveintent.yml": (
        "check-jsonschema",
        "--builtin-schema",
        "vendor.github-workflows",
    ),
}
"""The files, each with the command that compares it with the schema of who reads it."""


@pytest.mark.parametrize("name", CHECKS)
def test_who_reads_it_takes_it(name: str) -> None:
    """Each key is one that Kubernetes or GitHub knows, with a value of its type."""
    program, *options = CHECKS[name]
    checker = environment_with("checkers", *CHECKERS) / program
    done = programs.run([checker, *options, EXAMPLE / name])
    assert done.returncode == 0, done.stdout + done.stderr


# Runs


@pytest.fixture
def databases(postgres: Postgres, orders: dict[str, str]) -> dict[str, str]:
    """The table of orders, the store and Meltano's database, as `.env` names them."""
    for name in ("liveintent", "meltano"):
        postgres.sql(f"CREATE DATABASE {name}")
    server = f"127.0.0.1:{postgres.port}"
    return {
        **orders,
        "TARGET_LIVEINTENT_STORE": f"postgresql://tester@{server}/liveintent",
        "PGPASSWORD": "not asked for",
        "MELTANO_DATABASE_URI": f"postgresql+psycopg://tester:unused@{server}/meltano",
    }


@pytest.fixture
def image(tmp_path: Path, wheel: str) -> Project:
    """What the Dockerfile makes: the project with its plugins installed."""
    project = copy_of_an_example("no-disk", tmp_path / "image", wheel)
    text = project.settings.read_text(encoding="utf-8")
    project.settings.write_text(changed_text(text, {REQUIREMENT: f"{wheel}[postgres]"}))
    done = project.shell("meltano install")
    assert done.returncode == 0, done.stderr[-3000:]
    return project


def machine(image: Project, name: str) -> Project:
    """A new machine with the image; nothing of earlier runs is there."""
    folder = image.folder.with_name(name)
    shutil.copytree(image.folder, folder, symlinks=True)
    return Project(folder)


def files(project: Project) -> set[str]:
    """The names of the files that are there, without Meltano's own."""
    return {path.name for path in project.folder.iterdir()} - {".meltano"}


@pytest.mark.postgres
def test_machines_share_what_they_did(
    image: Project, postgres: Postgres, databases: dict[str, str], sandbox: Sandbox
) -> None:
    """Each run is on a new machine, sends what the others did not, and leaves no file there."""
    settings = {
        "TARGET_LIVEINTENT_CUSTOMER_ID": "a-1b2c",
        "TARGET_LIVEINTENT_PIXEL_ID": "12345",
        "TARGET_LIVEINTENT_AUTH_TOKEN": "sandbox-token",
        "TARGET_LIVEINTENT_API_URL": sandbox.url,
        **databases,
    }

    def run(name: str, *options: str) -> str:
        there = machine(image, name)
        done = there.run("run", *options, "postgres-to-liveintent", **settings)
        assert done.returncode == 0, done.stderr[-3000:]
        assert files(there) == files(image)
        return done.stdout + done.stderr

    run("first")
    assert seen(sandbox) == expected(postgres)
    accepted = sandbox.stats.accepted
    store = databases["TARGET_LIVEINTENT_STORE"]
    assert (count(store, "run"), count(store, "delivered")) == (1, accepted)
    letters = count(store, "dead_letter")
    paid = "SELECT count(*) FROM orders WHERE status = 'paid' AND NOT is_test"
    assert accepted + letters == int(postgres.sql(paid))

    run("second")  # STATE is known.
    assert sandbox.stats.accepted == accepted
    again = run("third", "--full-refresh")  # And where it is not, the store.
    assert f"already_sent {accepted}" in again
    assert (sandbox.stats.accepted, sandbox.stats.duplicates) == (accepted, 0)
    assert count(store, "dead_letter") == letters
