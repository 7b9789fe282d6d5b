"""A coverage-guided run over the message reader, the event builder and everything between them.

It is not part of the test suite. To run it, with the package and its requirements importable:

    pip install atheris
    python tests/fuzz/fuzz_reader.py -max_total_time=180 [FOLDER_OF_A_CORPUS]

All options are libFuzzer's. An input that breaks a promise of `fuzz_support.feed` ends the run and
is written to a file `crash-…`; to try it again: `python tests/fuzz/fuzz_reader.py crash-…`.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import atheris

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2]))

with atheris.instrument_imports(include=["target_liveintent"]):
    from fuzz_support import SEEDS, VARIANTS, feed


def one_input(data: bytes) -> None:
    """Feed one input; its first byte selects the settings."""
    if data:
        feed(data[1:], **VARIANTS[data[0] % len(VARIANTS)])


def seed(folder: Path) -> None:
    """Write the inputs to start from."""
    for number in range(len(VARIANTS)):
        everything = bytes([number]) + b"\n".join(SEEDS)
        (folder / f"all-{number}").write_bytes(everything)
        for index, line in enumerate(SEEDS):
            content = bytes([number]) + b"\n".join([*SEEDS[:2], line])
            (folder / f"seed-{number}-{index}").write_bytes(content)


def main() -> None:
    """Run libFuzzer over the given corpus, or over one of the seeds."""
    arguments = list(sys.argv)
    if all(argument.startswith("-") for argument in arguments[1:]):
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        seed(folder)
        arguments.append(str(folder))
    atheris.Setup(["fuzz_reader", *arguments[1:]], one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
