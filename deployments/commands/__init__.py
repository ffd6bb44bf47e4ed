"""The subcommands of `vibecheck`, one file each, and what they share."""
