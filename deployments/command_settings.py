"""The settings as a command gets them: those of a running `up` among them, and what is wrong with them in words."""

import sys
from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_settings import SettingsError

from deployments.commands.data_directory import join_running_up, readable_by_others
from deployments.failures import CommandFailed
from flows.misspelled import misspelled_variables
from flows.settings import ENV_FILE, Settings, load_settings, variable_of

# What pydantic says less plainly.
_IN_WORDS = {
    "int_parsing": "Input should be a whole number",
    "float_parsing": "Input should be a number",
    "bool_parsing": "Input should be true or false",
}


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
        wrong = [(str(problem["loc"][0]), _IN_WORDS.get(problem["type"], problem["msg"])) for problem in error.errors()]
        problems = [f"{_variable(location)}: {message}" for location, message in wrong]
        raise _unusable([*problems, *_misspelled()]) from None
    except SettingsError as error:
        field = str(error).split('"')[1]  # the one thing that it says for people
        raise _unusable([f"{variable_of(field)}: Input should be a JSON object"]) from None
    except UnicodeDecodeError as error:
        raise _unusable([f"{ENV_FILE}: It is not UTF-8 from byte {error.start} on. Save it as UTF-8."]) from None
    problems = _misspelled()
    has_other_login = settings.asknews_api_key or settings.asknews_secret_block
    if not has_other_login and (half := settings.missing_half_of_login()):
        problems.append(f"{half}.")
    if problems:
        raise _unusable(problems)
    for sentence in readable_by_others([ENV_FILE, settings.data_directory]):
        print(sentence, file=sys.stderr)  # noqa: T201  # before any logging; stdout may be JSON
    return settings


def _unusable(problems: Sequence[str]) -> CommandFailed:
    return CommandFailed("\n  ".join(["The settings are not usable:", *problems]), exit_code=2)


def _misspelled() -> list[str]:
    return [
        f"{wrong.name}, in {wrong.where}: There is no such setting. "
        + (f"Did you mean {wrong.meant}?" if wrong.meant else "docs/settings.md lists them.")
        for wrong in misspelled_variables()
    ]


def _variable(location: str) -> str:
    """The environment variable of a validation problem, which names the field or, where there is one, its alias."""
    return variable_of(location) if location in Settings.model_fields else location
