"""HTTP on ports: taken early, answered within limits on every client, stopped by a signal or with the process."""

from dancerank.listening.connections import ConnectionLimits
from dancerank.listening.ports import bound
from dancerank.listening.process_http import metrics
from dancerank.listening.serving import answer, answer_on_thread

__all__ = ["ConnectionLimits", "answer", "answer_on_thread", "bound", "metrics"]
