"""The forward pass as an ONNX model, which many engines run; needs the package onnx, no TensorFlow.

The model takes pictures as the SavedModel does: `image` `[batch, height, width, 3]` RGB 0-255 of
any size, to `stylized` of the same shape.
"""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from fst.models.architecture import EPSILON, MIN_SIZE, STRIDE
from fst.stylize.forward import BLOCK, CENTRE, CROP, forward, stored

_OPSET, _IR = 17, 8  # Of 2022: what nearly every engine in use has.


def build(arranged, dtype="uint8", norms_as_inputs=False):
    """Builds the model.

    Args:
        arranged: `fst.stylize.forward.Arranged`.
        dtype: of `image` and `stylized`: `"uint8"`, or `"float32"`, in which nothing is rounded.
        norms_as_inputs: the model takes each layer's scale and shift as well, float32 `[C]`, such
            as `down1_scale` and `down1_shift`, and has none of its own.

    Returns:
        An `onnx.ModelProto`, checked.
    """
    graph = _Graph()
    steps = (_StepsOfAnyStyle if norms_as_inputs else _Steps)(graph, arranged)
    size = graph.op("Slice", graph.op("Shape", "image"), graph.constant([1]), graph.constant([3]))
    x = graph.op("Cast", "image", to=TensorProto.FLOAT)
    x = graph.op("Transpose", _of_any_size(graph, x, size), perm=[0, 3, 1, 2])
    x = forward(steps, graph.op("Sub", x, graph.constant(np.float32(CENTRE))))
    x = graph.op("Transpose", x, perm=[0, 2, 3, 1])
    x = graph.op("Slice", x, graph.constant([0, 0]), size, graph.constant([1, 2]))
    kind = TensorProto.FLOAT
    if dtype == "uint8":
        kind = TensorProto.UINT8
        x = graph.op("Cast", graph.op("Round", x), to=kind)
    return graph.model(x, kind)


class _Graph:
    """Nodes and constants as they come; a value is its name."""

    def __init__(self):
        self._nodes, self._constants, self._inputs = [], [], []

    def op(self, kind, *inputs, **attributes):
        name = f"{kind.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, inputs, [name], name=name, **attributes))
        return name

    def constant(self, value):
        name = f"constant_{len(self._constants)}"
        array = np.ascontiguousarray(value) if np.ndim(value) else np.asarray(value)
        self._constants.append(numpy_helper.from_array(array, name))
        return name

    def input(self, name, length):
        """An input beside the image: a float32 vector."""
        self._inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [length]))
        return name

    def weights(self, array):
        """A constant that is float32 before anything is computed, however it is stored."""
        return self.op("Cast", self.constant(stored(array)), to=TensorProto.FLOAT)

    def model(self, result, kind):
        self._nodes.append(helper.make_node("Identity", [result], ["stylized"], name="stylized"))
        shape = ["batch", "height", "width", 3]
        graph = helper.make_graph(
            self._nodes,
            "stylizer",
            [helper.make_tensor_value_info("image", kind, shape), *self._inputs],
            [helper.make_tensor_value_info("stylized", kind, shape)],
            self._constants,
        )
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR, producer_name="fst")
        onnx.checker.check_model(model)
        return model


class _Steps:
    """The steps of `fst.stylize.forward.forward` on `[B, C, H, W]`."""

    def __init__(self, graph, arranged):
        self._graph, self._arranged = graph, arranged

    def normalised(self, x, layer):
        kernel = self._arranged.kernels[layer.name]
        x = self._enlarged(x, kernel) if layer.enlarge else self._convolved(x, kernel, layer.stride)
        scale, shift = self._norm(layer.name)
        x = self._graph.op("InstanceNormalization", x, scale, shift, epsilon=EPSILON)
        return self._graph.op("Relu", x) if layer.activate else x

    def add(self, x, y, layer):
        return self._graph.op("Add", x, y)

    def pixels(self, x, layer):
        op = self._graph.op
        x = self._convolved(x, self._arranged.kernels[layer.name], BLOCK, self._arranged.bias)
        x = op("DepthToSpace", x, blocksize=BLOCK)
        one, half = (self._graph.constant(np.float32(value)) for value in (1.0, 127.5))
        x = op("Div", x, op("Sqrt", op("Add", op("Mul", x, x), one)))
        return op("Mul", op("Add", x, one), half)

    def _norm(self, name):
        return map(self._graph.weights, self._arranged.norms[name])

    def _convolved(self, x, kernel, stride, *bias):
        x = self._padded(x, (len(kernel) - 1) // 2, "reflect")
        weights = map(self._graph.weights, (kernel.transpose(3, 2, 0, 1), *bias))
        return self._graph.op("Conv", x, *weights, strides=[stride, stride])

    def _enlarged(self, x, kernel):
        weights = self._graph.weights(kernel.transpose(3, 2, 0, 1))
        x = self._padded(x, 1, "edge")
        return self._graph.op("ConvTranspose", x, weights, strides=[2, 2], pads=[CROP] * 4)

    def _padded(self, x, rows, mode):
        pads = self._graph.constant([0, 0, rows, rows] * 2)
        return self._graph.op("Pad", x, pads, mode=mode)


class _StepsOfAnyStyle(_Steps):
    """The same, but that scales and shifts come with the picture."""

    def _norm(self, name):
        kinds = zip(("scale", "shift"), self._arranged.norms[name], strict=True)
        return [self._graph.input(f"{name}_{kind}", len(array)) for kind, array in kinds]


def _of_any_size(graph, x, size):
    """`x`, `[B, H, W, 3]`, mirrored up to `MIN_SIZE` and then to a multiple of the stride."""
    axes = graph.constant([0])
    for axis in (1, 2):
        side = graph.op("Slice", size, graph.constant([axis - 1]), graph.constant([axis]))
        x = graph.op("Gather", x, _positions(graph, graph.op("Squeeze", side, axes)), axis=axis)
    grown = graph.op("Max", size, graph.constant([MIN_SIZE, MIN_SIZE]))
    grow = graph.op("Mod", graph.op("Neg", grown), graph.constant([STRIDE]))
    before, channels = graph.constant([0] * 5), graph.constant([0])
    return graph.op("Pad", x, graph.op("Concat", before, grow, channels, axis=0), mode="reflect")


def _positions(graph, side):
    """Indices 0 to side - 1, and as many mirrored ones after them as the network needs."""
    zero, one, two, least = (graph.constant(np.int64(value)) for value in (0, 1, 2, MIN_SIZE))
    period = graph.op("Mul", side, two)
    count = graph.op("Range", zero, graph.op("Max", side, least), one)
    forth = graph.op("Mod", count, period)
    back = graph.op("Sub", graph.op("Sub", period, one), forth)
    return graph.op("Min", forth, back)
