"""What a session of ONNX Runtime keeps beside the weights it runs with."""

from typing import Any


def forget_file(session: Any) -> None:
    """Free the file that a session was opened with, which is its weights once more.

    The session keeps it only to start again with other providers: call this where it has a single one.
    """
    session._model_bytes = b""
