"""Networks into model bundles: ONNX graphs, checked against torch before anything is written.

``inspect`` needs neither torch nor onnx; the other modules need the ``train`` extra.
"""
