"""The `vibecheck` command, as it is installed."""

from deployments.__main__ import main

if __name__ == "__main__":
    main()
