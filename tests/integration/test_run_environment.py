"""Environment variables without `--config=ENV`: a run that would not obey them says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from integration_support import lines, order, schema

if TYPE_CHECKING:
    from faulty_server import FaultyServer
    from integration_support import Launcher, Running

PREFIX = "TARGET_LIVEINTENT_"


def with_variables(to_server: Launcher, variables: dict[str, str], *options: str) -> Running:
    """Run over an event, with the settings in a file and some more in the environment."""
    if "replay" not in options:
        (to_server.folder / "input.singer").write_bytes(lines([schema(), order(1)]))
        options = ("--input", "input.singer", *options)
    env = {f"{PREFIX}{name}": value for name, value in variables.items()}
    return to_server.ask(*options, env=env)


@pytest.mark.parametrize("variable", ["DRY_RUN=true", "LIMIT=1"])
def test_nothing_is_sent(to_server: Launcher, server: FaultyServer, variable: str) -> None:
    """What should keep a run from sending does so, with the way to do it."""
    name, value = variable.split("=")
    run = with_variables(to_server, {name: value})
    assert (run.code, run.stdout, server.requests) == (2, "", [])
    assert run.last_line == (
        "the run stopped before it sent anything, because it would have ignored these environment"
        f" variables: {PREFIX}{name}. A run reads environment variables only with --config=ENV. Add"
        " --config=ENV, or unset the variables"
    )
    run = with_variables(to_server, {name: value}, "--config=ENV")
    assert (run.code, len(server.requests)) == (0, int(name == "LIMIT"))
    assert "no --config=ENV" not in run.log


def test_a_replay(to_server: Launcher, server: FaultyServer) -> None:
    """The same holds for a replay; one with --dry-run sends nothing, so a warning will do."""
    assert len(to_server.run(schema(), order(1, event_time="never")).letters) == 1
    run = with_variables(to_server, {"DRY_RUN": "true"}, "replay")
    assert (run.code, server.requests) == (2, [])
    assert len(run.letters) == 1
    run = with_variables(to_server, {"DRY_RUN": "true"}, "replay", "--dry-run")
    assert (run.code, server.requests) == (0, [])
    assert f" environment variables: {PREFIX}DRY_RUN. " in run.warnings[0]


def test_other_variables(to_server: Launcher, server: FaultyServer) -> None:
    """A warning names them, and never their values; equal ones are no matter."""
    wrong = {"AUTH_TOKEN": "s3cr3t-token", "TIMEZONE": "Mars/Olympus", "PIXEL_ID": "eight"}
    equal = {"CUSTOMER_ID": "a-1b2c", "KEEP_DELIVERED": "false", "LOGLEVEL": "INFO"}
    run = with_variables(to_server, wrong | equal)
    assert (run.code, len(server.requests)) == (0, 1)
    (warning,) = run.warnings
    assert warning == (
        "the command has no --config=ENV, so the run ignores these environment variables:"
        f" {PREFIX}AUTH_TOKEN, {PREFIX}PIXEL_ID, {PREFIX}TIMEZONE. Add --config=ENV, or unset the"
        " variables"
    )
    assert not {"s3cr3t-token", "Mars"} & set(run.log.replace("/", " ").split())
