"""The moments that made a score."""

import numpy as np

from networks.action_net.pictures import SEGMENT_S, strongest


def test_the_strongest_moments_come_first_and_of_equal_ones_the_earlier() -> None:
    moments = strongest(np.array([0.1, 0.3, 0.2, 0.3, 0.1]), each_s=2.0, count=4)
    assert [(moment.start_s, moment.end_s) for moment in moments] == [(2, 4), (6, 8), (4, 6), (0, 2)]
    assert moments[0].attention == 0.3
    assert len(strongest(np.array([1.0]), each_s=SEGMENT_S)) == 1
    assert strongest(np.array([1.0]), each_s=SEGMENT_S)[0].end_s == 3.2
