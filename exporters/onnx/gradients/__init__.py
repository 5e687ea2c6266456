"""Gradient graphs: from an ONNX graph one that computes gradients too, so that answering with them needs no torch.

``reverse`` walks a graph backwards, ``rules`` says what each operator does to a gradient, and ``writing`` holds the
graph that is being written.
"""

from exporters.onnx.gradients.reverse import with_gradients

__all__ = ["with_gradients"]
