"""Out of our world into other formats: networks into ONNX bundles, measurements into Prometheus."""
