"""The command `--replay`: sends the dead letters of a file, and puts back what is left of them."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import IO, cast

from target_liveintent.config import check_option_url
from target_liveintent.run import RunCounts, RunParts, counted
from target_liveintent.settings import Settings, is_url
from target_liveintent.storage import (
    HEAD,
    Letters,
    Places,
    Replayed,
    count_letters,
    letters_of,
)


class ReplayCommand:
    """One replay.

    Args:
        path: The path of the command line; empty for `dead_letter_path`.
        dry_run: Whether to show what a replay would do, without doing it.
        logger: Takes how the replay begins.
    """

    def __init__(self, path: str, logger: logging.Logger, *, dry_run: bool) -> None:
        self._path = path
        self._dry_run = dry_run
        self._logger = logger
        self._replayed = Replayed()
        self._run_id = ""
        self._count = 0
        self._has_own_ledger = False
        self._letters: Letters
        self._settings: Settings

    def settings(self, settings: Settings) -> Settings:
        """Return the settings of the replay.

        It reaches its end whatever the dead letters are like. And it remembers what was delivered,
        also where `ledger` is off, so that nothing goes twice if it is killed and repeated.

        Raises:
            ConfigurationError: If the path of the command line names nothing that can be replayed.
        """
        check_option_url("--replay", self._path)
        self._places = Places(settings, self._logger)
        usual = settings.dead_letter_path
        self._letters = self._places.letters(self._path or usual)
        if self._path and os.path.realpath(self._path) != os.path.realpath(usual):
            self._letters.check()
        self._path = self._path or usual
        dry_run = self._dry_run = self._dry_run or settings.dry_run
        changed = dataclasses.replace(
            settings, dry_run=dry_run, max_dead_letter_percent=100, on_rejection="dead_letter"
        )
        if not settings.ledger:
            self._has_own_ledger = not dry_run
            path = self._letters.ledger
            changed = dataclasses.replace(changed, ledger=True, ledger_path=path, ledger_url=None)
        self._settings = changed
        return changed

    def parts(self, parts: RunParts) -> RunParts:
        """Return the parts of the run of the replay."""
        self._run_id = parts.run_id
        if parts.ledger is not None:  # So that its claims do not lapse while a store is waited for.
            self._places.between_tries = parts.ledger.write
        return parts if self._dry_run else parts._replace(replayed=self._replayed)

    @contextlib.contextmanager
    def input(self) -> Iterator[IO[str]]:
        """Take the dead letters over, and give them as the input of the run.

        Raises:
            InputError: If there is a line that is no dead letter; then nothing is taken over.
            StorageError: If they cannot be taken over.
        """
        alone = contextlib.nullcontext() if self._dry_run else self._letters.alone()
        with alone, contextlib.ExitStack() as at_end:
            at_end.callback(self._replayed.release)
            sources = self._letters.sources
            self._count = count_letters(sources)
            self._announce(len(sources))
            lines = letters_of(sources)
            if not self._dry_run:
                lines = self._replayed.read(self._letters.take(self._run_id))
            yield cast("IO[str]", _messages(lines))

    def _announce(self, sources: int) -> None:
        """Say what is about to be replayed; many objects are no list to read."""
        if not sources:
            self._logger.warning(
                "there is nothing to replay: there are no dead letters in '%s', and none are left"
                " from an interrupted replay",
                self._path,
            )
            return
        found = counted(self._count, "dead letter"), self._path
        parts = ""
        if sources > 1:
            in_store = is_url(self._path)
            parts = f" ({sources:,} objects)" if in_store else " and from an interrupted replay"
        if self._dry_run:
            self._logger.info("reading %s from '%s'%s, without changing anything", *found, parts)
        else:
            self._logger.info("replaying %s from '%s'%s", *found, parts)

    def end(self) -> None:
        """Remove what only a replay that was killed needs; the run has put back what is left."""
        if self._has_own_ledger and self._replayed.is_put_back:
            self._letters.forget_ledger()

    def summary(self, counts: RunCounts) -> Iterator[str]:
        """Return what became of the dead letters, in lines."""
        total = counts.total
        found = max(self._count, self._replayed.count)  # A run may have written some more.
        would = "would be " if self._dry_run else ""
        yield f"{self._path}: {counted(found, 'dead letter')}"
        if before := self._replayed.settled_before:
            yield f"  done before an interruption {before:,}"
        yield f"  {would}sent {total.delivered:,}"
        dropped = total.dropped - Counter(over_limit=total.dropped["over_limit"])
        for reason, count in dropped.most_common():
            yield f"  {reason.replace('_', ' ')} {count:,}"
        yield f"  {would}rejected again {_by_reason(total.rejected)}"
        unsent = found - before - total.delivered - dropped.total()
        unsent -= total.rejected.total() + total.not_replayed.total()
        left = total.not_replayed + Counter({"not sent yet": unsent} if unsent > 0 else {})
        yield f"  {would}left as they were {_by_reason(left)}"
        kept = total.rejected.total() + left.total()
        if kept and self._replayed.is_put_back and not self._dry_run:
            yield f"{_letters(kept)} in {self._settings.dead_letter_path}"


def _messages(letters: Iterable[bytes]) -> Iterator[str]:
    yield HEAD.decode()
    for letter in letters:
        yield letter.decode(errors="replace")


def _letters(count: int) -> str:
    return "1 dead letter is" if count == 1 else f"{count:,} dead letters are"


def _by_reason(counter: Counter[str]) -> str:
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in counter.most_common())
    return f"{counter.total():,} ({reasons})" if reasons else "0"
