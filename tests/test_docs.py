"""The documents keep their word: code blocks run, commands, options and links exist."""

import argparse
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS, MODELS
from PIL import Image
from tiny import FRAMES, SIZE, tiny_batch
from tiny_config import check_step_and_prediction, shrink
from typed_tools import run_tool

ROOT = Path(__file__).resolve().parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md", ROOT / "data" / "README.md"]
PAGES = [page for page in PAGES if page.is_file()]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def code(page: str) -> dict[str, str]:
    """Python blocks of a page by the file name in their first line."""
    blocks = [text for kind, text in FENCE.findall((ROOT / "docs" / page).read_text())]
    named = [re.match(r"# (\S+\.py)\n", text) for text in blocks]
    return {name.group(1): text for name, text in zip(named, blocks, strict=True) if name}


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Writes a page's blocks where they say, beside the repository's own configs."""
    (tmp_path / "configs").mkdir()
    for path in (ROOT / "configs").iterdir():
        (tmp_path / "configs" / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    init_default_scope("mmseg")

    def write(page: str) -> dict[str, Path]:
        for name, text in code(page).items():
            path = tmp_path / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            if name.startswith("projects/"):
                module = name.removesuffix(".py").replace("/", ".")
                spec = importlib.util.spec_from_file_location(module, path)
                made = importlib.util.module_from_spec(spec)
                monkeypatch.setitem(sys.modules, module, made)
                spec.loader.exec_module(made)
        return {name: tmp_path / name for name in code(page)}

    yield write
    for registry, name in ((DATASETS, "MyDataset"), (MODELS, "ThreeConvolutions")):
        registry.module_dict.pop(name, None)


def write_frames(folder: Path) -> None:
    """Two frames: a dog with a tone, a drum with noise."""
    for kind in ("frames", "masks", "sounds"):
        (folder / kind).mkdir(parents=True)
    rng = np.random.default_rng(0)
    for label, name in enumerate(("dog", "drum"), start=1):
        picture = rng.integers(0, 255, (SIZE, SIZE, 3), np.uint8)
        Image.fromarray(picture).save(folder / f"frames/{name}.jpg")
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[10:40, 20:50] = label
        Image.fromarray(mask).save(folder / f"masks/{name}.png")
        sound = rng.normal(0, 0.1, 30000) if label == 2 else np.sin(np.arange(30000) / 5)
        soundfile.write(folder / f"sounds/{name}.wav", sound, 22050)


def test_own_data(written, tmp_path):
    files = written("own-data.md")
    stereo = files.pop("configs/cpm_r50_mine-stereo.py")
    assert set(files) == {"projects/my_dataset.py", "configs/cpm_r50_mine.py"}
    body = files["projects/my_dataset.py"].read_text().split("METAINFO")[1]
    assert len(body.splitlines()) <= 22  # "in 20 lines"
    for split in ("train", "val"):
        write_frames(tmp_path / "data/mine" / split)
    cfg = Config.fromfile(files["configs/cpm_r50_mine.py"])
    train = DATASETS.build(cfg.train_dataloader.dataset)
    assert len(train) == 2 and train[0]["inputs"]["img"].shape == (3, 512, 512)
    val = DATASETS.build(cfg.val_dataloader.dataset)
    batch = pseudo_collate([val[0], val[1]])
    assert batch["inputs"]["waveform"][0].shape == (1, 15360)
    check_step_and_prediction(shrink(cfg, narrow=True), batch)

    (tmp_path / "data/noise").mkdir()
    soundfile.write(tmp_path / "data/noise/rain.wav", np.full(64000, 0.1), 16000)
    cfg = Config.fromfile(stereo)
    sample = DATASETS.build(cfg.train_dataloader.dataset)[0]
    assert sample["inputs"]["noise_waveform"].shape == (2, 48000)
    val = DATASETS.build(cfg.test_dataloader.dataset)
    assert val[0]["inputs"]["waveform"].shape == (2, 48000)
    assert "noise_waveform" not in val[0]["inputs"]
    check_step_and_prediction(shrink(cfg, narrow=True), pseudo_collate([val[0], val[1]]))


def test_own_image_backbone(written, tmp_path):
    files = written("own-backbone.md")
    cfg = Config.fromfile(files["configs/cpm_swin-t_avss.py"])
    backbone = cfg.model.backbone
    assert list(backbone.depths) == [2, 2, 6, 2]  # Swin-T
    small = shrink(cfg, narrow=False)
    small.model.audio_backbone = dict(type="TinyAudioBackbone")
    check_step_and_prediction(small, tiny_batch(num_classes=71))

    # The file of weights is found and loaded whole.
    source = MODELS.build(backbone | dict(init_cfg=None))
    path = tmp_path / backbone.init_cfg.checkpoint
    path.parent.mkdir()
    torch.save(source.state_dict(), path)
    loaded = MODELS.build(backbone)
    loaded.init_weights()
    for name, value in source.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_own_image_backbone_with_its_own_normalisation(written):
    cfg = Config.fromfile(written("own-backbone.md")["configs/cpm_efflite0-yamnet_stamps.py"])
    real = Config.fromfile(ROOT / "configs/cpm_efflite0-yamnet_real.py")
    for part in ("data_preprocessor", "backbone"):
        assert cfg.model[part] == real.model[part]
    assert cfg.model.decode_head.in_channels == real.model.decode_head.in_channels


def test_own_audio_backbone(written):
    written("own-backbone.md")
    made = MODELS.build(dict(type="ThreeConvolutions", in_channels=2))
    maps = made(torch.rand(1, 2, FRAMES, 256))
    for x, channels, stride in zip(maps, made.out_channels, made.out_strides, strict=True):
        assert x.shape == (1, channels, FRAMES // stride, 256 // stride)
    cfg = shrink(Config.fromfile(ROOT / "configs/cpm_r50_avss.py"), narrow=True)
    cfg.model.audio_backbone = dict(type="ThreeConvolutions")
    check_step_and_prediction(cfg, tiny_batch(num_classes=71))


def commands(page: Path) -> list[list[str]]:
    """Words of all commands that call one of our tools, in blocks and within sentences."""
    text = page.read_text().replace("\\\n", " ")
    lines = [line for _, block in FENCE.findall(text) for line in block.splitlines()]
    lines += [" ".join(inline.split()) for inline in re.findall(r"`([^`]+)`", FENCE.sub("", text))]
    found = []
    for line in lines:
        if re.search(r"(python|bash) tools/\w+\.(py|sh)", line):
            found.append(shlex.split(line, comments=True))
        elif named := re.match(r"cpm-avs ([a-z][a-z-]*) ", line):
            tool = f"tools/{named[1].replace('-', '_')}.py"
            found.append([tool, *shlex.split(line[named.end() :], comments=True)])
    return found


#: Scripts that do nothing but start a tool in Python, with the options that they are given.
LAUNCHER = re.compile(r"tools/(dist|slurm)_(train|test)\.sh")


class _Read(Exception):
    """A tool could read its command line."""


@pytest.fixture
def read(tmp_path, monkeypatch):
    """Runs a command until its tool has read the line; a wrong option ends in SystemExit."""
    parse_args = argparse.ArgumentParser.parse_args

    def parse_and_stop(*arguments):
        parse_args(*arguments)
        raise _Read

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)
    monkeypatch.chdir(tmp_path)
    for program in ("python", "srun"):  # what the scripts end in
        (tmp_path / program).write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
        (tmp_path / program).chmod(0o755)

    def started_by(words: list[str]) -> list[str]:
        """The tool in Python that a script starts, and its arguments."""
        bash = words.index("bash")
        assert LAUNCHER.fullmatch(words[bash + 1])
        environment = dict(word.split("=", 1) for word in words[:bash])
        environment["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        for word in words:
            if word == "CHECKPOINT" or word.endswith(".pth"):  # the scripts look for it
                (tmp_path / word).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / word).touch()
        command = ["bash", ROOT / words[bash + 1], *words[bash + 2 :]]
        done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)
        lines = done.stdout.splitlines()
        first = next(i for i, line in enumerate(lines) if line.startswith(f"{ROOT}/tools/"))
        return lines[first:]

    def run(words: list[str]) -> None:
        first = next(i for i, word in enumerate(words) if word.startswith("tools/"))
        words = started_by(words) if words[first].endswith(".sh") else words[first:]
        with pytest.raises(_Read):
            run_tool(monkeypatch, *words)

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page, read):
    for words in commands(page):
        script = next(word for word in words if word.startswith("tools/"))
        assert (ROOT / script).is_file(), " ".join(words)
        for word in words:
            if word.startswith(("configs/", "tests/")):
                assert (ROOT / word).is_file() or word.endswith("_mine.py"), " ".join(words)
        if script.endswith(".py") or (LAUNCHER.fullmatch(script) and words[-1] != "..."):
            read(words)
        else:  # nothing of the others is run: they install, train and test
            assert not [word for word in words if word.startswith("--")], " ".join(words)


#: What a command may add to a config.
NEW_SETTINGS = {
    *(f"{name}_dataloader.dataset.stereo" for name in ("train", "val", "test")),
    "optim_wrapper.dtype",  # of the AmpOptimWrapper that --amp puts in the place of the config's
    "model.least_heard",  # 0 where no config says otherwise
    "model.no_object_odds",  # 1 where no config says otherwise
}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_settings_exist(page):
    """``--cfg-options`` change what the config has."""
    for words in commands(page):
        if "--cfg-options" not in words:
            continue
        other = "cpm_mbv2-yamnet_stamps" if "tools/ablation.py" in words else "cpm_r50_avss"
        configs = [word for word in words if word.startswith("configs/")]
        cfg = Config.fromfile(ROOT / (configs or [f"configs/{other}.py"])[0])
        for word in words[words.index("--cfg-options") + 1 :]:
            name = word.split("=")[0]
            *parents, last = name.split(".")
            node = cfg
            for key in parents:
                node = node[int(key)] if key.isdigit() else node[key]
            assert last in node or name in NEW_SETTINGS, " ".join(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    text = FENCE.sub("", page.read_text())
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), target
        if anchor:
            titles = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
            assert anchor in slugs, target


def test_the_index_names_every_page():
    index = (ROOT / "docs" / "get-started.md").read_text()
    others = {
        "get-started.md",
        "negatives.md",
        "stages.md",
        *(f"ablation-{kind}.md" for kind in ("744", "1200", "scenes", "real", "real-4800")),
    }  # linked from results.md
    for page in {path.name for path in (ROOT / "docs").glob("*.md")} - others:
        assert f"]({page})" in index, page


def test_the_zoo_names_every_config():
    text = (ROOT / "docs" / "model-zoo.md").read_text()
    lines = text.splitlines()
    for path in (ROOT / "configs").glob("*.py"):
        line = next(line for line in lines if line.startswith(f"| `{path.stem}` | "))
        cfg = Config.fromfile(path).train_cfg
        length = f"{cfg.max_iters} iterations" if "max_iters" in cfg else f"{cfg.max_epochs} epochs"
        assert line.endswith(f", {length} |"), line
    for path in (ROOT / "configs/ablation").glob("*.py"):
        assert f"`_{path.stem.rsplit('_', 1)[1]}`" in text, path.name
    named = set(re.findall(r"`(cpm_[\w.\-]+)`", text))
    assert named <= {path.stem for path in (ROOT / "configs").rglob("cpm_*.py")}


ABLATED = ("mIoU", ".1f"), ("coverage", ".3f"), ("STS", ".3f")
WITH_F = ABLATED[0], ("F_beta", ".1f"), *ABLATED[1:]
TABLE_4 = ["baseline", "ccdm", "ccdm_vcp", "cpm"]
ALL_OF_TABLE_4 = [*TABLE_4[:3], "ccdm_acp", "ccdm_acp_vcp", "cpm"]
METHODS = ["tpavi", "avsegformer", "cavp", "baseline", "cpm"]
NEGATIVE = ("mIoU", ".1f"), ("false_frames_noise", ".1f"), ("false_frames_offscreen", ".1f")


@pytest.mark.parametrize(
    "page, heading, rows, file, measures",
    [
        ("README.md", "baseline: ", TABLE_4, "ablation-real", ABLATED[:1]),
        (
            "docs/results.md",
            "baseline | 2",
            [*ALL_OF_TABLE_4, "point", "m1", "m5"],
            "ablation-real",
            WITH_F,
        ),
        ("docs/results.md", "baseline, 4,800", TABLE_4, "ablation-real-4800", WITH_F[:3]),
        ("README.md", "TPAVI", METHODS, "methods", ABLATED[:1]),
        (
            "docs/results.md",
            "TPAVI",
            METHODS,
            "methods",
            (ABLATED[0], ("F_beta", ".1f"), ("mIoU_crowd", ".1f"), NEGATIVE[2]),
        ),
        (
            "docs/results.md",
            "baseline | 6",
            ALL_OF_TABLE_4,
            "ablation",
            ABLATED,
        ),
        ("docs/results.md", "a point a class", ["point", "m1", "cpm", "m5"], "ablation", ABLATED),
        ("docs/results.md", "baseline, 1,200", ["baseline", "cpm"], "ablation-1200", ABLATED),
        ("docs/results.md", "CPM | 62", ["cpm", "negatives"], "negatives", NEGATIVE),
        (
            "docs/results.md",
            "in one stage",
            ["cpm", "two_stages"],
            "stages",
            (ABLATED[0], ("F_beta", ".1f"), ("mIoU_crowd", ".1f")),
        ),
        (
            "docs/results.md",
            "one channel",
            ["mono", "two_channels", "position", "position_prompts"],
            "stereo",
            (ABLATED[0], ("F_beta", ".1f")),
        ),
    ],
)
def test_the_pages_repeat_the_ablation(page, heading, rows, file, measures):
    check_table(page, heading, rows, file, measures, column=2)


def test_the_readme_has_the_built_in_data_beside():
    check_table("README.md", "baseline: ", TABLE_4, "ablation", ABLATED[:1], column=3)


def check_table(page, heading, rows, file, measures, *, column):
    table = json.loads((ROOT / f"docs/{file}.json").read_text())
    lines = (ROOT / page).read_text().splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith(f"| {heading}"))
    for row, line in zip(rows, lines[first:], strict=False):
        expected = []
        for measure, form in measures:
            score = table[row][measure]
            spread = f" ± {score['std']:{form}}" if score["n"] > 1 else ""
            expected.append(f"{score['mean']:{form}}{spread}")
        cells = line.split("|")[column : column + len(measures)]
        assert [cell.strip(" *") for cell in cells] == expected, row


def test_the_readme_is_short():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) <= 110
    rows = [line for line in lines if line.startswith("|")]
    assert rows and max(line.count("|") for line in rows) <= 4  # readable on a phone


def test_every_question_names_its_thread():
    text = (ROOT / "docs" / "faq.md").read_text()
    questions = re.findall(r"^\*\*(.+?)\*\*\n(.+)$", text, re.MULTILINE)
    assert len(questions) == text.count("\n**") and len(questions) > 10
    for question, after in questions:
        assert re.match(r"\(\[.+ \d+\]\(https://github\.com/[\w\-]+/[\w\-]+/issues/\d+\)", after), (
            question
        )
