"""Traffic pools: how often a clip is shown, by an explicit policy, and why. Pure: no clock, no file, no network."""
