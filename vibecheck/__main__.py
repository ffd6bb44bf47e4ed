"""The `vibecheck` command, as it is installed."""

import signal


def main() -> None:
    """Entry point of the installed command. Ctrl-C ends it without a word while its imports take their second."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from deployments.__main__ import main as run_command

    run_command()


if __name__ == "__main__":
    main()
