"""The command: settings, the processes built from them, the demonstration and its synthetic clips."""
