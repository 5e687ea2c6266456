"""Exact and fast passes over arrays of features."""


def prepare() -> None:
    """Load the kernels, which the first use of one would do otherwise: seconds where they have to be compiled."""
    import schemas.arrays.kernels  # noqa: F401 - imported for its effect
