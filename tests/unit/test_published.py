"""What other programs read of the settings: editors the JSON Schema, shells `.env.example`."""

import json
import re
from typing import Any

import jsonschema_rs
import pytest
import yaml

from target_liveintent import config
from target_liveintent.conversions.fields import COLUMNS
from target_liveintent.explain.proposal_text import SCHEMA_URL
from target_liveintent.mapping.presets import PRESETS, preset_text

hub = pytest.importorskip("hub", reason="not a checkout")

SCHEMA = json.loads((hub.ROOT / "docs" / SCHEMA_URL.rpartition("/")[2]).read_text("utf-8"))
EDITOR = jsonschema_rs.validator_for(SCHEMA)
NEEDED = {"customer_id": "a-1b2c", "auth_token": "sandbox-token"}
ORDERS = {"event_id": "order_no", "value": "total / 100", "ip": None, "my_column": "'x'"}
OPTIONS = {"__filter__": "paid", "__else__": None, "__key_properties__": ["id"]}


@pytest.mark.parametrize(
    ("given", "is_right"),
    [
        pytest.param({}, True, id="only what is needed"),
        pytest.param(
            dict.fromkeys(config.SETTINGS_SCHEMA["properties"].keys() - NEEDED),
            True,
            id="other settings without a value",
        ),
        pytest.param(
            {"pixel_id": 12345, "api_url": "http://127.0.0.1:8086", "dry_run": True},
            True,
            id="account, API and dry run",
        ),
        pytest.param(
            {"presets": {"orders": "shopify"}, "stream_maps": {"__else__": "__NULL__"}},
            True,
            id="preset, others dropped",
        ),
        *(
            pytest.param(
                {"stream_maps": yaml.safe_load(preset_text(n))["stream_maps"]},
                True,
                id=f"map of the preset {n}",
            )
            for n in PRESETS
        ),
        pytest.param(
            {"stream_maps": {"orders": {**ORDERS, **OPTIONS}, "public?*": None}},
            True,
            id="all options of a map",
        ),
        pytest.param(
            {"stream_maps": {"copy": {**ORDERS, "__source__": "orders"}, "old": "__NULL__"}},
            True,
            id="a copy, a stream dropped",
        ),
        pytest.param(
            {"stream_map_config": {"rate": 1.5, "shops": ["a"]}}, True, id="values for the maps"
        ),
        pytest.param({"pixel_id": 0}, False, id="a pixel of zero"),
        pytest.param({"customer_id": "x-1"}, False, id="a malformed customer ID"),
        pytest.param({"default_source": "shop"}, False, id="an unknown source"),
        pytest.param({"presets": {"orders": "shoppify"}}, False, id="an unknown preset"),
        pytest.param(
            {"stream_maps": {"orders": {"__fliter__": "paid"}}}, False, id="a misspelled option"
        ),
        pytest.param(
            {"stream_maps": {"orders": {"value": 12}}}, False, id="a number as expression"
        ),
        pytest.param(
            {"stream_maps": {"orders": {"email": {"of": "buyer"}}}},
            False,
            id="an object as expression",
        ),
        pytest.param(
            {"stream_maps": {"orders": {"__else__": "null"}}}, False, id="others within a stream"
        ),
        pytest.param({"stream_maps": {"__filter__": None}}, False, id="a filter outside a stream"),
        pytest.param({"stream_maps": {"orders": "email"}}, False, id="a text as map"),
        pytest.param({"report_path": "page.htm"}, False, id="not the name of a page"),
    ],
)
def test_an_editor_says_what_a_run_says(given: dict[str, Any], *, is_right: bool) -> None:
    given = {**NEEDED, **given}
    assert (config.problems(given) == []) is is_right
    assert EDITOR.is_valid(given) is is_right


def test_an_editor_knows_each_name() -> None:
    """It completes and explains each setting, column and option, and underlines any other name."""
    assert not EDITOR.is_valid({**NEEDED, "pixel": 12345})
    one_map = SCHEMA["properties"]["stream_maps"]["additionalProperties"]["anyOf"][0]["properties"]
    assert set(one_map) == {*COLUMNS, *OPTIONS, "__source__", "__alias__"}
    explained = [*SCHEMA["properties"].values(), *one_map.values()]
    assert all(rules["description"] for rules in explained)


def test_where_secrets_come_from() -> None:
    """Each variable is one that something reads, and each secret setting is among them."""
    text = (hub.ROOT / ".env.example").read_text("utf-8")
    names = set(re.findall(r"^# ([A-Z_]+)=\S+$", text, re.MULTILINE))
    ours = {f"TARGET_LIVEINTENT_{name.upper()}" for name in config.SETTINGS_SCHEMA["properties"]}
    others = {"PGPASSWORD", "HTTPS_PROXY", "MELTANO_DATABASE_URI", "APPRISE_URLS"}
    assert names <= ours | others | {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    secret = [
        name for name, rules in config.SETTINGS_SCHEMA["properties"].items() if rules.get("secret")
    ]
    assert names >= {f"TARGET_LIVEINTENT_{name.upper()}" for name in secret}
    assert not re.search("^[^#\n]", text, re.MULTILINE)  # A copy sets nothing by itself.
