"""The subcommands of `superres data`, a file for each kind of work."""
