"""The SDK's standard suite for targets, against the sandbox."""

import os
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from singer_sdk.testing import get_target_test_class
from singer_sdk.testing.runners import TargetTestRunner

from target_liveintent.sandbox import Sandbox
from target_liveintent.store.opening import open_store
from target_liveintent.store.run_store import RunStore
from target_liveintent.target import TargetLiveIntent

# The suite's streams are no conversions: constants make them some. `fail` lets a record that
# cannot be sent end a run in the SDK's own exceptions, which the suite expects.
CONFIG: dict[str, Any] = {
    "customer_id": "a-1b2c",
    "auth_token": "sandbox-token",
    "pixel_id": 12345,
    "default_source": "web",
    "on_rejection": "fail",
    "stream_maps": {
        "*": {"event_time": str(int(time.time()) - 3600), "email": "'buyer@example.com'"}
    },
}

Suite = get_target_test_class(TargetLiveIntent, config=CONFIG)


class TestStandardSuite(Suite):  # type: ignore[misc,valid-type]
    @pytest.fixture(autouse=True)
    def _against_the_sandbox(
        self, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Iterator[None]:
        """Send to the sandbox, and close the stores, as the suite does not end its runs."""
        stores: list[RunStore] = []

        def opened(*args: Any, **options: Any) -> RunStore:
            stores.append(open_store(*args, **options))
            return stores[-1]

        monkeypatch.setattr("target_liveintent.target.open_store", opened)
        monkeypatch.setitem(CONFIG, "api_url", sandbox.url)
        monkeypatch.chdir(tmp_path)
        for name in list(os.environ):
            if name.startswith("TARGET_LIVEINTENT_"):
                monkeypatch.delenv(name)
        yield
        for store in stores:
            store.close()

    @pytest.fixture
    def runner(self, _against_the_sandbox: None) -> Iterator[TargetTestRunner]:
        """As the suite's own, and closes the input that the SDK's runner leaves open."""
        runner = TargetTestRunner(TargetLiveIntent, config=CONFIG)
        yield runner
        if runner.target_input is not None:
            runner.target_input.close()

    @pytest.mark.parametrize(
        ("stream", "sent"),
        [
            pytest.param("array_data", 4, id="arrays"),
            pytest.param("duplicate_records", 2, id="duplicates"),
            pytest.param("user_location_data", 11, id="locations"),
        ],
    )
    def test_what_the_suite_sends_arrives(
        self, runner: TargetTestRunner, sandbox: Sandbox, stream: str, sent: int
    ) -> None:
        """The suite looks at nothing that is sent, so some of its streams are counted here.

        Five duplicate records have two keys, so they are two events.
        """
        source = files("singer_sdk.testing.target_test_streams") / f"{stream}.singer"
        runner.input_filepath = source
        runner.sync_all()
        assert sandbox.stats.accepted == sent
        assert sandbox.stats.by_status.keys() == {"204"}
