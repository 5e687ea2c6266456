"""One module per group of commands: arguments in, parts wired, results printed."""
