"""What an installed package offers beside its modules."""

from __future__ import annotations

from importlib import metadata
from importlib.resources import files


def test_the_package_is_typed() -> None:
    """Type checkers read the annotations of a package only if it has this file."""
    assert (files("target_liveintent") / "py.typed").is_file()


def test_the_programs_can_be_loaded() -> None:
    """Each program that the installation makes starts from a function that exists."""
    found = {
        entry.name: callable(entry.load())
        for entry in metadata.distribution("target-liveintent").entry_points
    }
    assert found == {"liveintent-sandbox": True, "target-liveintent": True}
