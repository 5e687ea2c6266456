"""What a process or a command checks before it starts."""
