"""The target: what the SDK calls for a run, from its settings to its exit code.

The path of a record: `MessageReader` → `TargetLiveIntent._process_record_message` →
`LiveIntentSink.process_record` → `RecordConverter.convert` (stream map, then event builder) →
`Run`, which collects batches and keeps the counts → delivery. The command line is in
`singer/cli.py`.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from types import FrameType
from typing import IO, Any, ClassVar

import click
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.plugin_base import _ConfigInput
from singer_sdk.target_base import Target

from target_liveintent import config
from target_liveintent.conversions import DEAD_LETTERS
from target_liveintent.delivery import Suspicion
from target_liveintent.errors import ConfigurationError
from target_liveintent.mapping import Stream, StreamPlan, preset_text
from target_liveintent.privacy import hide_token, protect_logging
from target_liveintent.reporting import DONE, FAILED, STOPPED, Ending, RunReporter
from target_liveintent.run import Closed, Run, parts_of
from target_liveintent.run_id import new_run_id, run_named
from target_liveintent.singer import (
    STOP_SECONDS,
    Message,
    MessageReader,
    Options,
    Record,
    ReplayCommand,
    StateOutput,
    StopSignals,
    StreamMaps,
    StreamRegistry,
    afterwards,
    batch_records,
    check_environment,
    check_input,
    check_log,
    check_options,
    check_output,
    environment_settings,
    failure_text,
    input_of,
    make_command,
    print_dead_letters,
    print_explanation,
    print_health,
    print_lines,
    print_report,
    readable_failures,
    state_of,
    stopped_by,
    stream_maps_of,
    stream_of,
    what_waits,
)
from target_liveintent.sinks import DeadLetterSink, LiveIntentSink, SkippedSink
from target_liveintent.storage import EventLedger, Places


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
        self, *, run_id: str | None = None, replay: ReplayCommand | None = None, **kwargs: Any
    ) -> None:
        """Make the parts of a run.

        Args:
            run_id: The ID of the run; None for a new one.
            replay: The command `--replay`, whose dead letters are the input.
            kwargs: The arguments of the SDK's `Target`.

        Raises:
            ConfigurationError: If a setting is absent or wrong.
            StorageError: If standard error is closed, or standard output, where STATE goes.
        """
        super().__init__(**kwargs)
        for warning in config.warnings_of(self.config):
            self.logger.warning(warning)
        self.settings = config.settings_of(self.config)
        self._replay = replay
        if replay is not None:
            self.settings = replay.settings(self.settings)
        self.run_id = run_id or new_run_id()
        hide_token(self.settings.auth_token)
        check_log()
        if not self.settings.dry_run:
            check_output()
        places = Places(self.settings, self.logger)
        if replay is None:
            places.check_dead_letters()
        # Before all other files: if it cannot be read, the run must not create any.
        self._suppressions = places.suppressions()
        program = f"{self.name} {self.plugin_version}"
        self._reporter = RunReporter(
            self.settings, program, self.logger, sys.stderr, run_id=self.run_id
        )
        tally = self._reporter.tally
        output = StateOutput()
        # An API that accepts nothing may do so as only the bad events are left to be replayed.
        suspicion = Suspicion(accepted=replay is not None)
        parts = parts_of(self.settings, self.logger, run_id=self.run_id, suspicion=suspicion)
        parts = parts._replace(
            write_state=output.write,
            stop_reading=functools.partial(self._stop_reading, parts.ledger),
            on_delivered=None if tally is None else tally.delivered,
            on_progress=self._reporter.progress,
        )
        if replay is not None:
            parts = replay.parts(parts)
        self._signals = StopSignals(
            self.logger,
            lambda: what_waits(output, parts.ledger),
            lambda: afterwards(self.run.counts, replay),
            run_named(self.run_id),
            self.stop_seconds,
        )
        self.run = Run(self.settings, parts)
        self.run.gate.close(Closed.NO_STREAM_GIVES_EVENTS)
        self.message_reader = MessageReader(self.run.tick)
        self.streams = StreamRegistry(
            self._stream_maps,
            self._make_sink,
            self.settings.events,
            self.settings.presets,
            self.logger,
        )

    # The command line and the settings

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """Return the SDK's command with the options of this program."""
        protect_logging()
        return make_command(super().get_singer_command(), cls.logger)

    @classmethod
    def invoke(  # type: ignore[override] # noqa: PLR0913 (an argument for each option)
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: IO[str] | None = None,
        preset: str | None = None,
        explained: bool = False,
        expected: str | None = None,
        letters_path: str | None = None,
        page_path: str | None = None,
        health: bool = False,
        max_age: float | None = None,
        replayed: str | None = None,
        dry_run: bool = False,
    ) -> None:
        """Do what the options of the command line ask for."""
        actions = {
            "--about": about,
            "--preset": preset is not None,
            "--explain": explained,
            "--dead-letters": letters_path is not None,
            "--replay": replayed is not None,
            "--report": page_path is not None,
            "--health": health,
        }
        has_input = file_input is not None
        check_options(
            Options(actions, about_format, expected, has_input, dry_run, page_path, max_age)
        )
        config = config or _ConfigInput()
        if any(actions.values()):
            check_output()
        if about:
            cls.print_about(about_format)
        elif preset is not None:
            click.echo(preset_text(preset), nl=False)
        elif explained:
            as_json = about_format == "json"
            source = input_of(file_input)
            if not print_explanation(config, source, as_json=as_json, expected=expected):
                sys.exit(1)
        elif page_path is not None:
            print_report(config, page_path, about_format, cls.logger)
        elif health:
            print_health(config, max_age, cls.logger)
        elif letters_path is not None:
            print_dead_letters(config, letters_path, as_json=about_format == "json")
        else:
            run_id = new_run_id()
            cls.print_version(lambda version: cls.logger.info("%s, run %s", version, run_id))
            given: dict[str, Any] = {"config": config.config, "parse_env_config": config.parse_env}
            with readable_failures(cls.logger, run_named(run_id)):
                check_environment(config, cls.logger, dry_run=dry_run)
                if replayed is None:
                    input_of(file_input)  # Closed, it ends the run before a file is made.
                else:
                    given["replay"] = ReplayCommand(replayed, cls.logger, dry_run=dry_run)
                cls(**given, run_id=run_id).process(file_input)

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

        A replay reads its dead letters instead.

        Raises:
            RunError: If not every record that was read has an outcome.
            SystemExit: After a signal, with 128 plus its number.
        """
        given = contextlib.nullcontext(file_input)
        if self._replay is None:
            check_input(file_input, self.settings.dead_letter_path)
        # Records make no reference cycles, and imported modules stay to the end. So the garbage
        # collector finds nothing; without this, it costs 0.06 s at the exit and 5 % of a run.
        gc.freeze()
        gc.set_threshold(50_000)
        with self._signals as wake, self._replay.input() if self._replay else given as source:
            super()._setup_signal_handlers()
            self.message_reader.wake = wake
            ending = Ending(DONE)
            try:
                self.listen(source)
                if self.run.limit_reached and self._signals.received is None:
                    # Meltano fails a run whose target stops reading before the tap stops writing.
                    self.message_reader.drain(source, lambda: self._signals.received is None)
            except BaseException as failure:
                ending = Ending(FAILED, failure_text(failure))
                self._abandon(failure)
                if self._signals.received is None:
                    raise
                self.logger.warning(ending.message)
            finally:
                self._report(ending)
            if (number := self._signals.received) is not None:
                then = afterwards(self.run.counts, self._replay) + run_named(self.run_id)
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
        self._reporter.end(self.run.counts, ending)
        if self._replay is not None:
            self._replay.end()
            print_lines(self._replay.summary(self.run.counts))

    def _stop_reading(self, ledger: EventLedger | None) -> None:
        if self._replay is not None:
            self.message_reader.stopped = True
            self.logger.info(
                "the replay has reached the limit of %s events (setting 'limit'). The remaining"
                " dead letters stay where they are",
                self.settings.limit,
            )
            return
        if DEAD_LETTERS in self.streams.sinks:
            self.logger.info(
                "the run has reached the limit of %s events (setting 'limit'). The run does not"
                " send the other dead letters of the input, and writes them unchanged to %s",
                self.settings.limit,
                self.settings.dead_letter_path,
            )
            return
        self.message_reader.stopped = True
        self.logger.info(
            "the run has reached the limit of %s events (setting 'limit'). The run does not read"
            " the rest of the input, and writes no STATE. So the next run reads the whole input"
            " again, and sends %s",
            self.settings.limit,
            "only the events that this run did not deliver, because the ledger contains the"
            " delivered ones"
            if ledger is not None and ledger.is_kept
            else "every event, including those that this run delivered",
        )

    def _make_sink(
        self, stream: Stream, plan: StreamPlan, *, gives_events: bool
    ) -> SkippedSink | LiveIntentSink:
        if not gives_events:
            return SkippedSink(self, stream, plan, self.run, self.settings)
        kind = DeadLetterSink if stream.name == DEAD_LETTERS else LiveIntentSink
        return kind(self, stream, plan, self.run, self.settings, self._suppressions)

    # Messages

    def _process_schema_message(self, message: Message) -> None:  # type: ignore[override]
        if self.streams.register(message):
            stream = stream_of(message)
            self.message_reader.select_columns(stream, self.streams.columns_of(stream))
            if self.streams.has_events:
                self.run.gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)

    def _process_record_message(self, message: Record) -> None:  # type: ignore[override]
        for sink in self.streams.sinks[message.stream]:
            sink.process_record(message.record)

    def _process_batch_message(self, message: Message) -> None:  # type: ignore[override]
        stream = stream_of(message)
        for record in batch_records(message.encoding or {}, message.manifest or []):
            self._process_record_message(Record("RECORD", stream, record))
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
        self.run.gate.reopen(Closed.NO_STREAM_GIVES_EVENTS)
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
