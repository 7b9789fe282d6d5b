"""Targets that run on Linux as if the system was macOS or Windows.

The target runs as `python -m target_liveintent`. In its modules, the standard library lacks the
modules and names that the other system lacks, according to typeshed (the types that mypy has). Some
functions behave as on the other system: see `pretended/sitecustomize.py`.
"""

import ast
import functools
import json
import os
import sys
import types
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from integration_support import Launcher

SYSTEMS = ("darwin", "win32")


def pretend(launcher: Launcher, system: str) -> None:
    """Make a launcher start its targets as if on a system; it forks targets only for Linux."""
    if system != "linux":
        launcher.forked = False
        launcher.env |= environment(system, launcher.folder, launcher.env.get("PYTHONPATH", ""))
    if system == "win32":  # (Where the output is not a terminal.)
        launcher.env["PYTHONIOENCODING"] = "cp1252"


def environment(system: str, folder: Path, python_path: str = "") -> dict[str, str]:
    """Return the environment variables of a process that pretends to run on a system.

    The function writes the file to which the variable PRETENDED points into the folder.
    """
    file = folder / f"{system}.json"
    file.write_text(json.dumps({"system": system, "lacking": lacking(system)}), encoding="utf-8")
    paths = [str(Path(__file__).with_name("pretended")), python_path]
    return {"PRETENDED": str(file.resolve()), "PYTHONPATH": os.pathsep.join(filter(None, paths))}


@functools.cache
def lacking(system: str) -> dict[str, list[str] | None]:
    """Return the names that modules have on Linux but not on a system, by module.

    None in place of the names means that the system lacks the whole module.
    """
    spec = find_spec("mypy")
    if spec is None or spec.origin is None:
        pytest.skip("needs mypy, for the names that other systems lack")
    root = Path(spec.origin).parent / "typeshed" / "stdlib"
    names: dict[str, list[str] | None] = {}
    for path in root.rglob("*.pyi"):
        text = path.read_text(encoding="utf-8")
        if "sys.platform" in text:
            module = ".".join(path.relative_to(root).with_suffix("").parts)
            names |= _lacking_in(module.removesuffix(".__init__"), text, system)
    return names


def _lacking_in(module: str, text: str, system: str) -> dict[str, list[str] | None]:
    body = ast.parse(text).body
    here, there = {*_names(body, "linux")}, {*_names(body, system)}
    missing = sorted(here - there)
    if not missing:
        return {}
    is_there = any(not name.startswith("_") for name in there)
    return {module: missing if is_there else None}


def _names(body: Iterable[ast.stmt], system: str) -> Iterator[str]:
    """Yield the names that a module defines, or exports from another module, on a system."""
    for node in body:
        if isinstance(node, ast.If):
            known = types.SimpleNamespace(platform=system, version_info=sys.version_info)
            test = compile(ast.Expression(node.test), "", "eval")
            is_so = eval(test, {"sys": known, "TYPE_CHECKING": True})  # noqa: S307
            yield from _names(node.body if is_so else node.orelse, system)
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (one.id for one in targets if isinstance(one, ast.Name))
        elif isinstance(node, ast.ImportFrom):
            yield from (one.name for one in node.names if one.asname == one.name)
