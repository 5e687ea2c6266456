"""BlazePose's files in TensorFlow Lite's own runtime, on the CPU, one picture after the other."""

from functools import cache

import numpy as np

from extraction.models.catalogue import CATALOGUE
from extraction.models.fetching import source_path
from extraction.models.folder import default_folder
from tests.extractors import skip_or_fail


@cache
def network(name):
    """Runs ``name`` on one picture of floats; returns its outputs in the order of the file, without the batch."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    (source,) = CATALOGUE[name].sources
    path = source_path(default_folder(), source)
    if not path.is_file():
        skip_or_fail(f"{name}: {path} is missing; run deploy/test-extractors.sh")
    exactly = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    interpreter = Interpreter(str(path), num_threads=1, experimental_op_resolver_type=exactly)
    interpreter.allocate_tensors()
    (place,) = interpreter.get_input_details()
    nodes = sorted(interpreter.get_output_details(), key=lambda node: node["name"])

    def run(picture):
        interpreter.set_tensor(place["index"], picture[np.newaxis])
        interpreter.invoke()
        return [interpreter.get_tensor(node["index"])[0] for node in nodes]

    return run


def detect(picture):
    return network("pose-detector")(picture)


def locate_with(name):
    """``locate`` of ``reference.follow`` with the landmark network ``name``."""

    def locate(picture):
        points, presence, mask, *_ = network(name)(picture)
        return points.reshape(39, 5), float(presence[0]), mask[..., 0]

    return locate
