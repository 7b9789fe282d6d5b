"""The units of orchestrators.md: systemd takes them, and their commands do what they are for."""

import shlex
import shutil
from pathlib import Path

import programs
import pytest
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

UNITS = {path.name: path.read_text(encoding="utf-8") for path in EXAMPLES.glob("systemd/*.*")}


def settings(name: str) -> dict[str, str]:
    """Return the settings of a unit."""
    lines = UNITS[name].splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def by_systemd(shop: Shop, name: str) -> Ended:
    """Run the command of a unit, in its folder and with systemd's bare environment."""
    unit = settings(name)
    assert unit["WorkingDirectory"] == "/srv/shop"
    env = {"HOME": str(shop.folder), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    return shop.run(shlex.split(shop.here(unit["ExecStart"])), env)


def test_a_failure_and_the_run_after_it(shop: Shop, sandbox: Sandbox) -> None:
    """The service of the run fails and recovers, and so does that of the health check.

    A unit that fails starts the one that tells, with its own name; test_docs_alerts runs it.
    """
    run, health = "liveintent.service", "liveintent-health.service"
    fails_and_recovers(
        shop, sandbox, lambda: by_systemd(shop, run), lambda: by_systemd(shop, health)
    )
    for name in (run, health):
        assert settings(name)["OnFailure"] == "liveintent-tell@%n.service"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd")
def test_systemd_takes_them(shop: Shop, tmp_path: Path) -> None:
    """Systemd itself finds nothing wrong with the units, and would find a mistake."""
    (shop.folder / "tell").write_text("#!/bin/sh\n", encoding="utf-8")
    (shop.folder / "tell").chmod(0o755)
    folder = tmp_path / "units"
    folder.mkdir()
    for name, text in UNITS.items():
        path = folder / name
        path.write_text(text.replace("/srv/shop", str(shop.folder)), encoding="utf-8")
    assert len(UNITS) == 5

    def verify() -> tuple[int, str]:
        command = ("systemd-analyze", "verify", *sorted(folder.iterdir()))
        done = programs.run(command, together=True)
        return done.returncode, done.stdout

    assert verify() == (0, "")
    timer = folder / "liveintent.timer"
    timer.write_text(timer.read_text(encoding="utf-8").replace("*:17", "*:77"), encoding="utf-8")
    assert "Failed to parse calendar specification" in verify()[1]
