"""Out of our world into other formats: networks into ONNX bundles, measurements into Prometheus."""

from dancerank_installation import require_own_packages

require_own_packages()
