"""kafka-python leaves sockets whose connection failed to the garbage collector, which warns of each.

A module whose tests make connections fail has ``pytestmark = [..., *COLLECTED]``: the sockets are collected when its
tests end, and not in the middle of a test that has nothing to do with them.
"""

from typing import Final

import pytest

COLLECTED: Final = (
    pytest.mark.usefixtures("collected_sockets"),
    pytest.mark.filterwarnings("ignore:unclosed <(socket|ssl):ResourceWarning"),
)
