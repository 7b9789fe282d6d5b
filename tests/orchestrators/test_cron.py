"""The crontab of orchestrators.md: cron takes it, and its lines work in cron's bare environment."""

import re
import shutil
from pathlib import Path

import programs
import pytest
from needs import not_installed
from orchestrator_support import EXAMPLES, Ended, Shop, fails_and_recovers

from target_liveintent.sandbox import Sandbox

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

TEXT = (EXAMPLES / "cron" / "crontab").read_text(encoding="utf-8")
VARIABLES = dict(re.findall(r"^([A-Z]+)=(.*)$", TEXT, re.MULTILINE))
SEND, HEALTH = re.findall(r"^(?:[\d*/,-]+ ){5}(.+)$", TEXT, re.MULTILINE)
"""The commands of the two lines, without their times."""


def by_cron(shop: Shop, command: str) -> Ended:
    """Run a command as cron does; its code is 1 if cron would send a mail of its output."""
    assert "%" not in command  # cron would make a new line of it.
    home = shop.folder.parent
    env = {"HOME": str(home), "LOGNAME": "shop", "SHELL": "/bin/sh"}
    env |= {name: value.replace("/srv/shop", str(shop.folder)) for name, value in VARIABLES.items()}
    said = shop.run([env["SHELL"], "-c", shop.here(command)], env, home).said
    return Ended(int(said != ""), said)


def test_a_failure_and_the_run_after_it(shop: Shop, sandbox: Sandbox) -> None:
    """The mails say why a run failed, and that all is not usual. No mail comes if all is well."""
    fails_and_recovers(shop, sandbox, lambda: by_cron(shop, SEND), lambda: by_cron(shop, HEALTH))
    assert "dead-lettered 2" in (shop.folder / "run.log").read_text(encoding="utf-8")


def test_one_at_a_time(shop: Shop, sandbox: Sandbox) -> None:
    """While a run goes on, the next one does nothing, and says nothing."""
    while_it_runs = f"flock run.lock sh -c {SEND.partition(' && ')[2]!r}"
    (shop.folder / "run.log").touch()
    assert by_cron(shop, f"cd /srv/shop && {while_it_runs}") == (0, "")
    assert sandbox.stats.requests == 0


@pytest.mark.skipif(shutil.which("crontab") is None, reason=not_installed("cron"))
def test_cron_takes_it(tmp_path: Path) -> None:
    """The program that installs a crontab finds nothing wrong with it, and would find a mistake."""
    usage = programs.run(["crontab", "-h"], together=True).stdout
    check = "-T" if "-T" in usage else "-n"  # Debian's cron has -n.
    for text, right in ((TEXT, True), (TEXT.replace("\n47 ", "\n67 "), False)):
        path = tmp_path / "crontab"
        path.write_text(text, encoding="utf-8")
        done = programs.run(["crontab", check, path])
        assert (done.returncode == 0) == right, done.stderr
