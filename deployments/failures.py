"""How a command says that it cannot do what was asked: in a sentence, with an exit code, and without a traceback."""

from collections.abc import Generator
from contextlib import contextmanager


class CommandFailed(Exception):
    """What was asked cannot be done; the text says why, and what to do. `exit_code` is the command's."""

    def __init__(self, text: str, *, exit_code: int = 1) -> None:
        super().__init__(text)
        self.exit_code = exit_code


@contextmanager
def failing_in_words() -> Generator[None]:
    """Raise CommandFailed for what no command can help: the database or Prefect's server is away, a setting is wrong.

    Other exceptions are errors of ours, and stay what they are.
    """
    try:
        yield
    except Exception as error:  # told apart only now: the types take a second to import
        if isinstance(error, CommandFailed) or (words := _in_words(error)) is None:
            raise
        raise CommandFailed(words) from error


def _in_words(error: Exception) -> str | None:
    from flows.database.engine import DatabaseUnavailable
    from flows.monitoring.alarms.receivers import InvalidReceiver

    if isinstance(error, DatabaseUnavailable):
        return which_database(error)
    if isinstance(error, InvalidReceiver):
        return str(error)

    # After what is known without them: Prefect takes seconds to import.
    import httpx
    from prefect.exceptions import PrefectException
    from sqlalchemy.exc import OperationalError, ProgrammingError

    if isinstance(error, OperationalError | ProgrammingError):
        return (
            f"The pipeline's database cannot be used: {error.orig}. Was it never migrated? `vibecheck apply` does that."
        )
    from flows.monitoring.prefect_answers import UnexpectedAnswer, unexpected_answer

    if isinstance(unexpected := unexpected_answer(error) or error, UnexpectedAnswer):
        return str(unexpected)
    if isinstance(error, httpx.HTTPError | PrefectException) or _is_of_prefects_client(error):
        return f"The Prefect server at PREFECT_API_URL did not do it: {type(error).__name__}: {error}"
    return None


def which_database(error: Exception) -> str:
    """Say what `error` says, and which setting names the database."""
    hint = "Is it the right one (VIBECHECK_DATABASE_URL), and does it run?"
    return str(error) if "VIBECHECK_" in str(error) else f"{str(error).rstrip('.')}. {hint}"


def _is_of_prefects_client(error: Exception) -> bool:
    """Whether it is the RuntimeError with which Prefect's client refuses a server of another major version."""
    return type(error) is RuntimeError and "incompatible versions" in str(error)
