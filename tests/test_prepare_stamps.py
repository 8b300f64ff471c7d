"""Rebuilding AVS-Stamps from a package: the reader, the pictures, the recordings, the command."""

import importlib
import io
import os
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import soundfile

from projects.cpm_avs.datasets.prepare import stamps as prepare

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def command():
    return importlib.import_module("projects.cpm_avs.commands.prepare_data").main


def png(image: np.ndarray) -> bytes:
    return cv2.imencode(".png", image)[1].tobytes()


def ogg(samples: np.ndarray, rate: int = 44100) -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, samples, rate, format="OGG", subtype="VORBIS")
    return stream.getvalue()


def write_deb(path: Path, files: dict[str, bytes]) -> Path:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:xz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo("./usr/share/tuxpaint/stamps/" + name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with path.open("wb") as file:
        file.write(b"!<arch>\n")
        members = (
            ("debian-binary", b"2.0"),
            ("control.tar.xz", b"x"),
            ("data.tar.xz", data.getvalue()),
        )
        for name, content in members:
            file.write(f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(content):<10}`\n".encode())
            file.write(content + b"\n" * (len(content) % 2))
    return path


@pytest.fixture
def files(monkeypatch):
    monkeypatch.setattr(prepare, "SOURCES", {"dog": "animals/dog", "saw": "tools/saw"})
    rng = np.random.default_rng(0)
    image = np.zeros((600, 400, 4), np.uint8)
    image[100:500, 50:250] = (10, 20, 30, 255)
    return {
        "animals/dog.png": png(image),
        "animals/dog.ogg": ogg(rng.standard_normal(44100) * 0.1),
        "tools/saw.png": png(image[:100, :100] + 255),
        "tools/saw.ogg": ogg(rng.standard_normal(44100) * 0.1),
        "tools/saw_desc.ogg": b"speech",
    }


def test_rebuilding_gives_identical_files(tmp_path, files, command, capsys):
    deb = write_deb(tmp_path / "stamps.deb", files)
    contents = []
    for name in ("one", "two"):
        out = tmp_path / name
        assert command(["stamps", "--deb", str(deb), "--out", str(out)]) == 0
        written = sorted(path for path in out.rglob("*") if path.is_file())
        contents.append({str(path.relative_to(out)): path.read_bytes() for path in written})
    assert contents[0] == contents[1] and len(contents[0]) == 5
    assert "2 classes" in capsys.readouterr().out
    index = contents[0]["index.csv"].decode().splitlines()
    assert index[1] == "photo,dog,,cutouts/dog.png,,animals/dog.png,GPL-2"


def test_cutout_is_cropped_and_scaled_with_clean_edges(files):
    image = prepare.make_cutout(files["animals/dog.png"])
    assert image.shape == (256, 128, 4)  # 400 x 200 px without the margin
    assert np.all(image == (10, 20, 30, 255))
    soft = np.zeros((300, 300, 4), np.uint8)
    soft[:, 1:] = (200, 100, 50, 255)
    soft[:, 0] = (0, 0, 0, 9)  # nearly transparent black must not darken the edge
    edge = prepare.make_cutout(png(soft))[100, 0]  # a sixth of it is opaque
    assert 30 < edge[3] < 60 and np.all(edge[:3] > 0.8 * np.array([200, 100, 50]))


def test_sound_is_trimmed_to_its_loudest_part():
    rate = 16000
    sound = np.concatenate([np.zeros(rate), np.full(3 * rate, 0.1), np.full(3 * rate, 0.5)])
    stream = io.BytesIO()
    soundfile.write(stream, np.stack([sound, sound], 1), rate, format="WAV", subtype="FLOAT")
    made = prepare.make_sound(stream.getvalue())
    assert made.shape == (4 * rate,) and abs(made.max() - 0.9) < 1e-6
    assert np.count_nonzero(made > 0.5) == 3 * rate


def test_unfit_recordings_are_refused():
    noise = np.random.default_rng(0).standard_normal((2, 16000)).astype(np.float32) * 0.1
    prepare.check_sounds(dict(a=noise[0], b=noise[1]))
    with pytest.raises(ValueError, match="'a' and 'b' share a recording"):
        prepare.check_sounds(dict(a=noise[0], b=0.3 * np.roll(noise[0], 500)))
    with pytest.raises(ValueError, match="'a' has 0.50 s"):
        prepare.check_sounds(dict(a=noise[0, :8000]))
    with pytest.raises(ValueError, match="level 0.001"):
        prepare.check_sounds(dict(a=0.01 * noise[0]))


def test_unfit_packages_are_refused(tmp_path, files, command, capsys):
    deb = tmp_path / "stamps.deb"
    arguments = ["stamps", "--deb", str(deb), "--out", str(tmp_path / "out")]
    assert command(arguments) == 1 and "apt-get download" in capsys.readouterr().err
    deb.write_bytes(b"no package")
    assert command(arguments) == 1 and "no Debian package" in capsys.readouterr().err
    del files["tools/saw.ogg"]
    write_deb(deb, files)
    assert command(arguments) == 1 and "lacks tools/saw.ogg" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def cut_short(path: Path, files: dict[str, bytes]) -> None:
    path.write_bytes(write_deb(path, files).read_bytes()[:-5000])


def of_no_size(path: Path, files: dict[str, bytes]) -> None:
    """A reader that believed it would go round and round."""
    content = write_deb(path, files).read_bytes()
    path.write_bytes(content[:56] + b"-60".ljust(10) + content[66:])


def of_another_packing(path: Path, files: dict[str, bytes]) -> None:
    content = write_deb(path, files).read_bytes()
    path.write_bytes(content.replace(b"\xfd7zXZ", b"\x28\xb5\x2f\xfd\0"))  # as zstd begins


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut_short, "stamps.deb is damaged, or packed in a way"),
        (of_no_size, "stamps.deb is a damaged Debian package"),
        (of_another_packing, "stamps.deb is damaged, or packed in a way"),
    ],
)
def test_damaged_packages_are_told(tmp_path, files, command, spoil, message, capsys):
    deb = tmp_path / "stamps.deb"
    spoil(deb, files)
    assert command(["stamps", "--deb", str(deb), "--out", str(tmp_path / "out")]) == 1
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("animals/dog.png", b"x", "no picture with 8 bits"),
        ("animals/dog.png", b"", "no picture with 8 bits"),
        ("animals/dog.png", png(np.ones((9, 9, 3), np.uint8)), "no picture with 8 bits"),
        ("animals/dog.png", png(np.ones((9, 9, 4), np.uint16)), "no picture with 8 bits"),
        ("animals/dog.png", png(np.zeros((9, 9, 4), np.uint8)), "transparent all over"),
        ("tools/saw.ogg", b"x", "Format not recognised"),
        ("tools/saw.ogg", ogg(np.zeros(9)), "it is silent"),
        ("tools/saw.ogg", ogg(np.zeros(0)), "it is silent"),
    ],
)
def test_unfit_files_of_a_package_are_named(
    tmp_path, files, command, name, content, message, capsys
):
    deb = write_deb(tmp_path / "stamps.deb", files | {name: content})
    assert command(["stamps", "--deb", str(deb), "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: {name} of the package can't be used") and message in told


def test_oracle_command(command, capsys):
    root = str(ROOT / "data/stamps")
    arguments = ["oracle", "--subset", "ss", "--num-scenes", "5", "--data-root", root]
    assert command(arguments) == 0
    assert "ss: 1 of 3 sound, 5 scenes of test: mIoU" in capsys.readouterr().out


def test_committed_files_come_from_the_package(tmp_path, command):
    deb = os.environ.get("AVS_STAMPS_DEB")
    if deb is None:
        pytest.skip("set AVS_STAMPS_DEB to the file of tuxpaint-stamps-default 2022.06.04-1")
    assert command(["stamps", "--deb", deb, "--out", str(tmp_path)]) == 0
    for path in tmp_path.rglob("*.*"):
        committed = ROOT / "data/stamps" / path.relative_to(tmp_path)
        assert path.read_bytes() == committed.read_bytes(), path.name
