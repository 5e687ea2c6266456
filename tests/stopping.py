"""An event to stop, on which waiting takes no time."""

import threading


class Stop(threading.Event):
    """Records the timeouts of its waits, returns at once from each, and is set in the last of ``waits`` waits."""

    def __init__(self, waits: int = 1_000) -> None:
        super().__init__()
        self.most, self.waited_s = waits, list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout)
        if len(self.waited_s) == self.most:
            self.set()
        return self.is_set()
