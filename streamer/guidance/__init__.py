"""What would raise a clip's score: its gradient by each joint's position (Eq. 7), and how it is smoothed."""
