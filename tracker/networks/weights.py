"""HaMeR's weights by our modules' names, from the official checkpoint or from our own file.

The official checkpoint names and shapes its tensors as ``official_shapes`` says; ``from_official`` is the
only place that knows both those names and ours.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from tracker.errors import WeightsError
from tracker.mano_numpy import NUM_BETAS, NUM_MANO_JOINTS
from tracker.networks.checkpoint_file import read_state_dict
from tracker.networks.converted_file import is_converted, read_converted
from tracker.networks.vit import NUM_TOKENS, PATCH_PX, VitConfig

READ_MODULES = ("backbone", "mano_head")
"""First parts of the names that inference reads. What else the file carries (``mano``, ``discriminator``,
``initialized`` and whatever training left) is ignored by that name."""
KNOWN_DEPTHS = (32, 2)
"""Layers of the backbone: the published network, and the small stand-in of the tests."""
HEAD_DEPTH, HEAD_WIDTH, HEAD_INNER = 6, 1024, 512

Shapes = Mapping[str, tuple[int, ...]]
_NAMES_SHOWN = 4


def read_weights(path: Path, *, device: torch.device) -> dict[str, Tensor]:
    """The network's tensors by our modules' names.

    Tensors of the official file and of ours on the CPU read the disk when they are used.

    Raises:
        TrackerError: the file is missing, damaged, hostile, or does not hold HaMeR.
    """
    return read_converted(path, device=device) if is_converted(path) else from_official(read_official(path))


def read_official(path: Path) -> dict[str, Tensor]:
    """The tensors of the official checkpoint that inference needs, all there and of the right shapes.

    Raises:
        WeightsError: the file is missing, damaged, hostile, or does not hold HaMeR.
    """
    state = {
        name: tensor for name, tensor in read_state_dict(path).items() if name.split(".")[0] in READ_MODULES
    }
    vit = VitConfig(depth=depth_of(state, str(path)))
    check_shapes(state, official_shapes(vit), str(path))
    return {name: tensor.float() for name, tensor in state.items()}


def depth_of(names: Iterable[str], source: str) -> int:
    """How many layers of the backbone the tensors' names count, official or ours.

    Raises:
        WeightsError: not as many as HaMeR has.
    """
    prefix = "backbone.blocks."
    layers = {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}
    depth = 1 + max((int(layer) for layer in layers if layer.isdecimal()), default=-1)
    if depth not in KNOWN_DEPTHS:
        raise WeightsError(
            f"{source} holds a backbone of {depth} layers; HaMeR's has {KNOWN_DEPTHS[0]}. Get hamer.ckpt "
            "from its official place"
        )
    return depth


def check_shapes(found: Mapping[str, Tensor], wanted: Shapes, source: str, *, network: str = "HaMeR") -> None:
    """Compare names and shapes with those of a network.

    Raises:
        WeightsError: tensors are missing, unknown or of another shape; names them.
    """
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    missing = sorted(wanted.keys() - shapes.keys())
    unknown = sorted(shapes.keys() - wanted.keys())
    reshaped = [
        f"{name} is {shapes[name]} instead of {shape}"
        for name, shape in wanted.items()
        if name in shapes and shapes[name] != shape
    ]
    faults = [
        f"{what} {', '.join(names[:_NAMES_SHOWN])}"
        + (f" and {len(names) - _NAMES_SHOWN} more" if more else "")
        for what, names in (("lacks", missing), ("has unknown", unknown), ("has misshapen:", reshaped))
        if names
        for more in [len(names) > _NAMES_SHOWN]
    ]
    if faults:
        raise WeightsError(f"{source} does not hold {network}: it {'; it '.join(faults)}")


def official_shapes(vit: VitConfig) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the official checkpoint's tensors that inference needs."""
    width, hidden = vit.width, vit.width * vit.mlp_ratio
    shapes: dict[str, tuple[int, ...]] = {
        "backbone.pos_embed": (1, NUM_TOKENS + 1, width),
        **_layer("backbone.patch_embed.proj", (width, 3, PATCH_PX, PATCH_PX)),
        **_layer("backbone.last_norm", (width,)),
    }
    for index in range(vit.depth):
        block = f"backbone.blocks.{index}"
        shapes |= _layer(f"{block}.norm1", (width,)) | _layer(f"{block}.norm2", (width,))
        shapes |= _layer(f"{block}.attn.qkv", (3 * width, width)) | _layer(
            f"{block}.attn.proj", (width, width)
        )
        shapes |= _layer(f"{block}.mlp.fc1", (hidden, width)) | _layer(f"{block}.mlp.fc2", (width, hidden))
    return shapes | _official_head_shapes(width)


def _official_head_shapes(context_width: int) -> dict[str, tuple[int, ...]]:
    width, inner = HEAD_WIDTH, HEAD_INNER
    shapes: dict[str, tuple[int, ...]] = {
        "mano_head.transformer.pos_embedding": (1, 1, width),
        **_layer("mano_head.transformer.to_token_embedding", (width, 1)),
    }
    for index in range(HEAD_DEPTH):
        layer = f"mano_head.transformer.transformer.layers.{index}"
        shapes |= {
            f"{layer}.0.fn.to_qkv.weight": (3 * inner, width),
            f"{layer}.1.fn.to_kv.weight": (2 * inner, context_width),
            f"{layer}.1.fn.to_q.weight": (inner, width),
        }
        for part in range(3):
            shapes |= _layer(f"{layer}.{part}.norm", (width,))
        for part in range(2):
            shapes |= _layer(f"{layer}.{part}.fn.to_out.0", (width, inner))
        for part in (0, 3):
            shapes |= _layer(f"{layer}.2.fn.net.{part}", (width, width))
    for last_map, mean, size in (
        ("decpose", "init_hand_pose", 6 * NUM_MANO_JOINTS),
        ("decshape", "init_betas", NUM_BETAS),
        ("deccam", "init_cam", 3),
    ):
        shapes |= _layer(f"mano_head.{last_map}", (size, width)) | {f"mano_head.{mean}": (1, size)}
    return shapes


def _layer(name: str, weight: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": weight, f"{name}.bias": weight[:1]}


_BLOCK_NAMES = {
    "norm1": "attention_norm",
    "attn.qkv": "qkv",
    "attn.proj": "out",
    "norm2": "mlp_norm",
    "mlp.fc1": "up",
    "mlp.fc2": "down",
}
_HEAD_NAMES = {
    "0.norm": "self_norm",
    "1.norm": "cross_norm",
    "1.fn.to_q": "cross_query",
    "1.fn.to_out.0": "cross_out",
    "2.norm": "mlp_norm",
    "2.fn.net.0": "up",
    "2.fn.net.3": "down",
}


def from_official(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Our modules' tensors from the official ones, all float32.

    Four merges, exact but for the last digit: the class token's position goes into all others; the query
    token and its position are one constant; attention of one token to itself is the product of value and
    output map; and the three last maps, with the mean hand in their bias, are one.
    """
    state = {
        "backbone.patch.weight": official["backbone.patch_embed.proj.weight"].flatten(1),
        "backbone.patch.bias": official["backbone.patch_embed.proj.bias"],
        "backbone.positions": (official["backbone.pos_embed"][:, 1:] + official["backbone.pos_embed"][:, :1])[
            0
        ],
    }
    for name, tensor in official.items():
        module, _, kind = name.rpartition(".")
        if module == "backbone.last_norm":
            state[f"backbone.norm.{kind}"] = tensor
        elif module.startswith("backbone.blocks."):
            index, _, part = module.removeprefix("backbone.blocks.").partition(".")
            state[f"backbone.blocks.{index}.{_BLOCK_NAMES[part]}.{kind}"] = tensor
        elif module.startswith("mano_head.transformer.transformer.layers."):
            index, _, part = module.removeprefix("mano_head.transformer.transformer.layers.").partition(".")
            if part in _HEAD_NAMES:
                state[f"head.layers.{index}.{_HEAD_NAMES[part]}.{kind}"] = tensor
    return state | _merged_head(official)


def _merged_head(official: Mapping[str, Tensor]) -> dict[str, Tensor]:
    head = {name.removeprefix("mano_head."): tensor for name, tensor in official.items()}
    layers = [f"transformer.transformer.layers.{index}" for index in range(HEAD_DEPTH)]
    merged = {
        # The decoder's input token is zero, so of its embedding only the bias is left.
        "head.start": head["transformer.to_token_embedding.bias"] + head["transformer.pos_embedding"][0, 0],
        "head.keys_values.weight": torch.cat([head[f"{layer}.1.fn.to_kv.weight"] for layer in layers]),
        "head.readout.weight": torch.cat(
            [head[f"{part}.weight"] for part in ("decpose", "decshape", "deccam")]
        ),
        "head.readout.bias": torch.cat(
            [
                head["decpose.bias"] + head["init_hand_pose"][0],
                head["decshape.bias"] + head["init_betas"][0],
                head["deccam.bias"] + head["init_cam"][0],
            ]
        ),
    }
    for index, layer in enumerate(layers):
        value = head[f"{layer}.0.fn.to_qkv.weight"][2 * HEAD_INNER :]
        merged[f"head.layers.{index}.self_attention.weight"] = head[f"{layer}.0.fn.to_out.0.weight"] @ value
        merged[f"head.layers.{index}.self_attention.bias"] = head[f"{layer}.0.fn.to_out.0.bias"]
    return merged
