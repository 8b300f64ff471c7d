"""Reading configs: what is wrong with a file is one sentence, and YAML and JSON are data."""

import json
from pathlib import Path

import pytest
from mmengine.config import Config
from new_process import python

from projects.cpm_avs.config_files import ConfigError, find_config, read_config_file
from projects.cpm_avs.inference.model_loading import load_config

ROOT = Path(__file__).resolve().parents[1]
STAMPS = str(ROOT / "configs" / "cpm_mbv2-yamnet_stamps.py")

BROKEN: dict[str, tuple[dict[str, str | bytes], str]] = {
    "syntax": ({"c.py": "x = 1\ny = (\n"}, r"c\.py, line 2: '\(' was never closed"),
    "syntax of a base": ({"c.py": "_base_ = 'b.py'", "b.py": "x = = 1"}, r"b\.py, line 1: invalid"),
    "no such base": ({"c.py": "_base_ = 'b.py'", "bb.py": ""}, r"c\.py: there is no .*did you.*bb"),
    "own base": ({"c.py": "_base_ = 'c.py'"}, r"c\.py: its bases lead back to it \(c\.py -> c\.py"),
    "bases in a ring": (
        {"c.py": "_base_ = './b.yaml'", "b.yaml": "_base_: a.json", "a.json": '{"_base_": "c.py"}'},
        r"\(c\.py -> b\.yaml -> a\.json -> c\.py\)",
    ),
    "no such variable": ({"c.py": "_base_ = 'b.py'\nx = _base_.y", "b.py": ""}, r"line 2: .*'y'"),
    "a key of two bases": (
        {"c.py": "_base_ = ['a.py', 'b.py']", "a.py": "x = 1", "b.py": "x = 1"},
        r"c\.py: Duplicate key .*'x'",
    ),
    "error in the program": ({"c.py": "x = 1\ny = x / 0"}, r"c\.py, line 2: division by zero"),
    "a file that is not there": (
        {"c.py": "x = open('/nope/a.txt')"},
        r"c\.py, line 1: \[Errno 2\] No such file or directory: '/nope/a.txt'",
    ),
    "bytes": ({"c.py": b"\x80\x81\x00"}, r"c\.py: it is no text"),
    "zeros": ({"c.py": b"\x00" * 9}, r"c\.py: it is no text"),
    "no such module": (
        {"c.py": "custom_imports = dict(imports=['projects.nope'])"},
        r"custom_imports: Failed to import projects\.nope",
    ),
    "imports are no list": (
        {"c.py": "custom_imports = dict(imports=5)"},
        r"custom_imports is .*5.*; give",
    ),
    "JSON": ({"c.json": "[1,"}, r"c\.json: Expecting value"),
    "a list": ({"c.json": "[1]"}, r"c\.json: it holds no keys"),
    "nothing": ({"c.yaml": ""}, r"c\.yaml: it holds no keys"),
    "YAML": ({"c.yaml": "a: 1\nb: [1,"}, r"c\.yaml, line 2"),
    "no such package": ({"c.py": "_base_ = 'foo::a/b.py'"}, r"does not support to load foo"),
    "not in the package": (
        {"c.py": "_base_ = 'mmseg::_base_/models/segformer_mit-b.py'"},
        r"c\.py: there is no mmseg::_b.*; did you mean mmseg::_base_/models/segformer_mit-b0\.py\?",
    ),
    "no folder of the package": (
        {"c.py": "_base_ = 'mmdet::nope.py'"},
        r"c\.py: there is no mmdet::nope\.py for its _base_",
    ),
    "ends otherwise": ({"c.txt": "x = 1"}, r"ends in py/yml/yaml/json"),
    "a folder": ({"c/d.py": "x = 1"}, r"c is a folder; name a config in it"),
}


def write(folder: Path, files: dict[str, str | bytes]) -> Path:
    """Write files; the first is the config."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder / next(iter(files)).split("/")[0]


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_wrong_with_a_file_is_one_sentence(tmp_path: Path, case: str) -> None:
    files, sentence = BROKEN[case]
    with pytest.raises(ConfigError, match=sentence) as refused:
        read_config_file(write(tmp_path, files))
    assert "\n" not in str(refused.value)


CODE = {
    "apply.yaml": "model: !!python/object/apply:pathlib.Path.touch [{evil}]",
    "new.yaml": "model: !!python/object/new:pathlib.PosixPath [{evil}]",
    "name.yml": "model: !!python/name:os.system",
    "type.yaml": "model:\n  type: os.system\n  command: touch {evil}",
    "type-of-mmengine.yaml": "model:\n  type: mmengine.put_text\n  filepath: {evil}\n  obj: x",
    "type-module.yaml": "model:\n  type: antigravity",
    "type-module-in-a-scope.json": '{{"hooks": [{{"type": "mmseg.this"}}]}}',
    "type.json": '{{"a": [{{"type": "subprocess.Popen", "args": "touch {evil}", "shell": 1}}]}}',
}


@pytest.mark.parametrize("name", CODE)
def test_yaml_and_json_run_nothing(tmp_path: Path, name: str) -> None:
    evil = tmp_path / "evil"
    path = write(tmp_path, {name: CODE[name].format(evil=evil)})
    for read in (read_config_file, load_config):
        with pytest.raises(ConfigError, match="plain values only|registered classes only"):
            read(path)
    if "type" not in name:
        with pytest.raises(Exception, match="could not determine a constructor"):
            Config.fromfile(path)  # as mmseg's own tools read
    assert not evil.exists()


def test_yaml_and_json_configs_are_read_with_their_bases(tmp_path: Path) -> None:
    settings = {"_base_": STAMPS, "train_cfg": {"max_iters": 7}}
    dumped = "model:\n  backbone:\n    out_indices: !!python/tuple [1, 2, 4, 6]\n"
    files = {"c.json": json.dumps(settings), "c.yaml": f"_base_: c.json\n{dumped}"}
    write(tmp_path, files)
    cfg = read_config_file(tmp_path / "c.yaml")
    assert cfg.train_cfg.max_iters == 7 and cfg.model.backbone.out_indices == (1, 2, 4, 6)
    assert cfg.model.type == "AVSegmentor"


def test_configs_are_found_by_name_and_the_nearest_is_told(tmp_path: Path) -> None:
    assert find_config("cpm_r50_avss_lambda0.1").parent.name == "ablation"
    (tmp_path / "mine_stereo.py").write_text("")
    for given, near in (
        ("cpm_r50_avs", "cpm_r50_avss"),
        ("configs/cpm_mbv2-yamnet-stamps.py", "cpm_mbv2-yamnet_stamps"),
        (str(tmp_path / "mine_sterio.py"), "mine_stereo"),
        (str(tmp_path / "mine_stereo"), "mine_stereo.py"),
        (str(tmp_path / "nothing.like"), "cpm_mbv2-yamnet_stamps"),
    ):
        with pytest.raises(ConfigError, match=f"no config .*; there are .*{near}"):
            find_config(given)


def test_a_base_may_lie_in_a_package(tmp_path: Path) -> None:
    """Whatever its distribution is called, OneDL's or upstream's."""
    path = tmp_path / "c.py"
    path.write_text(
        "_base_ = ['mmseg::_base_/models/segformer_mit-b0.py', "
        "'mmdet::_base_/default_runtime.py']\n"
        "backbone = _base_.model.backbone\n"
    )
    cfg = read_config_file(path)
    assert cfg.backbone.type == "MixVisionTransformer" and cfg.log_level == "INFO"


REPLACED = """
import os, sys
from mmengine.registry import init_default_scope
from projects.cpm_avs.launch import built_from, plain_errors, read_config
from mmseg.registry import MODELS
for path in sys.argv[1:]:
    if process := os.fork():
        os.waitpid(process, 0)
        continue
    with plain_errors():
        cfg = read_config(path)
        init_default_scope("mmseg")
        with built_from(cfg):
            MODELS.build(cfg.model)
    break
"""


@pytest.mark.slow
def test_imports_that_lack_the_projects_own_are_told(tmp_path: Path) -> None:
    """In processes of their own: this one has them."""
    cases = {
        "": "optim_wrapper.constructor is 'MergedGroupsConstructor'",
        "optim_wrapper = dict(constructor=None)": "model.criterion.type is 'CPMCriterion'",
    }
    paths = [tmp_path / f"{number}.py" for number in range(len(cases))]
    for path, more in zip(paths, cases, strict=True):
        path.write_text(f"_base_ = {STAMPS!r}\ncustom_imports = dict(imports=['json'])\n{more}")
    done = python("-c", REPLACED, *paths)
    assert done.returncode == 0, done.stderr
    for told, name in zip(done.stderr.splitlines()[-len(cases) :], cases.values(), strict=True):
        assert told.startswith(f"error: {name}, which is not registered; it is in cpm_avs.tra")
        assert "custom_imports lacks" in told
        assert "imports=['cpm_avs', 'cpm_avs.training'] and your own" in told
