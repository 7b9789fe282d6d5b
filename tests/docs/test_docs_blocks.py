"""Every command and configuration of the documentation, run against the sandbox."""

import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import programs
import pytest
from docs_support import ROOT, Block, Project, blocks, pages, unseen
from needs import not_installed

from target_liveintent import config
from target_liveintent.conversions.event_model import Conversion, Rejection
from target_liveintent.mapping.converter import RecordConverter
from target_liveintent.mapping.map_checks import lacking_for_events
from target_liveintent.mapping.stream_maps import Stream, StreamMaps
from target_liveintent.yaml12 import load_yaml

PAGES = pages()
ACCOUNT = {"customer_id": "a-1b2c", "auth_token": "made-up", "pixel_id": 12345}
NOW = 1_785_603_600
"""An hour after the conversions of the recipes."""
MAX_EXCUSES = 2


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


# What blocks are, by their language


def _is_settings(text: str) -> None:
    """Settings that are right, whose maps compile."""
    settings = load_yaml(text)
    assert set(settings) <= set(config.SETTINGS_SCHEMA["properties"])
    assert config.problems(ACCOUNT | settings) == []
    values = (settings.get(name, {}) for name in ("stream_maps", "stream_map_config", "presets"))
    maps = StreamMaps(*values)
    for stream in maps.names:
        maps.plans(stream, {"properties": {"id": {}}})


def _is_ini(text: str) -> None:
    """A `.env` whose settings are right."""
    lines = dict(line.split("=", 1) for line in text.splitlines())
    given = config.with_environment({}, lines)
    assert len(given.values) == len(lines)
    assert [*config.problems(*given), *config.setting_warnings(*given)] == []


def _is_crontab(text: str) -> None:
    """Five fields that name times, and a command that changes to a folder first."""
    for line in text.splitlines():
        assert re.fullmatch(r"(?:[\d*/,-]+ ){5}cd \S+ && .+", line), line


def _is_promql(text: str) -> None:
    """Expressions over metrics that there are."""
    from target_liveintent.reasons import REASONS
    from target_liveintent.reporting.metrics import METRICS

    assert set(re.findall(r"target_liveintent_(\w+)", text)) <= METRICS.keys()
    for named in re.findall(r'reason!?~"([^"]+)"', text):
        assert set(named.split("|")) <= REASONS.keys()


CHECKS: dict[str, Callable[[str], Any]] = {
    "crontab": _is_crontab,
    "ini": _is_ini,
    "json": json.loads,
    "promql": _is_promql,
    "yaml": _is_settings,
}


def _marks(page: Path) -> list[pytest.MarkDecorator]:
    """Those of a page that has commands that start Meltano: they take long."""
    runs = [block for block in blocks(page) if block.kind == "sh" and block.excuse is None]
    started = any("meltano" in block.text for block in runs)
    return [pytest.mark.meltano, pytest.mark.slow] if started else []


@pytest.mark.parametrize(
    "page", [pytest.param(page, id=_name(page), marks=_marks(page)) for page in PAGES]
)
def test_page(page: Path, request: pytest.FixtureRequest) -> None:
    """The blocks of a page, from its beginning to its end, in one project.

    Commands must succeed; a block of output must be like what the commands before it said.
    """
    said, project = "", None
    for block in blocks(page):
        where = f"{_name(page)}:{block.line}"
        is_file = (block.title or "").endswith((".json", ".py", "us.env"))
        if is_file or block.kind in {"sh", "python"}:
            project = project or request.getfixturevalue("project")
        if is_file:
            project.write(block.title, block.text)
        if block.excuse is not None:
            continue
        if block.kind == "sh":
            said = _run(block.text, project, where)
        elif block.kind == "text":
            assert unseen(block.text, said) == [], f"{where}\n{said}"
        elif block.kind == "python" and not is_file:
            _run_python(block.text, project, where)
        elif not is_file or block.kind in {"json", "ini"}:
            assert block.kind in CHECKS, f"{where}: a block of the kind '{block.kind}'"
            try:
                CHECKS[block.kind](block.text)
            except Exception as failure:
                raise AssertionError(where) from failure


def _run(text: str, project: Project, where: str) -> str:
    own = [line for line in text.splitlines() if line.startswith("scripts/")]
    for line in own:  # They are what runs this test, or others run them.
        assert (ROOT / line.split()[0]).exists(), f"{where}: {line}"
    program, *_ = text.split(maxsplit=1)
    if program == "curl" and shutil.which(program) is None:
        pytest.skip(not_installed(program))
    rest = "\n".join(line for line in text.splitlines() if line not in own)
    if not rest.strip():
        return ""
    done = project.run(rest)
    assert done.returncode == 0, f"{where}\n{rest}\n{done.stdout[-3000:]}"
    return done.stdout


def _run_python(text: str, project: Project, where: str) -> None:
    done = programs.run([sys.executable, "-W", "ignore", "-c", text], project.folder, timeout=60)
    assert done.returncode == 0, f"{where}\n{done.stderr}"


# Recipes: a map, a record, the event


def _recipes() -> list[Any]:
    return [
        pytest.param(found[index - 2 : index + 1], id=f"{_name(page)}:{block.line}")
        for page in PAGES
        for found in [blocks(page)]
        for index, block in enumerate(found)
        if block.title == "event"
    ]


@pytest.mark.parametrize("recipe", _recipes())
def test_recipe(recipe: list[Block]) -> None:
    """The map makes the event of the record: its named fields, null for none, or the reason."""
    given, record, event = (block.text for block in recipe)
    assert [block.title for block in recipe] == [None, "record", "event"]
    expected = json.loads(event)
    made = _converted(load_yaml(given), json.loads(record))
    if isinstance(made, Conversion):
        got = json.loads(made.body)
        for field, value in expected.items():
            if isinstance(value, dict) and value:
                assert {key: got[field][key] for key in value} == value
            else:
                assert got[field] == value
    else:
        assert (made.reason if isinstance(made, Rejection) else made) == expected


def _converted(settings: dict[str, Any], record: dict[str, Any]) -> Conversion | Rejection | None:
    checked = config.settings_of(ACCOUNT | settings)
    maps = StreamMaps(settings["stream_maps"], settings.get("stream_map_config", {}))
    (name,) = settings["stream_maps"].keys() - {"__else__"}
    stream = Stream(name, {"properties": {key: {} for key in record}}, ())
    (plan,) = maps.plans(stream.name, stream.schema)
    assert lacking_for_events(plan, stream.schema, checked.events) == []
    converter = RecordConverter(stream, plan, checked.events, now=lambda: NOW)
    return converter.convert(record)


# What is not run here


def test_excuses() -> None:
    """A block that cannot run says why, as few do, or names the test that runs it."""
    excuses = []
    for page in PAGES:
        for block in blocks(page):
            if block.excuse is not None and block.excuse.startswith("run by "):
                other = ROOT / block.excuse.removeprefix("run by ")
                assert page.name in other.read_text(encoding="utf-8")
            elif block.excuse is not None:
                excuses.append(block.excuse)
        # No fence escapes the reading of blocks.
        fences = re.findall(r"^ *```", page.read_text(encoding="utf-8"), re.MULTILINE)
        assert len(fences) == 2 * len(blocks(page)), page
    assert len(excuses) <= MAX_EXCUSES
    assert all(len(excuse) > 20 for excuse in excuses)
