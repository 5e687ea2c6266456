"""How the background of a video may be found."""

from typing import Literal

BackgroundMethod = Literal["vibe", "median"]
"""ViBe, as the paper does, or a median of what the person leaves visible."""

__all__ = ["BackgroundMethod"]
