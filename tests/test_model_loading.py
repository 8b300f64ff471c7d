"""Which config, weights and device an inferencer takes, and which it refuses."""

from pathlib import Path

import pytest
import torch
from clips import make_clip, tone
from fake_segmentor import write_model
from new_process import python

from projects.cpm_avs.inference import AVSInferencer


class TestModelLoading:
    def test_class_count(self, tmp_path):
        config, _ = write_model(tmp_path)
        (tmp_path / "four").mkdir()
        _, checkpoint = write_model(tmp_path / "four", num_classes=4)
        with pytest.raises(ValueError, match="knows 4 classes, the config has 3"):
            AVSInferencer(config, checkpoint)

    def test_other_model(self, tmp_path):
        config, checkpoint = write_model(tmp_path)
        torch.save({"class_scores": torch.ones(7), "neck": torch.ones(1)}, checkpoint)
        with pytest.raises(ValueError, match=r"neck is not in the model.*\(7,\)"):
            AVSInferencer(config, checkpoint)

    def test_devices_that_are_not_there(self, tmp_path):
        files = write_model(tmp_path)
        for device in ("gpu", "cuda:99"):
            with pytest.raises(ValueError, match=f"device '{device}' can't be used here; give"):
                AVSInferencer(*files, device)

    def test_unknown_config(self):
        with pytest.raises(ValueError, match="no config 'cpm_r51_avss'"):
            AVSInferencer("cpm_r51_avss", "x.pth")

    def test_no_checkpoint(self, tmp_path):
        config, _ = write_model(tmp_path)
        with pytest.raises(ValueError, match="no checkpoint comes with 'fake_model'"):
            AVSInferencer(config)

    def test_built_in_checkpoint(self, tmp_path, monkeypatch):
        from projects.cpm_avs.inference import model_loading

        monkeypatch.setattr(model_loading, "ROOT", tmp_path)
        folder = tmp_path / "data" / "checkpoints"
        folder.mkdir(parents=True)
        for name in ("small-ss-1a2b3c4d.pth", "small-1a2b3c4d.pth", "small_2.pth"):
            (folder / name).touch()
        assert model_loading.find_checkpoint("small", None) == folder / "small-1a2b3c4d.pth"
        assert model_loading.find_checkpoint("small", "x.pth") == Path("x.pth")

    def test_without_the_training_part(self, tmp_path):
        config, checkpoint = write_model(tmp_path)
        clip = make_clip(tmp_path / "c.mp4", frames=3, sound=tone(0.2, 0, 0.2))
        program = (
            "import sys; sys.modules['projects.cpm_avs.training'] = None; import fake_segmentor; "
            "from projects.cpm_avs.inference import AVSInferencer; "
            f"print(AVSInferencer({str(config)!r}, {str(checkpoint)!r})({str(clip)!r}).summary())"
        )
        done = python("-c", program, PYTHONPATH=str(Path(__file__).parent))
        assert "green square 0.0-0.1 s" in done.stdout, done.stderr
