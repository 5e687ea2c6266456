"""What a process has loaded costs its later collections nothing."""

import gc

from dancerank.running.collector import FULL_AFTER, leave_out_what_is_loaded


def test_the_collector_passes_over_what_was_there_and_frees_what_came_later() -> None:
    class Later:
        pass

    kept, thresholds = [Later()], gc.get_threshold()
    try:
        leave_out_what_is_loaded()
        looked_at = gc.get_objects()
        assert not any(each is kept for each in looked_at)
        assert gc.get_freeze_count() > len(looked_at)
        later = Later()
        later.itself = later  # type: ignore[attr-defined] # a cycle
        del later, looked_at
        assert gc.collect() > 0
        assert gc.get_threshold() == (*thresholds[:2], FULL_AFTER)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
