"""Registered transforms that mmseg lacks: loading with sound, the stereo flip, and packing."""

from typing import Any

import cv2
import numpy as np
import torch
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmseg.datasets.transforms import PackSegInputs
from mmseg.datasets.transforms import RandomFlip as SegRandomFlip
from mmseg.registry import TRANSFORMS

from ..constants import IGNORE_INDEX, SAMPLE_RATE
from ..errors import PICTURE_ALONE, BadSampleError
from ..media.audio_functional import Waveform
from ..media.window_loading import load_window
from .mask_decoding import DEEP_MODES, UNREADABLE, decode_mask, frame_mode, read_labels, values_in

META_KEYS = (
    "img_path", "audio_path", "seg_map_path", "ori_shape", "img_shape", "pad_shape",
    "scale_factor", "flip", "flip_direction", "reduce_zero_label", "sample_idx", "clip_id",
    "frame_index", "subset", "source", "sound_classes", "skipped", "audio_condition",
    "frame_span", "sound_positions",
)  # fmt: skip


@TRANSFORMS.register_module()
class LoadAVSFrame(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile`` with errors that name the file and the remedy.

    Pillow decodes, because OpenCV fills up a truncated file with grey and says nothing. A picture
    is not turned by its EXIF orientation, since its mask isn't.
    """

    def __init__(self, *, backend_args: dict | None = None) -> None:
        super().__init__(
            color_type="color_ignore_orientation",
            imdecode_backend="pillow",
            backend_args=backend_args,
        )

    def transform(self, results: dict) -> dict:
        path = results["img_path"]
        try:
            mode = frame_mode(path)
            loaded = super().transform(results)
        except FileNotFoundError as error:
            raise BadSampleError(
                path, "the frame is missing", "Check data_root and the index"
            ) from error
        except (*UNREADABLE, AssertionError) as error:
            raise BadSampleError(
                path,
                f"the frame can't be decoded ({error})",
                "Extract the frame again or take the sample out of the index",
            ) from error
        assert loaded is not None  # only None with ignore_empty
        if mode in DEEP_MODES:
            raise BadSampleError(
                path, f"the frame is a picture of mode {mode}", "Save it with 8 bits a channel"
            )
        # Mmcv gives Pillow's RGB seen backwards, of which each later copy would be slow.
        loaded["img"] = cv2.cvtColor(loaded["img"][..., ::-1], cv2.COLOR_RGB2BGR)
        return loaded


@TRANSFORMS.register_module()
class LoadAVSMask(BaseTransform):
    """Load the mask of what sounds; the file must fit the frame and the data set's classes.

    Its classes become ``sound_classes``, unless the data set knows them: what sounds still does so
    when a crop of the picture leaves its object out.

    Required keys: ``ori_shape`` and ``seg_map_path`` (None or missing where a frame has no label:
    no ``gt_seg_map`` then); from ``AVSDataset`` also ``mask_encoding``, ``num_classes``,
    ``palette`` and ``label_map``.
    """

    def transform(self, results: dict) -> dict:
        path = results.get("seg_map_path")
        if path is None:
            return results
        values = read_labels(path, results["mask_encoding"], results["palette"])
        height, width = results["ori_shape"][:2]
        if values.shape[:2] != (height, width):
            raise BadSampleError(
                path,
                f"the mask is {values.shape[1]}x{values.shape[0]} px, its frame "
                f"{results['img_path']} is {width}x{height}",
                "Both must come from the same release of the data set, at one size",
            )
        results["gt_seg_map"] = decode_mask(
            values,
            path,
            encoding=results["mask_encoding"],
            num_classes=results["num_classes"],
            palette=results["palette"],
            label_map=results["label_map"],
        )
        results["seg_fields"].append("gt_seg_map")
        seen = values_in(results["gt_seg_map"])
        results.setdefault(
            "sound_classes", [label for label in seen if label not in (0, IGNORE_INDEX)]
        )
        return results


@TRANSFORMS.register_module()
class LoadAudioWindow(BaseTransform):
    """Load the sound around the frame's time as ``waveform`` (A, L).

    Required keys: ``audio_path``, ``audio_start`` (s).

    Args:
        num_samples: L, the window's length in samples.
        channels: A, 1 mono or 2 stereo.
        sample_rate: Hz.
    """

    def __init__(
        self, *, num_samples: int = 15360, channels: int = 1, sample_rate: int = SAMPLE_RATE
    ) -> None:
        self.num_samples, self.channels, self.sample_rate = num_samples, channels, sample_rate

    def transform(self, results: dict) -> dict:
        if "audio_path" not in results:
            raise ValueError(PICTURE_ALONE)
        results["waveform"] = self.load(results["audio_path"], results["audio_start"])
        results["sample_rate"] = self.sample_rate
        return results

    def load(self, path: str, start: float) -> Waveform:
        """What is heard of a file at second ``start``."""
        return load_window(
            path,
            start=round(start * self.sample_rate),
            length=self.num_samples,
            sample_rate=self.sample_rate,
            channels=self.channels,
        )


#: Samples of one of torchvggish's examples: 96 frames of 400, one every 160.
_EXAMPLE, _EXAMPLE_SECONDS = 15600, 0.96
#: Silence on either side, after which frames of the centred STFT begin where torchvggish's do.
_EXAMPLE_MARGIN = 120


@TRANSFORMS.register_module()
class LoadVGGishExample(LoadAudioWindow):
    """Load the sound that torchvggish gives the frame's second, as ``waveform`` (A, 15840).

    It cuts a sound into pieces of 0.96 s, one after another: what a frame at second k hears begins
    at 0.96 k. ``VGGishEmbedding`` finds the piece's 96 frames in the middle of the waveform.

    Required keys: ``audio_path``, ``audio_start`` (s).

    Args:
        channels: A, 1 mono or 2 stereo.
        sample_rate: Hz.
    """

    def __init__(self, *, channels: int = 1, sample_rate: int = SAMPLE_RATE) -> None:
        super().__init__(num_samples=_EXAMPLE, channels=channels, sample_rate=sample_rate)

    def load(self, path: str, start: float) -> Waveform:
        margins = ((0, 0), (_EXAMPLE_MARGIN, _EXAMPLE_MARGIN))
        return np.pad(super().load(path, start * _EXAMPLE_SECONDS), margins)


@TRANSFORMS.register_module()
class AVSRandomFlip(SegRandomFlip):
    """mmseg's ``RandomFlip``; a mirrored picture also has its left and right ear swapped.

    So have ``frame_span`` and the places of ``sound_positions`` their sides.
    """

    def _flip(self, results: dict) -> None:
        super()._flip(results)
        if results["flip_direction"] not in ("horizontal", "diagonal"):
            return
        results["waveform"] = results["waveform"][::-1].copy()
        if "frame_span" in results:
            left, right = results["frame_span"]
            width = results["img"].shape[1]
            results["frame_span"] = width - right, width - left
        if "sound_positions" in results:
            results["sound_positions"] = [
                (label, 1 - place) for label, place in results["sound_positions"]
            ]


@TRANSFORMS.register_module()
class PackAVSInputs(PackSegInputs):
    """Pack picture, sound, mask and metadata into what the data preprocessor takes.

    Gives ``inputs=dict(img=uint8 (3, H, W) BGR, waveform=float32 (A, L))`` and ``data_samples``,
    with ``gt_sem_seg`` where the frame is labelled; ``noise_waveform`` (A, L) too where
    ``LoadOffscreenNoise`` went before.
    """

    def __init__(self, *, meta_keys: tuple[str, ...] = META_KEYS) -> None:
        super().__init__(meta_keys=meta_keys)

    def transform(self, results: dict) -> dict[str, Any]:
        if "waveform" not in results:
            raise ValueError(PICTURE_ALONE)
        packed = super().transform(results)
        packed["inputs"] = dict(img=packed["inputs"], waveform=_to_tensor(results["waveform"]))
        if "noise_waveform" in results:
            packed["inputs"]["noise_waveform"] = _to_tensor(results["noise_waveform"])
        return packed


def _to_tensor(waveform: Waveform) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(waveform, dtype=np.float32))
