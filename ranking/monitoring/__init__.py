"""Is the model right? Its predictions against what was observed, and what it says now against what it said at first."""
