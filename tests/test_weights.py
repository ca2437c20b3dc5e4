"""Reading the official files: what is right is read exactly, what is wrong is named and never run."""

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")  # the stand-in MANO file holds a sparse matrix

from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402
from official_files import SEED, OfficialFiles, fixture_module  # noqa: E402
from standin_mano import mano_arrays  # noqa: E402

from tracker.errors import TrackerError, WeightsError  # noqa: E402
from tracker.networks.checkpoint_file import read_state_dict  # noqa: E402
from tracker.networks.hamer import load_hamer  # noqa: E402
from tracker.networks.mano_file import read_mano, read_mano_arrays  # noqa: E402
from tracker.networks.vit import VitConfig  # noqa: E402
from tracker.networks.weights import from_official, official_shapes, read_official  # noqa: E402
from tracker.research.ground_truth.files import read_arrays  # noqa: E402

State = dict[str, torch.Tensor]


def save(path: Path, state: object, **extra: object) -> Path:
    torch.save({"epoch": 0, "state_dict": state, **extra}, path)
    return path


def small_state() -> State:
    """Tensors of a few kinds, one of them a view into another's numbers."""
    whole = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    return OrderedDict(
        whole=whole,
        part=whole[1:, ::2],
        turned=whole.T,
        half=torch.tensor([1.5, -2.0], dtype=torch.float16),
        count=torch.tensor(3),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )


def zeros_of_official_shapes(vit: VitConfig) -> State:
    """One zero seen as every tensor, so that no memory is taken."""
    zero = torch.zeros(1)
    return {name: zero.expand(shape) for name, shape in official_shapes(vit).items()}


# What is right


def test_the_tensors_of_a_checkpoint_come_back(tmp_path: Path) -> None:
    state = small_state()
    found = read_state_dict(save(tmp_path / "a.ckpt", state))
    assert list(found) == list(state)
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("config", ["yacs", "omegaconf", None])
def test_configurations_in_the_checkpoint_are_passed_over(
    shared: Path, tmp_path: Path, config: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = fixture_module(shared)
    monkeypatch.setattr(script, "hamer_shapes", lambda **_: [("backbone.some.weight", (3, 4))])
    wrote = script.write_checkpoint(tmp_path / "a.ckpt", SEED, config=config)
    found = read_state_dict(tmp_path / "a.ckpt")
    assert found.keys() == wrote.keys()
    assert torch.equal(found["backbone.some.weight"], wrote["backbone.some.weight"])


def test_modules_that_inference_does_not_need_are_ignored_by_name(hamer_files: OfficialFiles) -> None:
    names = read_state_dict(hamer_files.checkpoint).keys()
    ignored = {"mano.v_template", "mano.joint_map", "discriminator.fc.weight", "initialized"}
    assert ignored < names
    assert read_official(hamer_files.checkpoint).keys() == names - ignored


def test_the_listed_shapes_are_those_of_the_reference(hamer_files: OfficialFiles) -> None:
    assert official_shapes(VitConfig()) == dict(hamer_files.script.hamer_shapes())


def test_every_official_tensor_reaches_ours(hamer_files: OfficialFiles) -> None:
    official = read_official(hamer_files.checkpoint)
    before = from_official(official)
    unused = {
        # the embedding of an input that is always zero
        "mano_head.transformer.to_token_embedding.weight",
    }
    later_layers = tuple(f"layers.{index}." for index in range(1, 6))
    for name in official.keys() - unused:
        if "blocks.1." in name or any(layer in name for layer in later_layers):
            continue  # as those of the first
        changed = from_official(official | {name: official[name] + 1})
        assert any(not torch.equal(changed[ours], before[ours]) for ours in changed), name


def test_the_arrays_of_the_official_mano_pickle_come_back(hamer_files: OfficialFiles) -> None:
    found = read_mano_arrays(hamer_files.mano)
    for name, array in found.items():
        expected = hamer_files.mano_arrays[name]
        expected = expected.toarray() if hasattr(expected, "toarray") else expected
        np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("layout", ["csc", "csr"])
def test_mano_is_read_however_it_was_pickled(tmp_path: Path, protocol: int, layout: str) -> None:
    import scipy.sparse

    arrays = right_handed()
    sparse = getattr(scipy.sparse, f"{layout}_matrix")(arrays["J_regressor"])
    plain = arrays | {"posedirs": np.asfortranarray(arrays["posedirs"]), "bs_style": "lbs"}
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(plain | {"J_regressor": sparse}, protocol))
    for name, array in read_mano_arrays(path).items():
        np.testing.assert_array_equal(array, arrays[name])


# What must not run


class RunsSomething:
    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self.call


def hostile_objects(marker: Path) -> dict[str, object]:
    command = f"touch {marker}"
    return {
        "system": RunsSomething(os.system, command),
        "eval": RunsSomething(eval, f"open({str(marker)!r}, 'w')"),
        "open": RunsSomething(open, str(marker), "w"),
        "load": RunsSomething(torch.load, str(marker)),
        "getattr": RunsSomething(getattr, "", "upper"),
    }


@pytest.mark.parametrize("wanted", ["system", "eval", "open", "load", "getattr"])
@pytest.mark.parametrize("kind", ["checkpoint", "state", "mano"])
def test_a_hostile_file_runs_nothing_and_is_named(tmp_path: Path, wanted: str, kind: str) -> None:
    marker, path = tmp_path / "it_ran", tmp_path / "file"
    hostile = hostile_objects(marker)[wanted]
    with pytest.raises(TrackerError, match=rf"\.{wanted}.*refused"):
        if kind == "mano":
            path.write_bytes(pickle.dumps({"v_template": hostile}, protocol=2))
            read_mano(path)
        else:
            state = {"backbone.x": hostile} if kind == "state" else small_state()
            read_state_dict(save(path, state, hyper_parameters=hostile))
    assert not marker.exists()


def test_names_hidden_behind_harmless_modules_are_refused(tmp_path: Path) -> None:
    for module, name in (("torch.storage", "_load_from_bytes"), ("numpy.testing", "runstring")):
        path = tmp_path / "m.pkl"
        path.write_bytes(f"c{module}\n{name}\n(S'1'\ntR.".encode())
        with pytest.raises(WeightsError, match=f"{module}.{name}"):
            read_mano(path)


def test_a_program_of_torchscript_is_not_run(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.ckpt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02c__torch__\nModel\nq\x00)\x81.")
        archive.writestr("a/constants.pkl", b"\x80\x02).")
        archive.writestr("a/code/__torch__.py", "class Model(Module):\n  pass\n")
    with pytest.raises(WeightsError, match=r"__torch__"):
        read_state_dict(tmp_path / "a.ckpt")


# What is wrong


def load_state(tmp_path: Path, state: State) -> None:
    read_official(save(tmp_path / "hamer.ckpt", state))


def test_missing_renamed_and_misshapen_tensors_are_named(tmp_path: Path) -> None:
    state = zeros_of_official_shapes(VitConfig(depth=2))
    del state["mano_head.deccam.bias"]
    state["backbone.blocks.1.attn.query"] = state.pop("backbone.blocks.1.attn.qkv.weight")
    state["backbone.last_norm.weight"] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        load_state(tmp_path, state)
    message = str(caught.value)
    assert "lacks backbone.blocks.1.attn.qkv.weight, mano_head.deccam.bias" in message
    assert "unknown backbone.blocks.1.attn.query" in message
    assert "backbone.last_norm.weight is (7,) instead of (1280,)" in message


@pytest.mark.parametrize("depth", [1, 12, 31, 33])
def test_a_backbone_of_another_depth_is_refused(tmp_path: Path, depth: int) -> None:
    with pytest.raises(WeightsError, match=f"{depth} layers"):
        load_state(tmp_path, zeros_of_official_shapes(VitConfig(depth=depth)))


def test_a_backbone_of_another_width_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"768.* instead of .*1280"):
        load_state(tmp_path, zeros_of_official_shapes(VitConfig(depth=2, width=768)))


def test_a_layer_that_is_missing_in_between_is_named(tmp_path: Path) -> None:
    state = zeros_of_official_shapes(VitConfig(depth=32))
    gone = {name for name in state if name.startswith("backbone.blocks.5.")}
    with pytest.raises(WeightsError, match=r"lacks backbone\.blocks\.5\."):
        load_state(tmp_path, {name: tensor for name, tensor in state.items() if name not in gone})


def write_text(path: Path) -> None:
    path.write_text("These are not the weights you are looking for.\n")


def write_nothing(path: Path) -> None:
    path.touch()


def write_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "nothing")


def write_list(path: Path) -> None:
    torch.save([1, 2, 3], path)


def write_numbers_as_state(path: Path) -> None:
    save(path, {"backbone.x": 3})


@pytest.mark.parametrize("write", [write_text, write_nothing, write_zip, write_list, write_numbers_as_state])
def test_other_files_are_refused_as_checkpoints_and_as_mano(
    hamer_files: OfficialFiles, tmp_path: Path, write: Callable[[Path], None]
) -> None:
    path = tmp_path / "file"
    write(path)
    with pytest.raises(TrackerError, match=str(path)):
        load_hamer(path, hamer_files.mano)
    with pytest.raises(TrackerError, match=str(path)):
        load_hamer(hamer_files.checkpoint, path)


@pytest.mark.parametrize("name", ["checkpoint", "mano"])
def test_a_missing_file_is_named(hamer_files: OfficialFiles, tmp_path: Path, name: str) -> None:
    paths = {"checkpoint": hamer_files.checkpoint, "mano": hamer_files.mano, name: tmp_path / "nowhere"}
    with pytest.raises(TrackerError, match="nowhere"):
        load_hamer(**paths)


@pytest.mark.parametrize("kept", [0.01, 0.5, 0.999])
def test_a_file_that_is_cut_short_is_refused(hamer_files: OfficialFiles, tmp_path: Path, kept: float) -> None:
    for whole, read in ((hamer_files.checkpoint, read_official), (hamer_files.mano, read_mano)):
        cut = tmp_path / whole.name
        cut.write_bytes(whole.read_bytes()[: int(kept * whole.stat().st_size)])
        with pytest.raises(WeightsError, match=whole.name):
            read(cut)


def right_handed() -> dict[str, np.ndarray]:
    """The stand-in hand with its axes where MANO has them: fingers toward -x, palm toward -y."""
    arrays = mano_arrays()
    x, y, z = np.moveaxis(arrays["v_template"], -1, 0)
    return arrays | {"v_template": np.stack([z, y, -x], axis=-1)}


def test_the_left_hand_is_told_from_the_right_one(tmp_path: Path) -> None:
    right = right_handed()
    left = right | {"v_template": right["v_template"] * (-1, 1, 1), "f": right["f"][:, ::-1]}
    path = tmp_path / "MANO.pkl"
    path.write_bytes(pickle.dumps(right, protocol=2))
    np.testing.assert_array_equal(read_mano(path).template_m, right["v_template"])
    path.write_bytes(pickle.dumps(left, protocol=2))
    with pytest.raises(WeightsError, match=r"left hand.*MANO_RIGHT\.pkl"):
        read_mano(path)


def test_a_file_by_the_name_of_the_left_hand_is_refused(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    path = tmp_path / "MANO_LEFT.pkl"
    path.write_bytes(hamer_files.mano.read_bytes())
    with pytest.raises(WeightsError, match="left hand"):
        read_mano(path)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("shapedirs", np.zeros((778, 3, 9)), "shapedirs"),
        ("weights", np.full((778, 16), np.nan), "finite"),
        ("kintree_table", np.zeros((2, 16), np.uint32), "skeleton"),
        ("f", np.full((1538, 3), 778, np.uint32), "faces"),
        ("v_template", np.full((778, 3), "x", dtype=object), "type of number"),
    ],
)
def test_arrays_that_are_no_hand_are_named(tmp_path: Path, name: str, value: np.ndarray, said: str) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps(mano_arrays() | {name: value}, protocol=2))
    with pytest.raises(WeightsError, match=said):
        read_mano(path)


def test_a_pickle_without_a_hand_says_what_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(pickle.dumps({"v_template": np.zeros((778, 3))}))
    with pytest.raises(WeightsError, match="lacks shapedirs"):
        read_mano(path)


def pickled_state() -> bytes:
    buffer = io.BytesIO()
    torch.save({"state_dict": small_state()}, buffer)
    with zipfile.ZipFile(buffer) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith("data.pkl")))


STATE_PICKLE = pickled_state()
MANO_PICKLE = pickle.dumps(
    {"v_template": np.zeros((2, 3)), "bs_style": "lbs", "n": np.float64(3)}, protocol=2
)


def damaged_bytes(whole: bytes) -> st.SearchStrategy[bytes]:
    places = st.lists(st.tuples(st.integers(0, len(whole) - 1), st.integers(0, 255)), min_size=1, max_size=4)

    def damage(changes: list[tuple[int, int]]) -> bytes:
        changed = bytearray(whole)
        for place, value in changes:
            changed[place] = value
        return bytes(changed)

    return places.map(damage)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_bytes(STATE_PICKLE))
def test_a_damaged_checkpoint_is_read_or_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.ckpt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", content)
        for key in range(6):
            archive.writestr(f"a/data/{key}", bytes(96))
    try:
        for tensor in read_state_dict(path).values():
            tensor.sum()
    except TrackerError as error:
        assert str(path) in str(error) or "tensor" in str(error)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damaged_bytes(MANO_PICKLE))
def test_a_damaged_mano_pickle_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(content)
    with pytest.raises(TrackerError):
        read_mano_arrays(path)


def unpackable(archive: bytes, damage: str) -> bytes:
    """A packed archive of one file whose bytes are no deflate stream, are packed unknown, or are locked."""
    changed, listed = bytearray(archive), archive.index(b"PK\x01\x02")
    if damage == "bytes":
        start = 30 + len(changed[30:listed]) // 3
        changed[start : start + 40] = b"\xff" * 40
    elif damage == "method":
        changed[8] = changed[listed + 10] = 99
    else:
        changed[6], changed[listed + 8] = 1, 1
    return bytes(changed)


@pytest.mark.parametrize("damage", ["bytes", "method", "lock"])
def test_an_archive_that_cannot_be_unpacked_is_one_line(tmp_path: Path, damage: str) -> None:
    weights, arrays = tmp_path / "a.ckpt", tmp_path / "a.npz"
    with zipfile.ZipFile(weights, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data.pkl", STATE_PICKLE)
    np.savez_compressed(arrays, uv=np.random.default_rng(0).normal(size=(40, 40)))
    for path, read in ((weights, read_state_dict), (arrays, lambda path: read_arrays(path, "uv"))):
        path.write_bytes(unpackable(path.read_bytes(), damage))
        with pytest.raises(TrackerError, match=path.name):
            read(path)
