"""The target: what the SDK calls for a run, from its settings to its exit code.

The path of a record: `MessageReader` → `LiveIntentSink.process_record` → `RecordConverter.convert`
→ `Run`, which collects batches and keeps the counts → delivery. The command line is in `cli.py`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import IO, Any, ClassVar

from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.target_base import Target

from target_liveintent import config
from target_liveintent.clock import SYSTEM_CLOCK
from target_liveintent.conversions import DEAD_LETTERS, LetterKey
from target_liveintent.delivery import Client, DryRun, Refusals, delivery_of
from target_liveintent.errors import ConfigurationError, StorageError
from target_liveintent.mapping import Stream, StreamPlan
from target_liveintent.printing import print_lines
from target_liveintent.privacy import Suppressions, hide_token
from target_liveintent.reporting import (
    CANARY,
    DONE,
    FAILED,
    REPLAY,
    STOPPED,
    USUAL,
    Ending,
    RunReporter,
)
from target_liveintent.run import ReplayConverter, Run, RunParts, counted
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.singer import (
    STOP_SECONDS,
    Message,
    MessageReader,
    Replay,
    ReplayRequest,
    StateOutput,
    StopSignals,
    StreamMaps,
    StreamRegistry,
    afterwards,
    batch_records,
    check_log,
    check_output,
    decode_object,
    environment_settings,
    failure_text,
    letters_of,
    state_of,
    stopped_by,
    stream_maps_of,
    stream_of,
    summary,
    what_waits,
)
from target_liveintent.sinks import LiveIntentSink, SkippedSink
from target_liveintent.store import (
    DryStore,
    RunStore,
    Waiting,
    account_of,
    imported,
    letters_in,
    open_for_reading,
    open_store,
)

_MOST_IMPORTED = 1_000
"""Dead letters of a file that go into one transaction."""


class TargetLiveIntent(Target):
    """Delivers conversion events to LiveIntent's Conversions API."""  # (`--about` shows this.)

    name = "target-liveintent"
    config_jsonschema = config.SCHEMA
    default_sink_class = LiveIntentSink
    capabilities: ClassVar[list[Any]] = [
        PluginCapabilities.ABOUT,
        PluginCapabilities.BATCH,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.STRUCTURED_LOGGING,
        TargetCapabilities.VALIDATE_RECORDS,
    ]
    stop_seconds: ClassVar[float] = STOP_SECONDS
    message_reader: MessageReader
    _stream_maps: StreamMaps

    def __init__(
        self,
        *,
        run_id: str | None = None,
        replay: ReplayRequest | None = None,
        send_again: bool = False,
        **kwargs: Any,
    ) -> None:
        """Make the parts of a run.

        Args:
            run_id: The ID of the run; None for a new one.
            replay: What the command `replay` asks for; None for a run that reads a tap's output.
            send_again: Whether events that were delivered before are sent once more.
            kwargs: The arguments of the SDK's `Target`.

        Raises:
            ConfigurationError: If a setting is absent or wrong.
            StorageError: If standard error is closed, or standard output, where STATE goes; or if
                the store cannot be reached.
        """
        super().__init__(**kwargs)
        for warning in config.warnings_of(self.config):
            self.logger.warning(warning)
        self.settings = config.settings_of(self.config)
        self._replay = replay
        if replay is not None:  # It reaches its end whatever the dead letters are like.
            self.settings = dataclasses.replace(
                self.settings,
                dry_run=self.settings.dry_run or replay.dry_run,
                max_dead_letter_percent=100,
                on_rejection="dead_letter",
            )
        self.run_id = run_id or new_run_id()
        hide_token(self.settings.auth_token)
        check_log()
        if not self.settings.dry_run:
            check_output()
        # Before the store: if it cannot be read, the run must not create any file.
        self._suppressions = Suppressions(self.settings.suppression_path)
        output = StateOutput()
        self._signals = StopSignals(
            self.logger,
            lambda: what_waits(output, self._store),
            lambda: afterwards(is_replay=replay is not None),
            run_named(self.run_id),
            self.stop_seconds,
        )
        self._store: RunStore | None = None
        # Also in a dry run: it hides the token in the log.
        client = Client(self.settings, SYSTEM_CLOCK)
        program = f"{self.name} {self.plugin_version}"
        self._reporter = RunReporter(
            self.settings, program, self.logger, sys.stderr, run_id=self.run_id
        )
        tally = self._reporter.tally
        on_delivered = None if tally is None else tally.delivered
        parts = self._parts(client, send_again=send_again)._replace(
            write_state=output.write,
            stop_reading=self._stop_reading,
            on_delivered=on_delivered,
            on_progress=self._reporter.progress,
        )
        self.run = Run(self.settings, parts)
        self.run.gate.awaits_stream = True
        self.message_reader = MessageReader(self.run.tick)
        self.streams = StreamRegistry(
            self._stream_maps,
            self._make_sink,
            self.settings.events,
            self.settings.presets,
            self.logger,
        )

    def _parts(self, client: Client, *, send_again: bool) -> RunParts:
        """Return what the run works with: in a dry run, what neither sends nor writes."""
        settings = self.settings
        if settings.dry_run:
            database = open_for_reading(settings)
            dry = DryStore(database, account_of(settings), send_again=send_again)
            return RunParts(SYSTEM_CLOCK, DryRun(self.logger, SYSTEM_CLOCK), dry)
        kind = USUAL if settings.limit is None else CANARY
        kind = REPLAY if self._replay else kind
        stopped = self._signals
        waiting = Waiting(is_stopped=lambda: stopped.received is not None, warn=self.logger.warning)
        self._store = store = open_store(
            settings, self.run_id, kind=kind, waiting=waiting, send_again=send_again
        )
        if store.expired_letters:
            self.logger.warning(
                "%s older than history_days (%d) went out of the store",
                counted(store.expired_letters, "dead letter"),
                settings.history_days,
            )
        # An API that accepts nothing may do so as only the bad events are left to be replayed.
        refusals = Refusals(accepted=self._replay is not None)
        delivery = delivery_of(settings, client, SYSTEM_CLOCK, refusals)
        return RunParts(SYSTEM_CLOCK, delivery, store)

    # The settings

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add no settings: the schema has all that do something, including those of the SDK."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 (as in the SDK)
        return environment_settings()

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings without showing a value, because it may be a mistyped token."""
        errors = config.problems(self._config)
        if errors and raise_errors:
            msg = "; ".join(errors)
            raise ConfigurationError(msg)
        return errors

    def setup_mapper(self) -> None:
        """Make the stream maps of the settings."""
        self._stream_maps = stream_maps_of(self.config)

    # The run

    def process(self, file_input: IO[str] | None) -> None:
        """Read the input (None: standard input) to its end, or to a signal, and deliver it.

        Raises:
            RunError: If not every record that was read has an outcome.
            SystemExit: After a signal, with 128 plus its number.
        """

        def read() -> None:
            self.listen(file_input)
            if self.run.limit_reached and self._signals.received is None:
                # Meltano fails a run whose target stops reading before the tap stops writing.
                self.message_reader.drain(file_input, lambda: self._signals.received is None)

        self._do(read)

    def replay(self) -> None:
        """Deliver the dead letters of the store, or of a file, which is imported first.

        Raises:
            RunError: If not every dead letter that was read has an outcome.
            SystemExit: After a signal, with 128 plus its number.
        """
        self._do(self._replay_letters)
        print_lines(summary(self.run.counts))

    def _do(self, read: Callable[[], None]) -> None:
        """Do the run, whose input is read by a function; report on it, and close the store."""
        # Records make no reference cycles, and imported modules stay to the end. So the garbage
        # collector finds nothing; without this, it costs 0.06 s at the exit and 5 % of a run.
        gc.freeze()
        gc.set_threshold(50_000)
        with self._signals as wake:
            super()._setup_signal_handlers()
            self.message_reader.wake = wake
            ending = Ending(DONE)
            try:
                read()
            except BaseException as failure:
                ending = Ending(FAILED, failure_text(failure))
                self._abandon(failure)
                if self._signals.received is None:
                    raise
                self.logger.warning(ending.message)
            finally:
                self._report(ending)
            if (number := self._signals.received) is not None:
                then = afterwards(is_replay=self._replay is not None) + run_named(self.run_id)
                self.logger.warning("%s; %s", stopped_by(number), then)
                sys.exit(128 + number)

    def _abandon(self, failure: BaseException) -> None:
        try:
            self.run.abandon(failure)
        except Exception as second:  # noqa: BLE001 (the user must fix the first one)
            self.logger.warning("a second failure followed: %s", failure_text(second))

    def _report(self, ending: Ending) -> None:
        if (number := self._signals.received) is not None:
            texts = [stopped_by(number), *([ending.message] if ending.message else [])]
            ending = Ending(STOPPED, "; ".join(texts))
        self._reporter.end(self.run.counts, ending, self._store)
        if self._store is not None:
            with contextlib.suppress(StorageError):  # The run has said what is wrong with it.
                self._store.close()

    def _stop_reading(self) -> None:
        self.message_reader.stopped = True
        if self._replay is not None:
            self.logger.info(
                "the replay has reached the limit of %s events (setting 'limit'). The remaining"
                " dead letters stay in the store",
                self.settings.limit,
            )
            return
        self.logger.info(
            "the run has reached the limit of %s events (setting 'limit'). The run does not read"
            " the rest of the input, and writes no STATE. So the next run reads the whole input"
            " again, and sends only the events that this run did not deliver",
            self.settings.limit,
        )

    # A replay

    def _replay_letters(self) -> None:
        assert self._replay is not None  # noqa: S101 (only the command calls this)
        counts = self.run.counts.of(DEAD_LETTERS)
        converter = ReplayConverter(
            self.settings, self._suppressions, self._replay.choice, counts.left_out
        )
        replay = Replay(self.run, converter)
        for key, record in self._letters(self._replay.source):
            replay.process(key, record)
            self.run.tick()
            replay.check_refusals()
            if self.message_reader.stopped:
                break
        self.run.finish()
        replay.check_refusals()

    def _letters(self, source: IO[str] | None) -> Iterator[tuple[LetterKey, dict[str, Any]]]:
        """Yield the dead letters of a replay; those of a file are in the store before that."""
        store = self._store
        if source is not None:
            letters = (imported(record, self.settings) for record in letters_of(source))
            if store is None:
                yield from ((one.key, dict(one.record)) for one in letters)
                return
            while some := list(itertools.islice(letters, _MOST_IMPORTED)):
                store.import_letters(some)
            found = letters_in(store.database, store.number, of_run=True)
        elif store is not None:  # A letter that is rejected again may get a key behind this one.
            found = letters_in(store.database, store.number)
        else:
            database = open_for_reading(self.settings)
            found = iter(()) if database is None else letters_in(database)
        for key, text in found:
            yield key, decode_object(text.encode())

    def _make_sink(
        self, stream: Stream, plan: StreamPlan, *, gives_events: bool
    ) -> SkippedSink | LiveIntentSink:
        if not gives_events:
            return SkippedSink(self, stream, plan, self.run, self.settings)
        return LiveIntentSink(self, stream, plan, self.run, self.settings, self._suppressions)

    # Messages

    def _process_schema_message(self, message: Message) -> None:  # type: ignore[override]
        if self.streams.register(message):
            stream = stream_of(message)
            columns = self.streams.columns_of(stream)
            self.message_reader.select_columns(stream, columns, self._process_of(stream))
            if self.streams.has_events:
                self.run.gate.awaits_stream = False

    def _process_of(self, stream: str) -> Callable[[dict[str, Any]], None]:
        """Return what processes the records of a stream: its sink, which is usually one."""
        sinks = self.streams.sinks[stream]
        if len(sinks) == 1:
            return sinks[0].process_record

        def process(record: dict[str, Any]) -> None:
            for sink in sinks:
                sink.process_record(record)

        return process

    def _process_record_message(self, message: Message) -> None:  # type: ignore[override]
        """Refuse a record that came before the SCHEMA of its stream; sinks get all others."""
        self._process_of(stream_of(message))

    def _process_batch_message(self, message: Message) -> None:  # type: ignore[override]
        stream = stream_of(message)
        process = self._process_of(stream)
        for record in batch_records(message.encoding or {}, message.manifest or []):
            process(record)
            self.run.tick()
            if self.message_reader.stopped:
                return

    def _process_state_message(self, message: Message) -> None:  # type: ignore[override]
        self.run.gate.hold(state_of(message))

    def _process_activate_version_message(self, message: Message) -> None:  # type: ignore[override]
        """Ignore the message: versions of a table do not matter to conversions."""

    def process_endofpipe(self) -> None:
        """Deliver everything that was read, if a stream is mapped to events."""
        if not self.message_reader.stopped:
            self.streams.warn_of_absent_streams()
            if not self.streams.sinks:
                self.logger.warning(
                    "the input contains neither a record nor a SCHEMA, because the tap ended"
                    " early or no stream is selected in the tap. Check the tap's log, or run the"
                    " tap alone"
                )
        if not self.streams.has_events and self.run.counts.total.read > 0:
            self.streams.fail_unmapped()
        self.run.gate.awaits_stream = False
        self.run.finish()
        self.streams.clean_up()

    # Signals

    def _setup_signal_handlers(self) -> None:
        """Do nothing yet: only `process` can stop a run."""

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Note a signal; the main loop stops after the message that it is processing."""
        if self._signals.note(signum):
            self.message_reader.stopped = True
            self.run.request_stop()
