"""The `vibecheck` command. A subcommand's module is imported when it is called, so that `--help` answers at once.

It is named from this package, whose name differs in a wheel. The settings come first: they may name the server of a
running `up`, and Prefect reads that when it is imported.
"""

import asyncio
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from inspect import iscoroutine
from typing import Any

from cyclopts import App
from rich.console import Console
from rich.markup import escape

from deployments.configuration import command_settings
from deployments.failures import CommandFailed, failing_in_words

INTERRUPTED = 130

app = App(
    name="vibecheck",
    help="VibeCheck's pipeline: polls AskNews as a Prefect deployment, and accounts for every tick.",
    version=lambda: version("vibecheck-pipeline"),
    version_flags=["--version"],
)
app.command(
    f"{__package__}.commands.up:run_up",
    name="up",
    help="Run the whole pipeline on this machine, with embedded defaults, until Ctrl-C.",
)
app.command(
    f"{__package__}.commands.apply:run_apply",
    name="apply",
    help="Migrate the database and bring the Prefect server at PREFECT_API_URL to what prefect.yaml describes.",
)
app.command(
    f"{__package__}.commands.worker:run_worker",
    name="worker",
    help="Execute runs as processes. SIGTERM drains it: no further run starts, and those that are going end first.",
)
app.command(
    f"{__package__}.commands.drain:run_drain",
    name="drain",
    help="Pause work pools, and wait until no run is going: for maintenance. Nobody is told of it meanwhile.",
)
app.command(
    f"{__package__}.commands.drain:run_resume",
    name="resume",
    help="Let work pools start runs again, after `drain`.",
)
app.command(
    f"{__package__}.commands.history:run_history",
    name="history",
    help="Show what changed of a job, and when: its schedule, its verdict and its deployment.",
)
app.command(
    f"{__package__}.commands.remove:run_remove",
    name="remove",
    help="Take everything of ours off the Prefect server, after asking. The database stays as it is.",
)
app.command(
    f"{__package__}.commands.silence:run_silence",
    name="silence",
    help="Send no messages about some jobs for a time; verdicts and rows go on. Alone: list the silences.",
)
app.command(
    f"{__package__}.commands.verify:run_verify",
    name="verify",
    help="Say what happened to each tick of each job. Exit code 0: all accounted for; 1: not; 2: could not tell.",
)
app.command(
    f"{__package__}.commands.status:run_status",
    name="status",
    help="Say whether the jobs do what is expected. Exit code 0: all healthy; 1: not; 2: could not tell.",
)
app.command(
    f"{__package__}.commands.doctor.command:run_doctor",
    name="doctor",
    help="Say what is wrong with this installation, and what to do. Exit code 0: all well; 1: warnings; 2: failures.",
)
app.command(
    f"{__package__}.commands.health:run_health",
    name="health",
    help="Serve the status page, `GET /health/scheduler` (200 or 503) and `GET /health`, from the database alone.",
)
app.command(
    f"{__package__}.commands.import_log:run_import",
    name="import-log",
    help="Import the execution log of the APScheduler service that this pipeline replaces. Doing it again is harmless.",
)
app.command(
    f"{__package__}.sandbox.__main__:serve",
    name="sandbox",
    help="Serve an AskNews-compatible API with made-up news, for demonstration and tests.",
)
app.register_install_completion_command(  # pyright: ignore[reportUnknownMemberType]  # any further arguments
    help="Let the shell complete commands and options: bash, zsh or fish."
)


def run(tokens: Sequence[str] | None = None) -> int:
    """Run the command that `tokens` say, by default the process's arguments, and return its exit code.

    Raises CommandFailed for what the command cannot do, and SystemExit for arguments that make no sense.
    """
    settings, unusable = None, None
    try:
        settings = command_settings()
    except CommandFailed as error:
        unusable = error  # `--help` and the sandbox need none
    command, arguments, injected = app.parse_args(tokens)
    if "settings" in injected:
        if unusable is not None:
            raise unusable
        arguments.arguments["settings"] = settings
    if "settings_or_failure" in injected:
        arguments.arguments["settings_or_failure"] = settings or unusable
    with failing_in_words():
        result: Any = command(*arguments.args, **arguments.kwargs)
        return int((asyncio.run(result) if iscoroutine(result) else result) or 0)


def main() -> None:
    """Entry point of the `vibecheck` command."""
    try:
        code = run()
        sys.stdout.flush()
    except CommandFailed as error:
        console = Console(stderr=True, highlight=False)
        # A terminal gets whole words in its width; a file gets whole lines.
        console.print(f"[red]{escape(str(error))}", soft_wrap=not console.is_terminal)
        if sys.argv[1:2] in (["up"], ["apply"]):
            console.print("`vibecheck doctor` looks at everything, and says what to do.")
        code = error.exit_code
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BrokenPipeError:
        # The reader has what it wanted, such as `head`. Python flushes once more at the end, to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


if __name__ == "__main__":
    main()
