"""What a checkpoint says of its run: kept plainly, and believed no further than the own folder."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.logging import HistoryBuffer
from mmengine.registry import DefaultScope
from mmengine.runner import Runner

from projects.cpm_avs.safe_checkpoint import load_safely
from projects.cpm_avs.training.hooks.resumed_records import histories, is_best_name, plain

ROOT = Path(__file__).resolve().parents[1]


def run(work_dir: Path, **options: Any) -> Runner:
    """Train the toy model for 24 iterations with validations at 6, 12, 18 and 24."""
    config = Config.fromfile(ROOT / "tests" / "configs" / "toy_iter.py")
    config.merge_from_dict(options)
    config.work_dir, config.experiment_name = str(work_dir), str(work_dir)
    with DefaultScope.overwrite_default_scope("mmseg"):
        runner = Runner.from_cfg(config)
        runner.train()
    return runner


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with a best checkpoint of iteration 18, and those of 16, 18 and 24."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder)
    return folder


def tree(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("where", ["other", "folder", "elsewhere", "own_folder", "number"])
def test_a_resumed_run_deletes_nothing_but_its_own_files(
    where: str, finished: Path, tmp_path: Path
) -> None:
    """A path in the message hub was deleted, with all that was in it."""
    own, other = tmp_path / "own", tmp_path / "other"
    shutil.copytree(finished, other)
    folder = own / "best_score_iter_6.pth" if where == "own_folder" else other / "folder"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    best = dict(
        other=other / "best_score_iter_18.pth",
        folder=folder,
        elsewhere=other / "iter_16.pth",
        own_folder=folder,
        number=7,
    )[where]
    content = load_safely(finished / "iter_16.pth")
    content["message_hub"]["runtime_info"].update(
        best_ckpt=best if where == "number" else str(best),
        best_score=-9.0,
        last_ckpt=str(best),
        keep_ckpt_ids=["../../other/iter_16.pth", -1, True, None, [8]],
    )
    torch.save(content, tmp_path / "forged.pth")
    before = tree(other), tree(folder)
    run(own, load_from=str(tmp_path / "forged.pth"), resume=True)
    assert (own / "best_score_iter_18.pth").is_file()  # a new best one was found
    assert (tree(other), tree(folder)) == before


def test_a_copy_of_a_work_folder_goes_on_by_itself(finished: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    (copy / "last_checkpoint").write_text(str(finished / "iter_16.pth"))  # as mmengine writes it
    (copy / "best_score_iter_18.pth").rename(copy / "best_score_iter_12.pth")
    content = load_safely(copy / "iter_16.pth")
    info = content["message_hub"]["runtime_info"]
    assert info["best_ckpt"].startswith(str(finished))  # whole paths, in the checkpoint as well
    info["best_ckpt"] = str(finished / "best_score_iter_12.pth")
    torch.save(content, copy / "iter_16.pth")
    before = tree(finished)
    run(copy, resume=True)
    assert tree(finished) == before
    assert [path.name for path in copy.glob("best_*")] == ["best_score_iter_18.pth"]
    assert (copy / "last_checkpoint").read_text() == "iter_24.pth"


def test_odd_scores_do_not_keep_a_better_one_out(finished: Path, tmp_path: Path) -> None:
    for number, score in enumerate(["much", float("nan"), None]):
        content = load_safely(finished / "iter_16.pth")
        content["message_hub"]["runtime_info"].update(best_score=score)
        torch.save(content, tmp_path / "forged.pth")
        own = tmp_path / f"run{number}"
        run(own, load_from=str(tmp_path / "forged.pth"), resume=True)
        assert (own / "best_score_iter_18.pth").is_file()


def test_another_rule_chooses_its_best_checkpoint_anew(finished: Path, tmp_path: Path) -> None:
    """No later score was below the highest one so far, and so none would have been the best."""
    own = tmp_path / "own"
    shutil.copytree(finished, own)
    options = {"default_hooks.checkpoint.rule": "less"}
    run(own, load_from=str(own / "iter_16.pth"), resume=True, **options)
    logs = "".join(path.read_text() for path in own.glob("*/*.log"))
    assert "save_best was score greater and is score less: the best" in logs
    assert [path.name for path in own.glob("best_*")] == ["best_score_iter_24.pth"]


def test_a_checkpoint_needs_no_class_beside_tensors(finished: Path) -> None:
    for name in ("iter_24.pth", "best_score_iter_18.pth"):
        content = torch.load(finished / name, weights_only=True)  # with nothing allowed beside
        scalars = content["message_hub"]["log_scalars"]
        assert len(scalars["train/loss"]["history"]) == content["meta"]["iter"]
    back = histories(scalars)
    assert isinstance(back["train/loss"], HistoryBuffer)
    assert back["train/loss"].data[0].tolist() == scalars["train/loss"]["history"].tolist()


def test_plain_states() -> None:
    history = HistoryBuffer([1.0, 3.0], [1, 2], max_length=5)
    state = dict(a=np.float64(2), b=[np.arange(3), (np.bool_(True), "x")], c=history)
    found = plain(state)
    assert type(found["a"]) is float and found["b"][1] == (True, "x")
    assert found["b"][0].tolist() == [0, 1, 2]
    back = histories(dict(c=found["c"], old=history, odd=dict(history=1, counts=2, max_length=3)))
    assert [column.tolist() for column in back["c"].data] == [[1.0, 3.0], [1, 2]]
    assert back["c"].max_length == 5 and back["old"] is history and type(back["odd"]) is dict


@pytest.mark.parametrize(
    ("name", "template", "own"),
    [
        ("best_dataset_mIoU_epoch_3.pth", "epoch_{}.pth", True),
        ("best_a_model-0003.pth", "model-{:04d}.pth", True),
        ("best_a_epoch_x.pth", "epoch_{}.pth", False),
        ("epoch_3.pth", "epoch_{}.pth", False),
        ("best_a_iter_3.pth", "epoch_{}.pth", False),
        ("best_../a_epoch_3.pth", "epoch_{}.pth", False),
        ("best_a_epoch_3xpth", "epoch_{}.pth", False),
    ],
)
def test_names_of_best_checkpoints(name: str, template: str, own: bool) -> None:
    assert is_best_name(name, template) is own
