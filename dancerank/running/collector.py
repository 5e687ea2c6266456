"""Python's collector of cyclic garbage, in a process that runs for long."""

import gc
from typing import Final

FULL_AFTER: Final = 50
"""Collections of the middle generation to one of all, in place of 10: each of them keeps at most some 7,000 objects, so
that no more than 350,000 can be garbage before it is looked for, 100 MB where they are large."""


def leave_out_what_is_loaded() -> None:
    """Have the collector never look again at what is there now, and seldom at all that comes later. Call it once a
    process has opened what it keeps.

    Libraries and settings are 200,000 objects, which a full collection looks at one by one: it holds every thread for
    100 ms and more, some times a minute, and frees nothing of them. What comes later are caches, and 20 ms.
    """
    gc.collect()
    gc.freeze()
    young, middle, _ = gc.get_threshold()
    gc.set_threshold(young, middle, FULL_AFTER)
