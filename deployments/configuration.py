"""The settings as a command gets them: those of a running `up` among them, and what is wrong with them in words."""

import sys

from pydantic import ValidationError

from deployments.commands.access import join_running_up, readable_by_others
from deployments.failures import CommandFailed
from flows.settings import PROJECT_ROOT, Settings, load_settings


def command_settings() -> Settings:
    """Return the settings, and say on stderr who else can read them. Raises CommandFailed if they are not usable.

    They may name the server of a running `up`, which Prefect reads when it is imported: call this before.
    """
    try:
        settings = load_settings()
        if join_running_up(settings.data_directory):
            load_settings.cache_clear()
            settings = load_settings()
    except ValidationError as error:
        lines = [f"{_variable(str(problem['loc'][0]))}: {problem['msg']}" for problem in error.errors()]
        raise CommandFailed("\n  ".join(["The settings are not usable:", *lines])) from None
    for sentence in readable_by_others([PROJECT_ROOT / ".env", settings.data_directory]):
        print(sentence, file=sys.stderr)  # noqa: T201  # before any logging; stdout may be JSON
    return settings


def _variable(location: str) -> str:
    """The environment variable of a validation problem, which names the field or, where there is one, its alias."""
    is_field = location in Settings.model_fields
    return f"{Settings.model_config.get('env_prefix', '')}{location}".upper() if is_field else location
