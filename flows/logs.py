"""structlog, wired into Prefect: one event becomes JSON on stdout and a readable line in the run's logs in Prefect.

Inside a run every event carries `execution_id` (the flow run's id) and `job_name`: `bind_run` puts them into
structlog's context variables, which tasks inherit. Known secrets are replaced in every event, whatever the sink.
"""

import logging
import sys
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import unquote
from uuid import UUID

import structlog
from pydantic import SecretStr
from structlog.typing import EventDict, Processor, WrappedLogger

from flows.checked_addresses import password_in
from flows.misspelled import misspelled_variables
from flows.settings import MonitoringSettings

LOGGER_NAME = "vibecheck"
REDACTED = "[redacted]"
# Shorter secrets would redact ordinary words.
SHORTEST_SECRET = 6

_secrets: set[str] = set()


def register_secret(secret: str) -> None:
    """Replace `secret` in every event from now on. For secrets that do not come from the settings (a Prefect block)."""
    if len(secret) >= SHORTEST_SECRET:
        _secrets.add(secret)


def redact(value: Any) -> Any:
    """Return `value` with every known secret in its strings replaced; mappings, lists and tuples are searched."""
    if isinstance(value, str):
        for secret in _secrets:
            value = value.replace(secret, REDACTED)
        return value
    if isinstance(value, Mapping):
        return {redact(key): redact(item) for key, item in value.items()}  # pyright: ignore[reportUnknownVariableType]  # any mapping
    if isinstance(value, list | tuple):
        return [redact(item) for item in value]  # pyright: ignore[reportUnknownVariableType]  # any sequence
    if isinstance(value, BaseException):
        return redact(f"{type(value).__name__}: {value}")
    return value


def _redact_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # Prefect's and structlog's own keys hold objects of theirs (a record, an exc_info): leave those as they are.
    return {key: item if key.startswith("_") else redact(item) for key, item in event.items()}


class _FlowRunOfEvent(logging.Filter):
    """Tell Prefect's handler the run of an event: hooks have no run context, and their events would be dropped."""

    def filter(self, record: logging.LogRecord) -> bool:
        execution_id: object = record.msg.get("execution_id") if isinstance(record.msg, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # structlog puts its event there
        if execution_id is None:
            return False
        record.flow_run_id = UUID(str(execution_id))  # pyright: ignore[reportUnknownArgumentType]  # as above
        return True


_PROCESSORS: tuple[Processor, ...] = (
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    structlog.processors.format_exc_info,
    _redact_event,
    structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
)


def configure_logging(settings: MonitoringSettings, *, to_prefect: bool = True) -> None:
    """Make structlog ours, for a command or a flow of this project, and `attach_handlers`.

    Calling it again changes nothing.
    """
    attach_handlers(settings, to_prefect=to_prefect)
    logging.getLogger("prefect.task_runs").addFilter(_is_worth_a_line)
    # httpx logs each request's address at INFO: noise here, and a leak wherever an address holds a key.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    structlog.configure(
        processors=_PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(settings.log_level),
        logger_factory=_our_logger,
        cache_logger_on_first_use=False,
    )


def attach_handlers(settings: MonitoringSettings, *, to_prefect: bool = True) -> None:
    """Send this project's own events to stdout and, for events of a run, to Prefect. Calling it again changes nothing.

    The rest of the process's logging stays as it is: hooks run in other people's flows. `log_format` chooses JSON or
    coloured lines; `auto` looks whether stdout is a terminal. `to_prefect=False` is for processes that run no flow: it
    saves them the import of prefect.
    """
    _register_settings_secrets(settings)
    logger = _our_logger()
    if logger.handlers:
        return
    coloured = settings.log_format == "console" or (settings.log_format == "auto" and sys.stdout.isatty())
    on_stdout = logging.StreamHandler(sys.stdout)
    on_stdout.setFormatter(
        _formatter(structlog.dev.ConsoleRenderer() if coloured else structlog.processors.JSONRenderer(default=str))
    )
    logger.setLevel(settings.log_level)
    logger.propagate = False
    logger.handlers = [on_stdout, _prefect_handler()] if to_prefect else [on_stdout]
    # A command has stopped at such a name before; a run goes on, in whosever environment.
    for wrong in misspelled_variables():
        own_logger().warning("setting_unknown", variable=wrong.name, did_you_mean=wrong.meant)


def own_logger() -> structlog.stdlib.BoundLogger:
    """Return a logger for code that runs in other people's flows, however structlog is configured there."""
    return structlog.wrap_logger(
        _our_logger(), processors=_PROCESSORS, wrapper_class=structlog.stdlib.BoundLogger, context_class=dict
    )


def _our_logger(*_arguments: object) -> logging.Logger:
    return logging.getLogger(LOGGER_NAME)


def _is_worth_a_line(record: logging.LogRecord) -> bool:
    """False for the line with which Prefect ends each task that went well: what a task did has a line of its own."""
    return not record.getMessage().startswith("Finished in state Completed(")


def bind_run(execution_id: UUID, job_name: str) -> None:
    """Put the run's identity on every event that this context, and the tasks it starts, will log."""
    structlog.contextvars.bind_contextvars(execution_id=str(execution_id), job_name=job_name)


def _prefect_handler() -> logging.Handler:
    from prefect.logging.handlers import APILogHandler

    handler = APILogHandler()
    handler.addFilter(_FlowRunOfEvent())
    handler.setFormatter(_formatter(_readable_line))
    return handler


def _formatter(renderer: Processor) -> structlog.stdlib.ProcessorFormatter:
    return structlog.stdlib.ProcessorFormatter(
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer]
    )


def _readable_line(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    """`event_name key=value …`: Prefect shows time and level itself, and the run is where the reader already is."""
    name = event.pop("event", "")
    traceback = event.pop("exception", None)
    hidden = {"timestamp", "level"}
    fields = " ".join(f"{key}={_quoted(item)}" for key, item in event.items() if key not in hidden)
    return "\n".join(part for part in (f"{name} {fields}".strip(), traceback) if part)


def _quoted(value: object) -> str:
    text = str(value)
    return f'"{text}"' if " " in text else text


def _secrets_in(value: object) -> list[str]:
    values = cast("Mapping[str, object]", value).values() if isinstance(value, Mapping) else [value]
    return [each.get_secret_value() for each in values if isinstance(each, SecretStr)]


def _register_settings_secrets(settings: MonitoringSettings) -> None:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        for secret in _secrets_in(value):
            register_secret(secret)
            # An address is logged piecemeal by some libraries: its password is a secret by itself, in both spellings.
            password = password_in(secret)
            for spelling in {password, unquote(password)} if password else set[str]():
                register_secret(spelling)
