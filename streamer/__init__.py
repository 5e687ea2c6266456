"""Uploads to scored clips: load features, bucket by length, run the streams and the fusion, write results, commit."""
