"""Uploads to scored clips: load features, bucket by length, run the streams and the fusion, write results, commit."""

from dancerank_installation import require_own_packages

require_own_packages()
