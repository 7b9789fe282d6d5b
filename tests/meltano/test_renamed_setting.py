"""A setting by its old name, in a project that has the definition of today."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from meltano_support import project_of, replaying_tap
from preset_records import sample

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.meltano, pytest.mark.slow]

WARNING = "setting 'on_invalid' has been renamed: use 'on_rejection' instead"


def test_the_old_name_works(account: dict[str, str], tmp_path: Path) -> None:
    """Also beside the default of the new one, which Meltano gives the target all the same."""
    guest = sample("shopify", time.time())
    nobody = {"email": None, "customer": None, "customerJourneySummary": None}
    guest = guest._replace(record={**guest.record, **nobody})
    tap = {
        "name": "tap-shop",
        "executable": str(replaying_tap(tmp_path, [guest])),
        "capabilities": ["catalog", "discover", "state"],
    }
    project = project_of(tmp_path, tap, presets={"orders": "shopify"}, on_invalid="fail")
    run = project.run("run", "--no-install", "tap-shop", "target-liveintent", **account)
    assert run.returncode != 0
    assert WARNING in run.stdout + run.stderr
    assert "because on_rejection is 'fail'" in run.stdout + run.stderr
    shown = project.shell("meltano invoke target-liveintent:explain < /dev/null", **account)
    assert WARNING in shown.stdout + shown.stderr
    new = project_of(tmp_path, tap, presets={"orders": "shopify"})
    run = new.run("run", "--no-install", "tap-shop", "target-liveintent", **account)
    assert run.returncode == 0, run.stderr[-3000:]
    assert "on_invalid" not in run.stdout + run.stderr
