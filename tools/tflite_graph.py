"""Read a TFLite file as a list of operators and a table of constants, for ``convert_mediapipe_models.py``."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tflite

OPERATOR_NAMES = {code: name for name, code in vars(tflite.BuiltinOperator).items() if isinstance(code, int)}


@dataclass
class TfliteGraph:
    """The one subgraph of a TFLite file, its tensors and constants known by index."""

    model: Any
    constants: dict[int, np.ndarray] = field(default_factory=dict)
    """Arrays by tensor index, in the type they are stored in (float16 or an integer)."""

    @classmethod
    def read(cls, content: bytes) -> "TfliteGraph":
        """Parse a .tflite file and collect its constants."""
        graph = cls(tflite.Model.GetRootAs(content, 0))
        numpy_types = {
            tflite.TensorType.FLOAT16: np.float16,
            tflite.TensorType.FLOAT32: np.float32,
            tflite.TensorType.INT32: np.int32,
        }
        for index in range(graph.subgraph.TensorsLength()):
            tensor = graph.subgraph.Tensors(index)
            buffer = graph.model.Buffers(tensor.Buffer())
            if buffer.DataLength() > 0:
                values = buffer.DataAsNumpy().view(numpy_types[tensor.Type()])
                graph.constants[index] = values.reshape(graph.shape(index))
        return graph

    @property
    def subgraph(self) -> Any:
        """The first subgraph; the hand networks have no other."""
        return self.model.Subgraphs(0)

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a tensor as TFLite stores it, batch 1."""
        tensor = self.subgraph.Tensors(index)
        return tuple(int(n) for n in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else ()

    def operators(self) -> "list[Operator]":
        """Every operator in the order of execution."""
        return [Operator.read(self, index) for index in range(self.subgraph.OperatorsLength())]


@dataclass(frozen=True)
class Operator:
    """One TFLite operator: its name, the tensors it reads and writes, its options."""

    name: str
    inputs: tuple[int, ...]
    output: int
    options: Any

    @classmethod
    def read(cls, graph: TfliteGraph, index: int) -> "Operator":
        """Read operator ``index``; options of a kind we do not use are None."""
        operator = graph.subgraph.Operators(index)
        code = graph.model.OperatorCodes(operator.OpcodeIndex())
        name = OPERATOR_NAMES[max(code.BuiltinCode(), code.DeprecatedBuiltinCode())]
        options_type = {
            "CONV_2D": tflite.Conv2DOptions,
            "DEPTHWISE_CONV_2D": tflite.DepthwiseConv2DOptions,
            "ADD": tflite.AddOptions,
            "MAX_POOL_2D": tflite.Pool2DOptions,
            "RESIZE_BILINEAR": tflite.ResizeBilinearOptions,
            "CONCATENATION": tflite.ConcatenationOptions,
            "MEAN": tflite.ReducerOptions,
            "FULLY_CONNECTED": tflite.FullyConnectedOptions,
        }.get(name)
        options = None
        if options_type is not None:
            options = options_type()
            options.Init(operator.BuiltinOptions().Bytes, operator.BuiltinOptions().Pos)
        inputs = tuple(int(i) for i in operator.InputsAsNumpy())
        return cls(name, inputs, int(operator.Outputs(0)), options)
