"""Files that a run reads from S3, by moto: the list of people not to send, and BATCH files."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from integration_support import batch, lines, order, orders, schema, state
from object_store import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from integration_support import Launcher

    from target_liveintent.sandbox import Sandbox

TOKEN = "made-up-session-token"
LOGGERS = ("botocore", "botocore.auth", "botocore.endpoint", "s3fs", "urllib3", "fsspec")
BUCKET = "files"


@pytest.fixture(scope="module")
def s3() -> Iterator[Store]:
    """Serve S3 with a list of people and a BATCH file."""
    store = Store()
    store.client.create_bucket(Bucket=BUCKET)
    objects = {
        "people.txt": b"buyer1@example.com\n",
        "rows.jsonl": lines(one["record"] for one in orders(3)),
    }
    for key, content in objects.items():
        store.client.put_object(Bucket=BUCKET, Key=key, Body=content)
    yield store
    store.close()


@pytest.mark.parametrize("configured", [False, True])
def test_what_is_read(target: Launcher, sandbox: Sandbox, s3: Store, configured: bool) -> None:
    """Neither keys nor signed headers are logged, also if the log is asked for all there is."""
    env = {**s3.environment, "AWS_SESSION_TOKEN": TOKEN, "TARGET_LIVEINTENT_LOGLEVEL": "DEBUG"}
    if configured:
        config = {
            "version": 1,
            "disable_existing_loggers": False,
            "handlers": {"all": {"class": "logging.StreamHandler"}},
            "loggers": {name: {"level": "DEBUG", "handlers": ["all"]} for name in LOGGERS},
        }
        (target.folder / "log.yml").write_text(json.dumps(config))
        env["SINGER_SDK_LOG_CONFIG"] = str(target.folder / "log.yml")
    target.forks = None  # A process of its own begins with the log as the environment says.
    messages = (schema(), batch(f"s3://{BUCKET}/rows.jsonl"), state(1))
    run = target.run(*messages, suppression_path=f"s3://{BUCKET}/people.txt", env=env)
    assert (run.code, run.states, sandbox.stats.accepted) == (0, [1], 2), run.log
    assert run.summary["orders"].drops == {"suppressed": 1}
    for secret in (TOKEN, "made-up-secret", "made-up-key", "AWS4-HMAC", "X-Amz", "x-amz"):
        assert secret not in run.log
    assert not list(target.folder.glob("s3*"))


@pytest.mark.parametrize("given", ["s3://files/nobody", "s3://nowhere/people.txt", "no keys"])
def test_people_that_cannot_be_read(
    target: Launcher, sandbox: Sandbox, s3: Store, given: str
) -> None:
    """A run must not send without the list; no message shows the URL."""
    has_keys = given.startswith("s3:")
    env = {k: v for k, v in s3.environment.items() if has_keys or "KEY" not in k}
    path = given if has_keys else f"s3://{BUCKET}/people.txt"
    run = target.run(schema(), order(1), state(1), suppression_path=path, env=env)
    assert (run.code, run.states, sandbox.stats.requests) == (2, [], 0)
    assert run.last_line.startswith("suppression_path cannot be read: ")
    assert path not in run.log
