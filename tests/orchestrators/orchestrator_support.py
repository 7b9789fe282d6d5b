"""The project that the examples have in /srv/shop, and what a scheduler sees of it."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import programs
from docs_support import Project
from meltano_support import MELTANO, ROOT

from target_liveintent.sandbox import Sandbox

EXAMPLES = ROOT / "examples"
PLACE = "/srv/shop"
"""Where the examples have the project."""
DENIED = "the API denied access"


class Ended(NamedTuple):
    """How a command of a scheduler ended."""

    code: int
    said: str


class Shop:
    """The project of the documentation, where an example finds it."""

    def __init__(self, project: Project) -> None:
        self.folder = project.folder
        self._settings = (self.folder / ".env").read_text(encoding="utf-8")
        programs = self.folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        (programs / "meltano").symlink_to(MELTANO)
        self.set_token("sandbox-token")

    def set_token(self, token: str) -> None:
        """Write a token into the project's settings."""
        text = self._settings.replace("=sandbox-token", f"={token}")
        (self.folder / ".env").write_text(text, encoding="utf-8")

    def keep_the_tap_open(self) -> None:
        """From now on, the tap does not end after its orders; what was read is sent meanwhile."""
        tap = self.folder / ".programs" / "tap-shopify"
        text = tap.read_text(encoding="utf-8").replace("exec ", "", 1)
        stay = 'case "$*" in *--discover*) ;; *) exec sleep 120 ;; esac\n'
        tap.write_text(text + stay, encoding="utf-8")
        self._settings += "TARGET_LIVEINTENT_FLUSH_INTERVAL_SECONDS=1\n"
        self.set_token("sandbox-token")

    def here(self, text: str) -> str:
        """Return a text of an example, with this folder in place of its own."""
        assert PLACE in text
        return text.replace(PLACE, str(self.folder))

    def run(
        self, command: Sequence[str | Path], env: Mapping[str, str], folder: Path | None = None
    ) -> Ended:
        """Run a command with this environment and no other; output and errors come together."""
        done = programs.run(command, folder or self.folder, {**self.kept, **env}, together=True)
        return Ended(done.returncode, done.stdout)

    @property
    def kept(self) -> dict[str, str]:
        """What each environment has: no requests to other machines, and the code under test."""
        kept = {"MELTANO_CLI_DISABLE_VERSION_CHECK": "1", "NO_PROXY": "127.0.0.1", "NO_COLOR": "1"}
        if path := os.environ.get("PYTHONPATH"):
            kept["PYTHONPATH"] = path
        return kept


def fails_and_recovers(
    shop: Shop, sandbox: Sandbox, send: Callable[[], Ended], health: Callable[[], Ended]
) -> None:
    """A run with a wrong token, and one after it with the right one.

    The scheduler sees that the first fails, and so does the health check; both say why. The
    second sends all that the first did not.
    """
    shop.set_token("wr0ng-token")
    failed = send()
    assert failed.code != 0
    assert DENIED in failed.said
    told = health()
    assert told.code != 0
    assert DENIED in told.said
    assert sandbox.events == []

    shop.set_token("sandbox-token")
    done = send()
    assert done.code == 0, done.said
    assert len(sandbox.events) == 3
    fine = health()
    assert fine.code == 0, fine.said
    assert sandbox.stats.duplicates == 0
