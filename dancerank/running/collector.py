"""Python's collector of cyclic garbage, in a process that runs for long."""

import gc


def leave_out_what_is_loaded() -> None:
    """Have the collector never look again at what is there now. Call it once a process has opened what it keeps.

    Libraries and settings are 200,000 objects, which a full collection looks at one by one: it holds every thread for
    100 ms and more, some times a minute, and frees nothing of them.
    """
    gc.collect()
    gc.freeze()
