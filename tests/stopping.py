"""The wish to stop, as what is tested waits for it."""

import threading


class Stop(threading.Event):
    """Remembers for how long it was waited for, lets nobody wait, and is set in the last of so many waits."""

    def __init__(self, waits: int = 1_000) -> None:
        super().__init__()
        self.most, self.waited_s = waits, list[float | None]()

    def wait(self, timeout: float | None = None) -> bool:
        self.waited_s.append(timeout)
        if len(self.waited_s) == self.most:
            self.set()
        return self.is_set()
