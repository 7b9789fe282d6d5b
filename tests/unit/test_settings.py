"""The frozen settings: what follows from them, and what their `repr` hides."""

from typing import Any

import msgspec
import pytest

from target_liveintent.config import settings_of

SECRET = "s3cr3t-T0ken-of-ours"
GOOD: dict[str, Any] = {"customer_id": "a-1b2c", "auth_token": SECRET}


def test_the_repr_hides_the_token() -> None:
    """A log line or a traceback with the settings shows no secret.

    A secret is a token, a value of stream maps, or the password of a database.
    """
    maps = {"orders": {"salted": f"'{SECRET}'"}}
    given = {**GOOD, "pixel_id": 7, "stream_maps": maps, "stream_map_config": {"salt": SECRET}}
    given["store"] = f"postgresql://loader:{SECRET}@db.example.com/l"
    settings = settings_of(given)
    assert SECRET not in repr(settings) + str(settings)
    assert "a-1b2c" in repr(settings)
    assert (settings.auth_token, settings.stream_map_config) == (SECRET, {"salt": SECRET})
    assert settings.store == given["store"]
    with pytest.raises(AttributeError):  # A setting cannot change during the run.
        settings.dry_run = True  # type: ignore[misc]


@pytest.mark.parametrize(
    ("api_url", "url"),
    [
        ("https://x.example", "https://x.example/conversions/a-1b2c"),
        ("https://x.example/", "https://x.example/conversions/a-1b2c"),
        ("https://x.example/v1/", "https://x.example/v1/conversions/a-1b2c"),
        ("https://x.example/{customer_id}/events", "https://x.example/a-1b2c/events"),
        ("https://x.example/{customer_id}", "https://x.example/a-1b2c"),
    ],
    ids=str,
)
def test_the_url_is_the_base_url_or_has_the_customer_within(api_url: str, url: str) -> None:
    assert settings_of({**GOOD, "api_url": api_url}).url == url


def test_derived_values_follow_a_replaced_setting() -> None:
    """A copy with another value does not keep what was derived from the old one."""
    settings = settings_of({**GOOD, "pixel_id": 7})
    assert settings.events.pixel_id == 7
    other = msgspec.structs.replace(settings, pixel_id=8, customer_id="b-2c3d")
    assert other.events == settings.events._replace(pixel_id=8)
    assert other.url.endswith("/conversions/b-2c3d")
