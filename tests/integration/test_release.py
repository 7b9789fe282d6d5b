"""What a release has: the bill of materials, and the image, by each step of the Containerfile.

The steps run in a root folder of the Debian of the image's base, without a container engine. An
environment of Debian's own Python takes the place of the base's.
"""

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import programs
import pytest
from integration_support import lines, order, schema

from target_liveintent import __version__
from target_liveintent.sandbox import Sandbox

ROOT = Path(__file__).parents[2]
DEBIAN = (ROOT / "scripts/debian", "trixie", "python3-venv")
IMAGE = "ghcr.io/target-liveintent/target-liveintent"
MAP = {"event_id": "str(id)", "event_time": "event_time", "email": "email", "source": "'web'"}


def steps(containerfile: str) -> Iterator[tuple[str, str]]:
    """Yield each instruction and its argument; none may continue in the next line."""
    for line in containerfile.splitlines():
        if line and not line.startswith("#"):
            assert not line.endswith("\\")
            instruction, _, argument = line.partition(" ")
            yield instruction, argument


def script(context: Path, then: str) -> str:
    """Return a script of Bash that makes an image's files, and does more with its entry point."""
    done, user, entry = ["set -eux", "cd /", f"from={context}"], "0", ""
    for instruction, argument in steps((ROOT / "Containerfile").read_text(encoding="utf-8")):
        match instruction:
            case "FROM":
                assert argument == "docker.io/library/python:3.13-slim"
                done.append("python3 -m venv /python && PATH=/python/bin:$PATH")
            case "COPY":
                *sources, target = argument.split()
                done.append(f"mkdir -p {target} && cp $from/{' $from/'.join(sources)} {target}")
            case "RUN":
                assert user == "0"
                done.append(f"sh -c {shlex.quote(argument)}")
            case "USER":
                user = argument
            case "WORKDIR":
                done.append(f"mkdir -p {argument} && cd {argument}")
            case "VOLUME":  # Whose owner a new volume gets.
                done.append(f'[ "$(stat --format=%u {argument})" = {user} ]')
            case "ENTRYPOINT":
                entry = shlex.join(json.loads(argument))
            case _:
                assert instruction == "LABEL"
    as_user = f"setpriv --reuid={user} --regid={user} --clear-groups"
    return "\n".join([*done, f'target() {{ {as_user} {entry} "$@"; }}', then])


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, in a folder `dist`."""
    if not DEBIAN[0].exists():
        pytest.skip("not a checkout")
    folder = tmp_path_factory.mktemp("release") / "dist"
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir"]
    subprocess.run([*pip, folder, ROOT], check=True, timeout=300)
    (built,) = folder.glob("*.whl")
    return built


@pytest.mark.slow
def test_the_bill_of_materials(wheel: Path, tmp_path: Path) -> None:
    """It names the package, and each of its dependencies in the tested version."""
    written = tmp_path / "sbom.cdx.json"
    done = programs.run([ROOT / "scripts/sbom", wheel, written], timeout=600)
    assert done.returncode == 0, done.stderr
    found = json.loads(written.read_text(encoding="utf-8"))
    about = found["metadata"]["component"]
    assert (found["bomFormat"], about["name"]) == ("CycloneDX", "target-liveintent")
    assert about["version"] == __version__
    tested = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    parts = {part["name"]: part["version"] for part in found["components"]}
    assert {"msgspec", "psycopg-binary", "pyarrow", "singer-sdk", "urllib3"} <= parts.keys()
    assert all(f"=={version}" in tested for version in parts.values())


@pytest.mark.slow
def test_the_image(wheel: Path, sandbox: Sandbox) -> None:
    """It is built, and a run as its user delivers, keeps its store, and is found healthy."""
    context = wheel.parents[1]
    (context / "constraints.txt").write_bytes((ROOT / "constraints.txt").read_bytes())
    (context / "records").write_bytes(lines([schema(), order(1), order(2)]))
    settings = {
        "TARGET_LIVEINTENT_CUSTOMER_ID": "a-1b2c",
        "TARGET_LIVEINTENT_AUTH_TOKEN": "sandbox-token",
        "TARGET_LIVEINTENT_PIXEL_ID": "12345",
        "TARGET_LIVEINTENT_API_URL": sandbox.url,
        "TARGET_LIVEINTENT_STREAM_MAPS": json.dumps({"orders": MAP}),
    }
    given = shlex.join(f"{name}={value}" for name, value in settings.items())
    page = (ROOT / "docs/orchestrators.md").read_text(encoding="utf-8")
    send, health = re.findall(rf"^.*docker run .*{IMAGE}(.*)$", page, re.MULTILINE)
    then = f"""
        target --version; target --about; ! ls /install
        target {send} < $from/records; target {health}; ls -n /data"""
    done = programs.run(
        [*DEBIAN, "bash", "-c", f"export {given}\n{script(context, then)}"], timeout=900
    )
    if "cannot be installed here" in done.stderr:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert f"v{__version__}" in done.stdout
    assert "customer_id (required)" in done.stdout
    assert sandbox.stats.accepted == 2
    (store,) = [line for line in done.stdout.splitlines() if line.endswith("liveintent.sqlite")]
    assert store.split()[2] == "10001"
    assert "The last run succeeded." in done.stdout
