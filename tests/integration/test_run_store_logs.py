"""What the libraries of a store log at DEBUG: nothing of it is a credential."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from integration_support import order, schema

if TYPE_CHECKING:
    from integration_support import Launcher
    from object_store import Store

TOKEN = "made-up-session-token"
LOGGERS = (
    "botocore",
    "botocore.auth",
    "botocore.endpoint",
    "aiobotocore.endpoint",
    "s3fs",
    "urllib3",
)


@pytest.mark.parametrize("configured", [False, True])
def test_no_credentials_in_the_log(
    target: Launcher, store: Store, bucket: str, url: str, configured: bool
) -> None:
    """Neither keys nor signed headers, also if the configuration of the log asks for all of it."""
    env = {**store.environment, "AWS_SESSION_TOKEN": TOKEN, "TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    if configured:
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"all": {"class": "logging.StreamHandler"}},
            "loggers": {name: {"level": "DEBUG", "handlers": ["all"]} for name in LOGGERS},
        }
        path = target.folder / "log.yml"
        path.write_text(json.dumps(config))
        env["SINGER_SDK_LOG_CONFIG"] = str(path)
    target.forks = None  # A process of its own begins with the log as the environment says.
    bad = order(1, event_id="bad", event_time=None)
    run = target.run(schema(), bad, order(2), dead_letter_path=url, env=env)
    assert run.code == 0, run.log
    assert len(store.keys(bucket)) == 1
    for secret in (TOKEN, "made-up-secret", "made-up-key", "AWS4-HMAC", "X-Amz", "x-amz"):
        assert secret not in run.log
        assert secret not in run.stdout
