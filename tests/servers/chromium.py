"""Chromium (Debian's package), which the tests of the page drive."""

import os
import shutil
from pathlib import Path

from tests.servers import ServerUnavailable

VARIABLE = "DANCERANK_TEST_CHROMIUM"
_NAMES = ("chromium", "chromium-browser", "google-chrome")


def chromium() -> Path:
    """The browser's binary. Raises ``ServerUnavailable``."""
    named = os.environ.get(VARIABLE)
    found = named or next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None or not os.access(found, os.X_OK):
        raise ServerUnavailable(
            f"Chromium: none at {found or 'any folder of PATH'}; run deploy/test-servers.sh as root on Debian or "
            f"Ubuntu (apt-get install chromium), or set {VARIABLE} to the path of its binary"
        )
    return Path(found)
