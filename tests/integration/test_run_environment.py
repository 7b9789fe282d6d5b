"""Environment variables, which the command line always reads."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from integration_support import lines, order, schema

from target_liveintent.target import TargetLiveIntent

if TYPE_CHECKING:
    from pathlib import Path

    from faulty_server import FaultyServer
    from integration_support import Launcher

PREFIX = "TARGET_LIVEINTENT_"


@pytest.mark.parametrize(
    ("variables", "options", "sent"),
    [
        ({}, (), [12345, 12345]),
        ({"PIXEL_ID": "8"}, (), [8, 8]),
        ({"PIXEL_ID": "8"}, ("--config=ENV",), [8, 8]),
        ({"LIMIT": "1"}, (), [12345]),
        ({"DRY_RUN": "true"}, (), []),
        # Options win over them, and an object of a file does too.
        ({"LIMIT": "2"}, ("--limit=1",), [12345]),
        ({"DRY_RUN": "false"}, ("--dry-run",), []),
        ({"STREAM_MAPS": '{"orders": null}'}, (), [12345, 12345]),
    ],
)
def test_what_wins(
    to_server: Launcher,
    server: FaultyServer,
    variables: dict[str, str],
    options: tuple[str, ...],
    sent: list[int],
) -> None:
    """Variables win over the files of `--config`, and options over both."""
    (to_server.folder / "input.singer").write_bytes(lines([schema(), order(1), order(2)]))
    maps = {"orders": {"x": "1"}}
    env = {PREFIX + name: value for name, value in variables.items()}
    run = to_server.ask("--input", "input.singer", *options, env=env, stream_maps=maps)
    assert run.code == 0
    assert [event["pixelId"] for one in server.requests for event in one.events] == sent
    names = ", ".join(PREFIX + name for name in variables if name != "STREAM_MAPS")
    said = f"environment variables that differ from --config win: {names}"
    assert (said in run.log) == (names == f"{PREFIX}PIXEL_ID")


def test_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that makes a target gives it all settings: no variable counts."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"PIXEL_ID": "8", "LIMIT": "x", "LEDGER_PATH": "y"}.items():
        monkeypatch.setenv(PREFIX + name, value)
    given = {"customer_id": "a-1b2c", "auth_token": "made-up", "dry_run": True}
    for options in ({}, {"parse_env_config": True}):
        target = TargetLiveIntent(config=dict(given), **options)
        target.listen(io.StringIO(""))
        assert (target.settings.pixel_id, target.settings.limit) == (None, None)
