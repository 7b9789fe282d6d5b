"""The run: settings into parts, messages to their sinks, signals, the summary, the exit code.

The way of a record, from here: `MessageReader` (reader.py) → `LiveIntentSink` (sinks.py), which
puts it through a stream map (stream_maps.py) and the event builder (builder.py) → `Run` (run.py),
which fills batches and keeps the books → `Delivery` (delivery.py) → `Client` (client.py).
"""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import time
import traceback
from typing import IO, TYPE_CHECKING, Any, ClassVar, NoReturn

import click
from singer_sdk.configuration._dict_config import parse_environment_config
from singer_sdk.exceptions import (
    ConfigValidationError,
    InvalidJSONSchema,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)
from singer_sdk.helpers._classproperty import classproperty
from singer_sdk.helpers.capabilities import PluginCapabilities, TargetCapabilities
from singer_sdk.plugin_base import SingerCommand, _ConfigInput
from singer_sdk.target_base import Target

from target_liveintent.config import schema as config
from target_liveintent.conversions.model import DEAD_LETTERS, missing_columns, never_an_event
from target_liveintent.errors import (
    ConfigurationError,
    InputError,
    RunError,
    StorageError,
    StreamMappingError,
)
from target_liveintent.mapping import presets
from target_liveintent.mapping.suggestions import absent_streams, did_you_mean, unknown_columns
from target_liveintent.privacy import logs
from target_liveintent.reporting.reporter import RunReporter
from target_liveintent.reporting.run_report.model import DONE, FAILED, STOPPED, Ending
from target_liveintent.run.run import Run
from target_liveintent.singer import batch_files
from target_liveintent.singer.explain import inspect as explain
from target_liveintent.singer.explain import render as explanation
from target_liveintent.singer.reader import MessageReader, decode_object
from target_liveintent.singer.stream_maps import StreamMaps
from target_liveintent.sinks import DeadLetterSink, LiveIntentSink
from target_liveintent.storage.dead_letters import refuse_own_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from types import FrameType

    from target_liveintent.mapping.converter import StreamPlan
    from target_liveintent.singer.reader import Message

MELTANO_TEST_STREAM = "meltano_test_stream"
"""What `meltano config test target-liveintent` sends: read, never sent on."""

_SECOND_SIGNAL = 2.0
"""Seconds after which another signal means "at once"; Meltano sends two for one Ctrl-C."""
_EXPECTED = (RunError, MissingKeyPropertiesError, RecordsWithoutSchemaException, InvalidJSONSchema)
"""Failures whose message is all that the user needs."""


class Command(SingerCommand):
    """The command line, with one readable last line for whatever ends a run."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; a wrong setting is exit code 2, any other failure 1."""
        try:
            return super().main(*args, **kwargs)
        except ConfigurationError as error:
            self._end(str(error), 2)
        except _EXPECTED as error:
            self._end(str(error), 1)
        except Exception as error:  # noqa: BLE001 (its text could hold what is in a record)
            frames = "".join(traceback.format_tb(error.__traceback__))
            self.logger.error(  # noqa: TRY400 (without the exception's text)
                "this is a bug, please report it with these lines:\n%s", frames
            )
            self._end(_words(error), 1)

    def _end(self, message: str, code: int) -> NoReturn:
        self.logger.error("%s", message)
        sys.exit(code)


class TargetLiveIntent(Target):
    """Delivers conversion events to LiveIntent's Conversions API."""

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

    def __init__(self, **kwargs: Any) -> None:
        """Check the settings and make the parts.

        Args:
            kwargs: As the SDK's `Target` takes them.

        Raises:
            ConfigurationError: If a setting is absent or wrong.
        """
        self._signal: int | None = None
        self._signal_at = 0.0
        try:
            super().__init__(**kwargs)
        except ConfigValidationError as error:
            raise ConfigurationError("; ".join(error.errors)) from None
        for warning in config.unknown_settings(self.config):
            self.logger.warning(warning)
        self.settings = config.settings_of(self.config)
        logs.hide_token(self.settings.auth_token)
        program = f"{self.name} {self.plugin_version}"
        self._reporter = RunReporter(self.settings, program, self.logger, sys.stderr)
        self.run = Run(
            self.settings,
            self._write_state,
            self.logger,
            stop_reading=self._stop_reading,
            watch=self._reporter.progress,
            observer=self._reporter.tally,
        )
        self.message_reader: MessageReader = MessageReader(self.run.tick)
        self._sinks: dict[str, tuple[LiveIntentSink, ...]] = {}
        self._schemas: dict[str, tuple[bytes, list[str] | None]] = {}
        self._warned: set[str] = set()
        self._gives_events = False
        self.run.awaits_mapping = True

    # The command line

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The SDK's command, with one option more, and our way to end."""
        logs.protect_logging()
        command = super().get_singer_command()
        command.params += [
            click.Option(
                ["--preset"],
                type=click.Choice(list(presets.PRESETS)),
                help="Display a preset as stream_maps to paste and to change.",
            ),
            click.Option(
                ["--explain", "explained"],
                is_flag=True,
                help="Read a Singer stream or a tap's catalog, and say how each stream would"
                " become events, and why not. Sends nothing.",
            ),
        ]
        return Command(
            name=command.name,
            callback=command.callback,
            params=command.params,
            context_settings=command.context_settings,
            help=command.help,
            logger=cls.logger,
        )

    @classmethod
    def cb_config(
        cls,
        ctx: click.Context,  # noqa: ARG003 (the SDK's signature)
        param: click.Option,  # noqa: ARG003
        value: tuple[str, ...],
    ) -> _ConfigInput:
        """Read the configuration files.

        Raises:
            ConfigurationError: If one of them cannot be read; its content is not shown.
        """
        merged = _ConfigInput()
        for path in value:
            try:
                given = _ConfigInput.from_cli_args(path)
            except OSError as error:
                reason = error.strerror or "there is no such file"
                msg = f"the configuration file '{path}' cannot be read: {reason}"
                raise ConfigurationError(msg) from None
            except (ValueError, TypeError):
                msg = f"the configuration file '{path}' is no JSON object"
                raise ConfigurationError(msg) from None
            merged.config |= given.config
            merged.parse_env |= given.parse_env
        return merged

    @classmethod
    def invoke(  # type: ignore[override]  # noqa: PLR0913 (an argument for each option)
        cls,
        *,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: IO[str] | None = None,
        preset: str | None = None,
        explained: bool = False,
    ) -> None:
        """Run from start to end.

        Args:
            about: Print the settings and end.
            about_format: `json` or `markdown`.
            config: What `cb_config` read.
            file_input: Where messages come from, instead of standard input.
            preset: Print this preset and end.
            explained: Say what would become of the input, and end.

        Raises:
            RunError: If not everything that was read has its fate.
        """
        if about:
            cls.print_about(about_format)
            return
        if preset is not None:
            click.echo(presets.text(preset), nl=False)
            return
        given = config or _ConfigInput()
        if explained:
            for line in cls._explain(given, file_input or sys.stdin):
                click.echo(_printable(logs.without_secrets(line)))
            return
        cls.print_version(print_fn=cls.logger.info)
        target = cls(config=given.config, parse_env_config=given.parse_env)
        target.process(file_input)

    @classmethod
    def _explain(cls, given: _ConfigInput, file_input: IO[str]) -> Iterator[str]:
        """What would become of the input; an account is not needed for that.

        Raises:
            ConfigurationError: If a setting is wrong.
            InputError: If the input is neither a Singer stream nor a catalog.
        """
        environment = cls._env_var_config if given.parse_env else {}
        settings = {**given.config, **environment}  # As in a run.
        yield from config.unknown_settings(settings)
        account = dict(_NO_ACCOUNT)
        if settings.get("auth_token_path"):
            del account["auth_token"]
        given_ones = {name: value for name, value in settings.items() if value is not None}
        checked = config.settings_of(account | given_ones)
        logs.hide_token(checked.auth_token)
        yield from explain.explain(
            file_input, checked, _stream_maps(settings), settings.get("presets") or {}
        )

    def process(self, file_input: IO[str] | None) -> None:
        """Read to the end, or to a signal, and settle everything.

        Raises:
            RunError: If not everything that was read has its fate.
            SystemExit: After a signal, with 128 plus its number.
        """
        self._refuse_own_dead_letters(file_input)
        _spare_the_garbage_collector()
        super()._setup_signal_handlers()
        ending = Ending(DONE)
        try:
            self.listen(file_input)
            if self.run.limit_reached and self._signal is None:
                # Meltano fails a run whose tap has nobody left to write to.
                self.message_reader.drain(file_input, lambda: self._signal is None)
        except BaseException as failure:
            ending = Ending(FAILED, _words(failure))
            self._abandon(failure)
            if self._signal is None:
                raise
            self.logger.warning(_words(failure))
        finally:
            self._report(ending)
        if self._signal is not None:
            self.logger.warning("%s; the next run goes on where STATE stands", self._stopped_by)
            sys.exit(128 + self._signal)

    @property
    def _stopped_by(self) -> str:
        return f"stopped by {signal.Signals(self._signal or 0).name}"

    def _report(self, ending: Ending) -> None:
        if self._signal is not None:
            said = [self._stopped_by, *([ending.message] if ending.message else [])]
            ending = Ending(STOPPED, "; ".join(said))
        self._reporter.end(self.run.counts, ending)

    def _stop_reading(self) -> None:
        self.message_reader.stopped = True
        self.logger.info(
            "%s events are on their way, as many as the setting 'limit' allows; the rest of the"
            " input is left alone, and no STATE is written, so the next run sends all of it",
            self.settings.limit,
        )

    def _abandon(self, failure: BaseException) -> None:
        try:
            self.run.abandon(failure)
        except Exception as second:  # noqa: BLE001 (the first one is what the user must mend)
            self.logger.warning("and then: %s", _words(second))

    def _refuse_own_dead_letters(self, file_input: IO[str] | None) -> None:
        try:
            descriptor = (file_input or sys.stdin).fileno()
        except (OSError, ValueError, AttributeError):
            return
        refuse_own_file(descriptor, self.settings.dead_letter_path)

    # Settings

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        """Add nothing: the schema names each setting that does something, the SDK's included."""

    @classproperty
    def _env_var_config(cls) -> dict[str, Any]:  # noqa: N805 (the SDK's own way)
        """The settings in the environment, and in a file `.env` as the SDK finds it."""
        parse_environment_config({}, cls._env_var_prefix)
        return config.from_environment(os.environ, cls._env_var_prefix)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the settings without showing a value: it may be a mistyped token."""
        errors = config.problems(self._config)
        if errors and raise_errors:
            msg = "; ".join(errors)
            raise ConfigurationError(msg)
        return errors

    def setup_mapper(self) -> None:
        """Make the stream maps of the settings."""
        self._stream_maps = _stream_maps(self.config)

    # Messages

    def _process_schema_message(self, message: Message) -> None:  # type: ignore[override]
        stream = _stream_of(message)
        known = (bytes(message.schema), message.key_properties)
        if self._schemas.get(stream) == known:
            return
        try:
            self._register(stream, message)
        except RecursionError:
            msg = f"the SCHEMA of stream '{stream}' is nested too deeply"
            raise InputError(msg) from None
        self._schemas[stream] = known

    def _register(self, stream: str, message: Message) -> None:
        schema = decode_object(message.schema) if message.schema else None
        if schema is None or not isinstance(schema.get("properties"), dict):
            msg = f"the SCHEMA of stream '{stream}' names no properties"
            raise InputError(msg)
        for replaced in self._sinks.get(stream, ()):
            replaced.clean_up()
        self._sinks[stream] = sinks = tuple(
            self._make_sink(stream, schema, message.key_properties or [], plan)
            for plan in self._stream_maps.plans(stream, schema)
        )
        # Nearly always, there is one.
        handle = sinks[0].process_record if len(sinks) == 1 else functools.partial(_process, sinks)
        self.message_reader.take(stream, _together(sinks), handle)

    def _make_sink(
        self, stream: str, schema: dict[str, Any], keys: list[str], plan: StreamPlan
    ) -> LiveIntentSink:
        kind = DeadLetterSink if stream == DEAD_LETTERS else LiveIntentSink
        sink = kind(self, stream, schema, keys)
        if plan.map is not None:
            for wrong in unknown_columns(plan.stream, plan.map.columns):
                self._warn_once(wrong)
        gives_events = self._check(stream, schema, keys, plan)
        sink.use(plan, gives_events=gives_events)
        self._gives_events |= gives_events or stream == MELTANO_TEST_STREAM
        self.run.awaits_mapping = not self._gives_events
        return sink

    def _check(
        self, stream: str, schema: dict[str, Any], keys: list[str], plan: StreamPlan
    ) -> bool:
        """Whether events can come of a stream.

        Raises:
            StreamMappingError: If the user wants them to, but they never can.
        """
        if stream == MELTANO_TEST_STREAM:
            return False
        if plan.transform is None:
            if not plan.named:
                self._warn_of_skipping(stream)
            return False
        missing = missing_columns(plan.properties, self.settings.events)
        if not missing or stream == DEAD_LETTERS:
            return True
        if plan.named:
            advice = explanation.settings_to_set(missing) or (
                f"Its columns are: {', '.join(plan.properties)}."
                f" {self._advise_map(stream, schema['properties'], keys)}"
            )
            msg = f"{never_an_event(plan.stream, missing)} {advice}"
            raise StreamMappingError(msg)
        self._warn_of_skipping(stream)
        return False

    def _advise_map(self, stream: str, columns: Mapping[str, Any], keys: list[str]) -> str:
        in_use = stream in (self.config.get("presets") or {})
        return explanation.advise_map(stream, columns, keys, self.settings.events, in_use=in_use)

    def _warn_of_skipping(self, stream: str) -> None:
        hint = did_you_mean(stream, [name for name in self._stream_maps.names if name != stream])
        self._warn_once(f"stream '{stream}' is skipped: no stream map names it{hint}")

    def _warn_of_absent_streams(self) -> None:
        for name, hint in absent_streams(self._stream_maps.names, self._sinks):
            if hint:
                self._warn_once(f"a map names stream '{name}', which did not come{hint}")

    def _warn_once(self, words: str) -> None:
        if words not in self._warned:
            self._warned.add(words)
            self.logger.warning("%s", words)

    def _process_record_message(self, message: Message) -> None:  # type: ignore[override]
        """Refuse a record that is none: the reader hands those of registered streams on itself.

        Raises:
            InputError: If it lacks its stream or its record.
            RecordsWithoutSchemaException: If its SCHEMA did not come before.
        """
        stream = _stream_of(message)
        if not message.record:
            msg = "a RECORD message without a record"
            raise InputError(msg)
        decode_object(message.record)
        self._sinks_of(stream)

    def _sinks_of(self, stream: str) -> tuple[LiveIntentSink, ...]:
        if stream not in self._sinks:
            msg = f"stream '{stream}' sends a record before its SCHEMA: the tap is at fault"
            raise RecordsWithoutSchemaException(msg)
        return self._sinks[stream]

    def _process_batch_message(self, message: Message) -> None:  # type: ignore[override]
        stream = _stream_of(message)
        for record in batch_files.records(message.encoding or {}, message.manifest or []):
            _process(self._sinks_of(stream), record)
            self.run.tick()
            if self.message_reader.stopped:
                return

    def _process_state_message(self, message: Message) -> None:  # type: ignore[override]
        # STATE goes out with the bytes that came in: no number in it can change.
        if not message.value:
            msg = "a STATE message without a value"
            raise InputError(msg)
        try:
            self.run.hold_state(bytes(message.value).decode())
        except UnicodeDecodeError:
            msg = "not valid UTF-8"
            raise InputError(msg) from None

    def _process_activate_version_message(self, message: Message) -> None:  # type: ignore[override]
        """A table's version means nothing to conversions."""

    def process_endofpipe(self) -> None:
        """Settle everything that was read.

        Raises:
            RunError: If that is not possible, or no stream was mapped at all.
        """
        if not self.message_reader.stopped:
            self._warn_of_absent_streams()
        self.run.awaits_mapping = not self._gives_events and self.run.counts.total.read > 0
        if self.run.awaits_mapping:
            msg = (
                f"not one of the streams that came ({', '.join(self._sinks)}) is mapped to events;"
                f" the stream maps are for: {', '.join(self._stream_maps.names)}"
            )
            raise StreamMappingError(msg)
        self.run.finish()
        for sink in self._all_sinks():
            sink.clean_up()

    def _all_sinks(self) -> Iterable[LiveIntentSink]:
        return (sink for sinks in self._sinks.values() for sink in sinks)

    def _write_state(self, state: str) -> None:
        try:
            sys.stdout.write(f"{state}\n")
            sys.stdout.flush()
        except OSError as error:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # So that nothing is flushed at exit.
            msg = f"STATE cannot be written to standard output: {error.strerror}"
            raise StorageError(msg) from None

    # Signals

    def _setup_signal_handlers(self) -> None:
        """Leave signals alone until `process`: only there is something to stop."""

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Remember a signal; the main loop obeys it where nothing is half done."""
        now = time.monotonic()
        if self._signal is None:
            self._signal, self._signal_at = signum, now
            self.message_reader.stopped = True
            self.run.request_stop()
        elif now - self._signal_at > _SECOND_SIGNAL:
            os._exit(128 + signum)


def _spare_the_garbage_collector() -> None:
    """Look for garbage less often: 0.6 µs an event.

    A record makes no reference cycles, so there is none to be found; what the imports left is not
    looked at again at all.
    """
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER)


_COLLECT_AFTER = 50_000
"""Containers; by default it is 700, or 2000 since Python 3.13: a few batches."""


_NO_ACCOUNT = {"customer_id": "a-0000", "auth_token": "none"}
"""Stands in where nothing is sent."""


def _stream_maps(settings: Mapping[str, Any]) -> StreamMaps:
    maps = presets.expand(settings.get("presets") or {}, settings.get("stream_maps") or {})
    return StreamMaps(maps, settings.get("stream_map_config") or {})


def _printable(line: str) -> str:
    """A line whose names, which are the tap's, cannot forge another or steer a terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)


def _words(failure: BaseException) -> str:
    """What ended the run; the text of what is not expected could hold what is in a record."""
    if isinstance(failure, _EXPECTED):
        return str(failure)
    return f"the run ended on an unforeseen {type(failure).__name__}"


def _process(sinks: tuple[LiveIntentSink, ...], record: dict[str, Any]) -> None:
    for sink in sinks:
        sink.process_record(record)


def _together(sinks: Iterable[LiveIntentSink]) -> frozenset[str] | None:
    """The columns that a stream's sinks need; None for all."""
    needed: frozenset[str] = frozenset()
    for sink in sinks:
        if (reads := sink.reads) is None:
            return None
        needed |= reads
    return needed


def _stream_of(message: Message) -> str:
    if not message.stream:
        msg = f"a {message.type} message without a stream"
        raise InputError(msg)
    if not message.stream.isprintable():  # It would forge lines of the log.
        msg = f"a {message.type} message whose stream's name cannot be printed"
        raise InputError(msg)
    return message.stream
