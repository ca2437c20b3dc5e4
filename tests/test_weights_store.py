"""Bringing the official files in: from whatever they come in, wholly or not at all."""

import io
import json
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scipy")  # the stand-in MANO file holds a sparse matrix
pytest.importorskip("safetensors")

from official_files import OfficialFiles  # noqa: E402
from potter_files import seeded_weights, shapes_of, write_checkpoint  # noqa: E402

from tracker.errors import TrackerError, WeightsError  # noqa: E402
from tracker.mano_numpy import load_mano  # noqa: E402
from tracker.networks.conversion import JOINT_ERROR, answer, in_float16, sha256  # noqa: E402
from tracker.networks.converted_file import read_converted, read_facts  # noqa: E402
from tracker.networks.hamer import load_hamer, network_of, seeded_crops  # noqa: E402
from tracker.networks.mano_file import read_mano  # noqa: E402
from tracker.networks.potter import Potter, load_potter  # noqa: E402
from tracker.networks.weights import from_official, read_official  # noqa: E402
from tracker.weights_store import (  # noqa: E402
    default_folder,
    describe,
    find_potter,
    find_weights,
    import_weights,
)

PROJECT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def imported(hamer_files: OfficialFiles, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("imported") / "weights"
    import_weights(hamer_files.checkpoint.parent, folder, say=print)
    yield folder
    for path in folder.iterdir():
        path.unlink()


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def tar_of(path: Path, *members: tuple[str, Path]) -> Path:
    with tarfile.open(path, "w:gz", compresslevel=0) as archive:
        archive.addfile(tarfile.TarInfo("_DATA/hamer_ckpts/model_config.yaml"), io.BytesIO())
        for name, file in members:
            archive.add(file, name)
    return path


def zip_of(path: Path, *members: tuple[str, Path]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mano_v1_2/__init__.py", "")
        for name, file in members:
            archive.write(file, name)
    return path


# What comes out


def test_a_folder_with_both_becomes_two_files(hamer_files: OfficialFiles, imported: Path) -> None:
    assert names_in(imported) == {"hamer.safetensors", "mano_right.npz"}
    assert find_weights(imported) == (imported / "hamer.safetensors", imported / "mano_right.npz")


def test_the_converted_hand_is_the_official_one(hamer_files: OfficialFiles, imported: Path) -> None:
    stored, official = load_mano(imported / "mano_right.npz"), read_mano(hamer_files.mano)
    for name, array in vars(official).items():
        np.testing.assert_array_equal(getattr(stored, name), array)


def test_the_converted_network_is_the_official_one_in_float16(
    hamer_files: OfficialFiles, imported: Path
) -> None:
    stored = read_converted(imported / "hamer.safetensors", device=torch.device("cpu"))
    official = from_official(read_official(hamer_files.checkpoint))
    assert stored.keys() == official.keys()
    for name, tensor in stored.items():
        assert torch.equal(tensor, official[name].to(tensor.dtype)), name
    matrices = {name for name, tensor in stored.items() if tensor.dtype == torch.float16}
    assert "backbone.blocks.0.up.weight" in matrices
    assert not any("norm" in name or "readout" in name for name in matrices)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_the_converted_files_load(hamer_files: OfficialFiles, imported: Path, dtype: torch.dtype) -> None:
    crops = seeded_crops(1)
    with torch.inference_mode():
        converted = load_hamer(*find_weights(imported), dtype=dtype)(crops)
        official = load_hamer(hamer_files.checkpoint, hamer_files.mano)(crops)
    assert torch.linalg.norm(converted.joints_m - official.joints_m, dim=-1).max() < 0.5e-3


def test_the_header_says_where_the_weights_come_from(hamer_files: OfficialFiles, imported: Path) -> None:
    facts = read_facts(imported / "hamer.safetensors")
    assert facts["source_name"] == "hamer.ckpt"
    assert facts["source_sha256"] == sha256(hamer_files.checkpoint)
    assert facts["layers"] == "2"
    assert facts["torch"] == torch.__version__


def test_the_stored_joint_error_is_that_of_the_kept_answers(
    hamer_files: OfficialFiles, imported: Path
) -> None:
    facts = read_facts(imported / "hamer.safetensors")
    hamer = load_hamer(hamer_files.checkpoint, hamer_files.mano)
    kept = {name: torch.tensor(numbers) for name, numbers in json.loads(facts["answers"]).items()}
    exact, rounded = (hamer.decode(kept[name]).joints_m for name in ("float32", "float16"))
    with torch.inference_mode():
        torch.testing.assert_close(hamer(seeded_crops(2)).joints_m, exact, rtol=0, atol=1e-5)
    error_mm = 1000 * float(torch.linalg.norm(exact - rounded, dim=-1).max())
    assert float(facts[JOINT_ERROR]) == pytest.approx(error_mm, abs=1e-3)
    assert 0 < error_mm < 0.5


def test_rounded_products_cost_about_what_float16_costs(hamer_files: OfficialFiles) -> None:
    state = from_official(read_official(hamer_files.checkpoint))
    halved, crops = in_float16(state, source="it"), seeded_crops(1)
    exact, rounded = answer(state, crops), answer(halved, crops, round_products=True)
    with torch.inference_mode():
        really = network_of(halved, source="it", dtype=torch.float16)(crops)
    expected = float((really - exact).norm())
    assert float((rounded - exact).norm()) == pytest.approx(expected, rel=0.5)
    assert not torch.equal(rounded, exact)


def test_mano_that_comes_later_completes_the_measurement(
    hamer_files: OfficialFiles, imported: Path, tmp_path: Path
) -> None:
    import_weights(hamer_files.checkpoint, tmp_path, say=print)
    assert JOINT_ERROR not in read_facts(tmp_path / "hamer.safetensors")
    assert "not measured" in describe(tmp_path)
    import_weights(hamer_files.mano, tmp_path, say=print)
    assert read_facts(tmp_path / "hamer.safetensors") == read_facts(imported / "hamer.safetensors")


def test_potter_is_known_by_its_tensors_whatever_its_file_is_called(tmp_path: Path) -> None:
    state = seeded_weights(shapes_of(Potter()))
    source = write_checkpoint(tmp_path / "best_model.pth", state, prefix="module.")
    with pytest.raises(WeightsError, match=r"POTTER.*ego-exo4d-egopose"):
        find_potter(tmp_path / "to")
    assert import_weights(source, tmp_path / "to", say=print) == (tmp_path / "to" / "potter.pt",)
    assert names_in(tmp_path / "to") == {"potter.pt"}
    loaded = load_potter(find_potter(tmp_path / "to")).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in loaded.items())
    assert "potter.pt: the weights of" in describe(tmp_path / "to")


def test_half_a_potter_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    source = write_checkpoint(tmp_path / "half.pth", {"poolattnformer_pose.norm0.weight": torch.zeros(64)})
    with pytest.raises(WeightsError, match=r"does not hold POTTER.*lacks"):
        import_weights(source, tmp_path / "to", say=print)
    assert names_in(tmp_path / "to") == set()


# What goes in


@pytest.mark.parametrize("lead", ["", "_DATA/hamer_ckpts/checkpoints/", "./_DATA/x/", "/absolute/", "../../"])
def test_a_checkpoint_is_found_under_any_folders_of_a_tarball(tmp_path: Path, lead: str) -> None:
    small = tmp_path / "not_weights"
    small.write_text("no checkpoint")
    archive = tar_of(tmp_path / "a.tar.gz", (f"{lead}hamer.ckpt", small))
    before = names_in(tmp_path)
    with pytest.raises(WeightsError, match=r"hamer\.ckpt is no PyTorch checkpoint"):
        import_weights(archive, tmp_path / "to", say=print)
    assert names_in(tmp_path / "to") == set()
    assert names_in(tmp_path) == before | {"to"}


def test_a_tarball_of_the_network_is_imported(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    archive = tar_of(
        tmp_path / "hamer_demo_data.tar.gz",
        ("_DATA/hamer_ckpts/checkpoints/hamer.ckpt", hamer_files.checkpoint),
    )
    import_weights(archive, tmp_path / "to", say=print)
    assert names_in(tmp_path / "to") == {"hamer.safetensors"}


def test_a_link_in_a_tarball_is_no_file(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        link = tarfile.TarInfo("hamer.ckpt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    with pytest.raises(WeightsError, match="none of"):
        import_weights(tmp_path / "a.tar", tmp_path / "to", say=print)


def test_the_hand_comes_out_of_a_zip(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "mano_v1_2.zip", ("mano_v1_2/models/MANO_RIGHT.pkl", hamer_files.mano))
    said: list[str] = []
    assert import_weights(archive, tmp_path / "to", say=said.append) == (tmp_path / "to" / "mano_right.npz",)
    assert names_in(tmp_path / "to") == {"mano_right.npz"}
    assert any("unpacking MANO_RIGHT.pkl" in line for line in said)


def test_a_second_import_replaces_the_first(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    for _ in range(2):
        import_weights(hamer_files.mano, tmp_path, say=print)
    assert names_in(tmp_path) == {"mano_right.npz"}


# What is wrong


def test_an_archive_that_is_cut_short_leaves_nothing(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    tarball = tar_of(tmp_path / "a.tar.gz", ("hamer.ckpt", hamer_files.mano))
    zipped = zip_of(tmp_path / "b.zip", ("MANO_RIGHT.pkl", hamer_files.mano))
    for archive in (tarball, zipped):
        archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
        with pytest.raises(WeightsError, match=archive.name):
            import_weights(archive, tmp_path / "to", say=print)
        assert names_in(tmp_path / "to") == set()


def test_what_is_neither_says_what_is_wanted(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("nothing here")
    zipped = zip_of(tmp_path / "b.zip", ("MANO_LEFT.pkl", text))
    for source in (text, zipped, tmp_path):
        with pytest.raises(WeightsError, match=r"none of hamer\.ckpt, MANO_RIGHT\.pkl"):
            import_weights(source, tmp_path / "to", say=print)
    with pytest.raises(WeightsError, match="there is no"):
        import_weights(tmp_path / "nowhere", tmp_path / "to", say=print)


def test_a_failed_import_leaves_what_was_there(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    import_weights(hamer_files.mano, tmp_path, say=print)
    before = (tmp_path / "mano_right.npz").read_bytes()
    broken = tmp_path / "MANO_LEFT.pkl"
    broken.write_bytes(hamer_files.mano.read_bytes())
    with pytest.raises(WeightsError, match="left hand"):
        import_weights(broken, tmp_path, say=print)
    assert (tmp_path / "mano_right.npz").read_bytes() == before
    assert names_in(tmp_path) == {"mano_right.npz", "MANO_LEFT.pkl"}


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits")
def test_a_full_disk_is_an_error_that_leaves_nothing(hamer_files: OfficialFiles, tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from tracker.errors import TrackerError
from tracker.weights_store import import_weights
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for source in sys.argv[2:]:
    try:
        import_weights(Path(source), Path(sys.argv[1]), say=print)
    except TrackerError as error:
        print("refused:", error)
"""
    zipped = zip_of(tmp_path / "b.zip", ("MANO_RIGHT.pkl", hamer_files.mano))
    arguments = [str(tmp_path / "to"), str(hamer_files.checkpoint), str(hamer_files.mano), str(zipped)]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout.count("refused:") == 3, done.stdout
    assert names_in(tmp_path / "to") == set()


def test_a_damaged_converted_file_is_refused(imported: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    checkpoint, mano = find_weights(imported)
    cut = tmp_path / "hamer.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="damaged"):
        load_hamer(cut, mano)
    (tmp_path / "mano_right.npz").touch()
    assert "damaged" in describe(tmp_path)
    save_file({"x": torch.zeros(3)}, cut)
    with pytest.raises(WeightsError, match="was not made by this version"):
        load_hamer(cut, mano)


def test_weights_too_large_for_float16_are_named(hamer_files: OfficialFiles) -> None:
    state = from_official(read_official(hamer_files.checkpoint))
    state["backbone.blocks.1.up.weight"] = state["backbone.blocks.1.up.weight"] * 1e7
    with pytest.raises(WeightsError, match=r"backbone\.blocks\.1\.up\.weight"):
        in_float16(state, source="hamer.ckpt")


# What a person is told


def test_a_file_that_is_given_need_not_be_in_the_folder(tmp_path: Path) -> None:
    given = tmp_path / "given"
    assert find_weights(tmp_path, checkpoint=given, mano=given) == (given, given)
    with pytest.raises(WeightsError, match="lacks MANO_RIGHT") as caught:
        find_weights(tmp_path, checkpoint=given)
    assert "hamer.ckpt" not in str(caught.value)


def test_an_empty_folder_says_where_to_get_everything(tmp_path: Path) -> None:
    with pytest.raises(WeightsError) as caught:
        find_weights(tmp_path)
    for text in (describe(tmp_path), str(caught.value)):
        for words in ("hamer.ckpt", "MANO_RIGHT.pkl", "https://mano.is.tue.mpg.de", "hamer_demo_data.tar.gz"):
            assert words in text
    assert "non-commercial" in describe(tmp_path)


def test_a_full_folder_says_what_is_there(imported: Path) -> None:
    text = describe(imported)
    assert "2 layers" in text
    assert f"{read_facts(imported / 'hamer.safetensors')[JOINT_ERROR]} mm" in text
    assert [line.split(":")[0].strip() for line in text.splitlines() if "missing" in line] == ["potter.pt"]


def test_the_folder_is_below_the_given_home_or_the_platform_cache(tmp_path: Path) -> None:
    assert default_folder(tmp_path) == tmp_path / "weights"
    assert default_folder().name == "weights"


def test_telling_what_is_there_needs_no_torch(tmp_path: Path) -> None:
    code = f"""
import sys
from pathlib import Path
from tracker.weights_store import describe, import_weights
print(describe(Path({str(tmp_path)!r})))
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=True, capture_output=True)


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    for source in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(TrackerError) as caught:
            import_weights(source, tmp_path / "to", say=print)
        assert "\n" not in str(caught.value)
