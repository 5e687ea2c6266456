"""The command: settings, wiring, the demonstration and its synthetic clips."""
