"""Convert MediaPipe's hand networks from TFLite to the ONNX files in ``tracker/models``.

    pip install -e ".[tools]"
    pip download --no-deps mediapipe==0.10.21 --python-version 3.11 \
        --platform manylinux_2_28_x86_64 --only-binary=:all:
    python tools/convert_mediapipe_models.py mediapipe-0.10.21-*.whl

Every activation of rank 4 is (batch, channel, row, column) inside the ONNX graph, while TFLite keeps
channels last; other tensors are the same in both. The input stays (batch, row, column, RGB). Weights are
stored as the float16 numbers Google published and widened to float32 by a Cast, which ONNX Runtime
evaluates once, when it opens the file. The batch size is free. The same wheel gives the same bytes.

ONNX Runtime keeps activations in blocks of 16 channels between convolutions, poolings, sums and
concatenations, and pays for leaving that form at every other operator. So PRELU and PAD are written with
those operators only, which takes the palm network from 5.9 to 3.7 ms; the landmark networks need no help.
"""

import argparse
import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tflite
from onnx import TensorProto, helper, numpy_helper
from tflite_graph import Operator, TfliteGraph

MODELS_FOLDER = Path(__file__).resolve().parents[1] / "tracker" / "models"
OPSET = 17
IR_VERSION = 8
INPUT_NAME = "image"


@dataclass(frozen=True)
class Output:
    """What an output of the TFLite file, in its order, is called and shaped in the ONNX file."""

    name: str
    shape: tuple[int, ...]
    """Without the batch axis."""


PALM_OUTPUTS = (Output("boxes_px", (2016, 18)), Output("score_logits", (2016,)))
LANDMARK_OUTPUTS = (
    Output("landmarks_px", (21, 3)),
    Output("presence", ()),
    Output("right_probability", ()),
    Output("world_landmarks_m", (21, 3)),
)
MODELS = {
    "palm_detection_full": ("palm_detection", PALM_OUTPUTS),
    "palm_detection_lite": ("palm_detection", PALM_OUTPUTS),
    "hand_landmark_full": ("hand_landmark", LANDMARK_OUTPUTS),
    "hand_landmark_lite": ("hand_landmark", LANDMARK_OUTPUTS),
}


class ConversionError(Exception):
    """The TFLite file holds something this converter does not know."""


class OnnxBuilder:
    """Collects the nodes and weights of an ONNX graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def node(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Append a node and return the name of its output, made up when not given."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def constant(self, name: str, values: np.ndarray) -> str:
        """Store an array as it is and return its name; a name is stored once."""
        if name not in self.initializers:
            self.initializers[name] = numpy_helper.from_array(np.ascontiguousarray(values), name)
        return name

    def weight(self, name: str, values: np.ndarray) -> str:
        """Store a weight and return the name of its float32 form."""
        if values.dtype == np.float32:
            return self.constant(name, values)
        if name not in self.initializers:
            self.constant(name, values)
            self.node("Cast", [name], f"{name}_f32", to=TensorProto.FLOAT)
        return f"{name}_f32"


class Converter:
    """Translates one TFLite graph; one method per operator, each appends ONNX nodes."""

    def __init__(self, graph: TfliteGraph) -> None:
        self.graph = graph
        self.onnx = OnnxBuilder()
        self.names: dict[int, str] = {}
        """ONNX name of the value of each TFLite tensor computed so far."""
        self.unresized: dict[int, int] = {}
        """TFLite tensors that are a resized other one, and which; not computed, so without a name."""

    def convert(self, outputs: tuple[Output, ...], *, name: str) -> onnx.ModelProto:
        """Translate the whole graph.

        Raises:
            ConversionError: an operator or option is not one of those the hand networks use.
        """
        image = int(self.graph.subgraph.Inputs(0))
        self.names[image] = self.onnx.node("Transpose", [INPUT_NAME], perm=[0, 3, 1, 2])
        for operator in self.graph.operators():
            method: Callable[[Operator], str] | None = getattr(self, operator.name.lower(), None)
            if method is None:
                raise ConversionError(f"operator {operator.name} of {name} is unknown")
            if name_of_output := method(operator):
                self.names[operator.output] = name_of_output
        self._name_outputs(outputs)
        return self._model(outputs, name=name, input_shape=self.graph.shape(image))

    def dequantize(self, operator: Operator) -> str:
        """A float16 constant used as float32: ``OnnxBuilder.weight`` does it where it is used."""
        self.graph.constants[operator.output] = self.graph.constants[operator.inputs[0]]
        return ""

    def conv_2d(self, operator: Operator) -> str:
        """Filters (out, row, column, in) become (out, in, row, column)."""
        if operator.inputs[0] not in self.unresized:
            return self._convolution(operator, (0, 3, 1, 2), groups=1)
        # The weights of a bilinear resize sum to 1, so it commutes with a 1x1 convolution and its bias.
        image, filters, bias = operator.inputs
        activation = operator.options.FusedActivationFunction()
        if self.graph.shape(filters)[1:3] != (1, 1) or activation != tflite.ActivationFunctionType.NONE:
            raise ConversionError("a resize is not followed by a plain 1x1 convolution")
        source = self.unresized[image]
        early = replace(operator, inputs=(source, filters, bias))
        name = self._convolution(early, (0, 3, 1, 2), groups=1)
        return self._resized(name, self.graph.shape(source), self.graph.shape(image))

    def depthwise_conv_2d(self, operator: Operator) -> str:
        """Filters (1, row, column, channel) become (channel, 1, row, column)."""
        if operator.options.DepthMultiplier() != 1:
            raise ConversionError("a depthwise convolution multiplies the channels")
        return self._convolution(operator, (3, 0, 1, 2), groups=self.graph.shape(operator.output)[3])

    def _convolution(self, operator: Operator, axes: tuple[int, ...], *, groups: int) -> str:
        image, filters, bias = operator.inputs
        values = self.graph.constants[filters].transpose(axes)
        options = operator.options
        if options.DilationHFactor() != 1 or options.DilationWFactor() != 1:
            raise ConversionError("a convolution is dilated")
        kernel, strides = values.shape[2:], (options.StrideH(), options.StrideW())
        output = self.onnx.node(
            "Conv",
            [self.names[image], self.onnx.weight(f"filters_{filters}", values), self._weight("bias", bias)],
            kernel_shape=kernel,
            strides=strides,
            pads=self._pads(image, options.Padding(), kernel, strides),
            group=groups,
        )
        return self._activation(output, options)

    def prelu(self, operator: Operator) -> str:
        """Output x + (1 - slope) * Relu(-x), both products as depthwise 1x1 convolutions."""
        name, slopes = self.names[operator.inputs[0]], operator.inputs[1]
        channel_slopes = self.graph.constants[slopes].reshape(-1, 1, 1, 1)
        channels = len(channel_slopes)
        slope = self.onnx.weight(f"slopes_{slopes}", channel_slopes)
        gain = self.onnx.node("Sub", [self.onnx.constant("one", np.array(1, np.float32)), slope])
        negated = self._scaled(name, by=self._filled(-1, channels), channels=channels)
        correction = self._scaled(self.onnx.node("Relu", [negated]), by=gain, channels=channels)
        return self.onnx.node("Add", [correction, name])

    def add(self, operator: Operator) -> str:
        """Sum of two tensors of one shape."""
        output = self.onnx.node("Add", [self.names[index] for index in operator.inputs])
        return self._activation(output, operator.options)

    def max_pool_2d(self, operator: Operator) -> str:
        """Largest value of each window."""
        options = operator.options
        kernel = (options.FilterHeight(), options.FilterWidth())
        strides = (options.StrideH(), options.StrideW())
        image = operator.inputs[0]
        pads = self._pads(image, options.Padding(), kernel, strides)
        output = self.onnx.node(
            "MaxPool", [self.names[image]], kernel_shape=kernel, strides=strides, pads=pads
        )
        return self._activation(output, options)

    def pad(self, operator: Operator) -> str:
        """Twice the channels, the new ones zero: the old ones times 0, appended."""
        image, amounts = operator.inputs
        channels = self.graph.shape(image)[3]
        if self.graph.constants[amounts].tolist() != [[0, 0], [0, 0], [0, 0], [0, channels]]:
            raise ConversionError("a padding does more than double the channels")
        name = self.names[image]
        zeros = self._scaled(name, by=self._filled(0, channels), channels=channels)
        return self.onnx.node("Concat", [name, zeros], axis=1)

    def resize_bilinear(self, operator: Operator) -> str:
        """Nothing yet: ``conv_2d`` does the 1x1 convolution that follows first, and then this."""
        if operator.options.AlignCorners() or not operator.options.HalfPixelCenters():
            raise ConversionError("a resize does not use half pixel centres")
        self.unresized[operator.output] = operator.inputs[0]
        return ""

    def _resized(self, name: str, before: tuple[int, ...], after: tuple[int, ...]) -> str:
        """Rows and columns of ``name`` enlarged from ``before`` to ``after`` (both TFLite shapes)."""
        factors = np.array([1, 1, after[1] / before[1], after[2] / before[2]], np.float32)
        scales = self.onnx.constant(f"scales_{after[1]}_{before[1]}", factors)
        return self.onnx.node(
            "Resize", [name, "", scales], mode="linear", coordinate_transformation_mode="half_pixel"
        )

    def reshape(self, operator: Operator) -> str:
        """Flatten rows, columns and channels, channels last as in TFLite, batch kept."""
        channels_last = self.onnx.node("Transpose", [self.names[operator.inputs[0]]], perm=[0, 2, 3, 1])
        return self._reshaped(channels_last, self.graph.shape(operator.output)[1:])

    def concatenation(self, operator: Operator) -> str:
        """Join tensors of rank 3, which have the same axes in both formats."""
        if len(self.graph.shape(operator.output)) != 3:
            raise ConversionError("a concatenation is not of rank 3")
        names = [self.names[index] for index in operator.inputs]
        return self.onnx.node("Concat", names, axis=operator.options.Axis())

    def mean(self, operator: Operator) -> str:
        """Average over rows and columns."""
        if self.graph.constants[operator.inputs[1]].tolist() != [1, 2] or operator.options.KeepDims():
            raise ConversionError("a mean is not over rows and columns")
        return self.onnx.node(
            "Flatten", [self.onnx.node("GlobalAveragePool", [self.names[operator.inputs[0]]])]
        )

    def fully_connected(self, operator: Operator) -> str:
        """Matrix product with weights (out, in), plus a bias."""
        vector, weights, bias = operator.inputs
        inputs = [self.names[vector], self._weight("weights", weights), self._weight("bias", bias)]
        return self._activation(self.onnx.node("Gemm", inputs, transB=1), operator.options)

    def logistic(self, operator: Operator) -> str:
        """1 / (1 + exp(-x))."""
        return self.onnx.node("Sigmoid", [self.names[operator.inputs[0]]])

    def _scaled(self, name: str, *, by: str, channels: int) -> str:
        """Each channel times its factor, as a depthwise 1x1 convolution."""
        return self.onnx.node("Conv", [name, by], kernel_shape=(1, 1), group=channels)

    def _filled(self, value: int, channels: int) -> str:
        """The same factor for every channel."""
        return self.onnx.weight(f"all_{value}_{channels}", np.full((channels, 1, 1, 1), value, np.float16))

    def _weight(self, kind: str, index: int) -> str:
        return self.onnx.weight(f"{kind}_{index}", self.graph.constants[index])

    def _activation(self, name: str, options: Any) -> str:
        match options.FusedActivationFunction():
            case tflite.ActivationFunctionType.NONE:
                return name
            case tflite.ActivationFunctionType.RELU6:
                limits = [
                    self.onnx.constant(f"clip_{limit}", np.array(limit, np.float32)) for limit in (0, 6)
                ]
                return self.onnx.node("Clip", [name, *limits])
            case other:
                raise ConversionError(f"fused activation {other} is unknown")

    def _pads(
        self, image: int, padding: int, kernel: tuple[int, ...], strides: tuple[int, ...]
    ) -> tuple[int, ...]:
        """Rows and columns of zeros (top, left, bottom, right); SAME puts the odd one last."""
        if padding == tflite.Padding.VALID:
            return (0, 0, 0, 0)
        sizes = self.graph.shape(image)[1:3]
        totals = [
            max((-(-size // stride) - 1) * stride + width - size, 0)
            for size, width, stride in zip(sizes, kernel, strides, strict=True)
        ]
        before = tuple(total // 2 for total in totals)
        return before + tuple(total - first for total, first in zip(totals, before, strict=True))

    def _reshaped(self, name: str, shape: tuple[int, ...], output: str = "") -> str:
        key = "shape_" + "_".join(["n", *map(str, shape)])
        return self.onnx.node(
            "Reshape", [name, self.onnx.constant(key, np.array([-1, *shape], np.int64))], output
        )

    def _name_outputs(self, outputs: tuple[Output, ...]) -> None:
        indices = [int(index) for index in self.graph.subgraph.OutputsAsNumpy()]
        for index, output in zip(indices, outputs, strict=True):
            self._reshaped(self.names[index], output.shape, output.name)

    def _model(
        self, outputs: tuple[Output, ...], *, name: str, input_shape: tuple[int, ...]
    ) -> onnx.ModelProto:
        def value(value_name: str, shape: tuple[int, ...]) -> onnx.ValueInfoProto:
            return helper.make_tensor_value_info(value_name, TensorProto.FLOAT, ["batch", *shape])

        graph = helper.make_graph(
            self.onnx.nodes,
            name,
            [value(INPUT_NAME, input_shape[1:])],
            [value(output.name, output.shape) for output in outputs],
            list(self.onnx.initializers.values()),
        )
        model = helper.make_model(
            graph,
            producer_name="convert_mediapipe_models",
            doc_string=f"{name}.tflite of MediaPipe (Google, Apache-2.0), converted",
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
        )
        onnx.checker.check_model(model, full_check=True)
        return model


def update_checksums(folder: Path, names: list[str]) -> None:
    """Rewrite the lines of ``names`` in SHA256SUMS (the format of sha256sum), keeping the others."""
    path = folder / "SHA256SUMS"
    lines = path.read_text().splitlines() if path.exists() else []
    sums = {name: checksum for checksum, name in (line.split(maxsplit=1) for line in lines)}
    for name in names:
        sums[name] = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    path.write_text("".join(f"{sums[name]}  {name}\n" for name in sorted(sums)))


def convert_wheel(wheel: Path, folder: Path) -> None:
    """Write every network of a mediapipe wheel to ``folder`` and its checksum beside it."""
    with zipfile.ZipFile(wheel) as archive:
        for name, (module, outputs) in MODELS.items():
            content = archive.read(f"mediapipe/modules/{module}/{name}.tflite")
            model = Converter(TfliteGraph.read(content)).convert(outputs, name=name)
            path = folder / f"{name}.onnx"
            path.write_bytes(model.SerializeToString(deterministic=True))
            print(f"{path.name}: {path.stat().st_size / 1e6:.2f} MB")
    update_checksums(folder, [f"{name}.onnx" for name in MODELS])


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("wheel", type=Path, help="a mediapipe 0.10.21 wheel")
    parser.add_argument("--output", type=Path, default=MODELS_FOLDER, help="folder to write to")
    arguments = parser.parse_args()
    convert_wheel(arguments.wheel, arguments.output)


if __name__ == "__main__":
    main()
