"""The graph that is being written: nodes with names of their own, constants, and what is known of types and shapes."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from schemas.errors import BundleError

PREFIX: Final = "gradient/"
"""Of the names of everything that is added."""
FLOATS: Final = frozenset({TensorProto.FLOAT16, TensorProto.FLOAT, TensorProto.DOUBLE})

Dim = int | str | None
"""A dimension: its length, its symbol, or unknown."""


class GraphWriter:
    """Appends nodes to a copy of ``model``, whose shapes are inferred first."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = onnx.shape_inference.infer_shapes(model, data_prop=True)
        self.graph = self.model.graph
        self._constants = {each.name: each for each in self.graph.initializer}
        self._types: dict[str, tuple[int, list[Dim] | None]] = {
            each.name: (each.data_type, list(each.dims)) for each in self.graph.initializer
        }
        for value in (*self.graph.input, *self.graph.value_info, *self.graph.output):
            tensor = value.type.tensor_type
            dims: list[Dim] | None = None
            if tensor.HasField("shape"):
                dims = [_dimension(dim) for dim in tensor.shape.dim]
            self._types[value.name] = (tensor.elem_type, dims)
        for node in self.graph.node:
            if node.op_type == "Constant":
                self._constants[node.output[0]] = node.attribute[0].t
        self._written = 0

    def is_float(self, value: str) -> bool:
        return self._type(value) in FLOATS

    def element_type(self, value: str) -> int:
        return self._type(value)

    def dims(self, value: str) -> list[Dim]:
        """The dimensions of a value. Raises ``BundleError`` if its rank is not known."""
        dims = self._types.get(value, (0, None))[1]
        if dims is None:
            raise BundleError(f"the rank of {value!r} cannot be inferred, so its gradient cannot be written")
        return dims

    def constant(self, value: str) -> npt.NDArray[Any] | None:
        """The array, if ``value`` is a constant."""
        found = self._constants.get(value)
        return None if found is None else numpy_helper.to_array(found)

    def known(self, value: str, what: str) -> npt.NDArray[Any]:
        """The array of a constant. Raises ``BundleError`` naming ``what`` for a value that depends on the inputs."""
        found = self.constant(value)
        if found is None:
            raise BundleError(f"{what} is computed ({value!r}); a gradient graph needs it to be a constant")
        return found

    def of(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Append one node with one output and return the output's name."""
        return self.all_of(operator, *inputs, outputs=1, **attributes)[0]

    def all_of(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Append one node and return the names of its outputs."""
        names = [f"{PREFIX}{operator}-{self._written}-{number}" for number in range(outputs)]
        self._written += 1
        self.graph.node.append(helper.make_node(operator, inputs, names, **attributes))
        return names

    def ints(self, values: Sequence[int]) -> str:
        return self._constant_of(np.asarray(values, np.int64))

    def array_like(self, values: npt.ArrayLike, value: str) -> str:
        """A constant of the element type of ``value``."""
        dtype = helper.tensor_dtype_to_np_dtype(self._type(value))
        return self._constant_of(np.asarray(values, dtype))

    def zeros_like(self, value: str) -> str:
        zero = numpy_helper.from_array(np.zeros(1, helper.tensor_dtype_to_np_dtype(self._type(value))))
        return self.of("ConstantOfShape", self.shape_of(value), value=zero)

    def shape_of(self, value: str) -> str:
        return self.of("Shape", value)

    def padded(self, value: str, before: str, after: str, like: str) -> str:
        """``value`` with so many zeros ``before`` and ``after`` it on each axis, of the element type of ``like``."""
        return self.of("Pad", value, self.of("Concat", before, after, axis=0), self.array_like(0, like))

    def summed_to(self, gradient: str, target: str, wide: Sequence[Dim]) -> str:
        """``gradient``, of the dimensions ``wide``, summed over what broadcasting added to those of ``target``."""
        narrow = self.dims(target)
        added = len(wide) - len(narrow)
        if added:
            gradient = self.of("ReduceSum", gradient, self.ints(range(added)), keepdims=0)
        spread = [axis for axis, dim in enumerate(narrow) if dim == 1 and wide[axis + added] != 1]
        if spread:
            gradient = self.of("ReduceSum", gradient, self.ints(spread), keepdims=1)
        return gradient

    def add_input(self, name: str, like: str) -> None:
        self._add_port(self.graph.input, name, like)

    def add_output(self, name: str, value: str, like: str) -> None:
        self.graph.node.append(helper.make_node("Identity", [value], [name]))
        self._add_port(self.graph.output, name, like)

    def _add_port(self, ports: Any, name: str, like: str) -> None:
        element_type, dims = self._types[like]
        ports.append(helper.make_tensor_value_info(name, element_type, dims))
        self._types[name] = (element_type, dims)

    def _constant_of(self, array: npt.NDArray[Any]) -> str:
        name = f"{PREFIX}constant-{self._written}"
        self._written += 1
        tensor = numpy_helper.from_array(array, name)
        self.graph.initializer.append(tensor)
        self._constants[name] = tensor
        self._types[name] = (tensor.data_type, list(array.shape))
        return name

    def _type(self, value: str) -> int:
        if value not in self._types:
            raise BundleError(f"the type of {value!r} cannot be inferred, so its gradient cannot be written")
        return self._types[value][0]


def attributes_of(node: onnx.NodeProto) -> Mapping[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _dimension(dim: onnx.TensorShapeProto.Dimension) -> Dim:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return str(dim.dim_param) or None
