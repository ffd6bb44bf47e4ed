"""The `vibecheck` command. A subcommand's module is imported when it is called, so that `--help` answers at once.

It is named from this package, whose name differs in a wheel. The settings come first: they may name the server of a
running `up`, and Prefect reads that when it is imported.
"""

import ast
import asyncio
import os
import signal
import sys
from collections.abc import Sequence
from importlib.metadata import version
from inspect import iscoroutine
from pathlib import Path
from typing import Any

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape

from deployments.command_settings import command_settings
from deployments.failures import CommandFailed, failing_in_words

INTERRUPTED = 130

app = App(
    name="vibecheck",
    help="VibeCheck's pipeline: Prefect deployments in which every tick is accounted for, and somebody is told.",
    version=lambda: version("vibecheck-pipeline"),
    version_flags=["--version"],
    default_parameter=Parameter(negative=""),
)


def _docstring(module: str, function: str) -> str:
    """The docstring of a command, which is its help. Read and not imported: that takes seconds, for all of them."""
    file = Path(__file__).parent.joinpath(*module.split(".")).with_suffix(".py")
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function:
            return ast.get_docstring(node) or ""
    raise LookupError(f"{file} has no function {function}")


for _name, _module, _function in (
    ("up", "commands.up", "run_up"),
    ("apply", "commands.apply", "run_apply"),
    ("worker", "commands.worker", "run_worker"),
    ("drain", "commands.drain", "run_drain"),
    ("resume", "commands.drain", "run_resume"),
    ("history", "commands.history", "run_history"),
    ("remove", "commands.remove", "run_remove"),
    ("silence", "commands.silence", "run_silence"),
    ("verify", "commands.verify", "run_verify"),
    ("status", "commands.status", "run_status"),
    ("doctor", "commands.doctor.command", "run_doctor"),
    ("health", "commands.health", "run_health"),
    ("import-log", "commands.import_log", "run_import"),
    ("sandbox", "sandbox.command", "run_sandbox"),
):
    app.command(f"{__package__}.{_module}:{_function}", name=_name, help=_docstring(_module, _function))
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
    """Run the `vibecheck` command, and leave with its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # until here it ended the process: `vibecheck.__main__`
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
