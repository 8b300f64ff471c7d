"""From a video, an image with a sound, or arrays to masks of what sounds, in constant memory.

Shorthand: B batch, C classes, H W size of a frame, A audio channels, L window length in samples.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmseg.structures import SegDataSample

from ..media.audio_functional import Waveform
from ..media.opening import is_folder
from ..media.sound_windows import SoundWindows
from ..media.video_io import Frame
from .arguments import check_batch_size, check_frames, check_output, check_times
from .clip import Clip
from .gathering import gather, reporting
from .hub_folder import fetch_folder, read_folder
from .model_loading import build_model, find_checkpoint, find_device, load_config
from .mono_sound import telling_of_mono
from .output_names import result_folder
from .outputs import ClipOutputs
from .predictor import FrameMemory, Predictor
from .preparation import Preparation
from .results import ClipResult, FrameResult, fit_class_map
from .sources import OnError, Source, attempt, open_sources
from .waiting_frames import WaitingFrames

# Float32 at full size, 256 MB: of a frame drawn by all classes as many maps (H, W) as these are;
# else, and while it waits for its batch, its labels (int64) and scores, which are as large as 3.
_MOST_SCORES, _MAPS = 64_000_000, 3
# Frames in memory, in batches: with fps= most of them only wait for their masks. A model that sees
# clips needs whole ones: 5 frames at one a second are 150 of a usual video.
_MOST_HELD, _MOST_HELD_OF_CLIPS = 4, 32

Progress = Callable[[Clip, int, int], None]


class AVSInferencer:
    """Segments what sounds, in the manner of mmseg's ``MMSegInferencer``.

    Example:
        >>> inferencer = AVSInferencer()  # doctest: +SKIP
        >>> result = inferencer('dog.mp4', out_dir='out')  # doctest: +SKIP
        >>> print(result.summary())  # doctest: +SKIP
        dog 0.0-4.8 s

    Args:
        config: Name of a config in ``configs/``, a file, or a Config; None is the built-in model.
        checkpoint: Weights; None takes those that come with the config.
        device: Such as 'cuda:0'; None takes the GPU where there is one.
        batch_size: Frames that go through the model together. One that sees clips gets whole ones:
            the number goes up to the next multiple of their length.
        precision: 'fp32', or 'fp16' or 'bf16', which GPUs are faster in.
        recorded: Whether a GPU replays the network as a CUDA graph: faster, above all with few
            frames at a time; it keeps the memory of the last sizes of frames.
    """

    def __init__(
        self,
        config: str | Path | Config | None = None,
        checkpoint: str | Path | None = None,
        device: str | torch.device | None = None,
        *,
        batch_size: int = 4,
        precision: str = "fp32",
        recorded: bool = False,
    ) -> None:
        batch_size = check_batch_size(batch_size)
        self.device = find_device(device)
        loaded = load_config(config)
        weights = find_checkpoint(config, checkpoint)
        self.model, self.classes = build_model(loaded, weights, self.device)
        self.preparation = Preparation.from_config(loaded)
        self._clip_length = getattr(self.model, "clip_length", 1)
        self.batch_size = math.ceil(batch_size / self._clip_length) * self._clip_length
        self._predictor = Predictor(self.model, self.device, precision=precision, recorded=recorded)

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, revision: str | None = None, **options: Any
    ) -> "AVSInferencer":
        """A model out of a folder that ``cpm-avs hub-folder`` wrote, or of the Hugging Face hub.

        Nothing in it is run: the config is JSON, the weights are safetensors.

        Args:
            name: The folder, or ``OWNER/MODEL`` of the hub.
            revision: Branch, tag or commit of the hub's repository.
            options: ``device`` and the others of the class.

        Raises:
            ValueError: There is no such model, or it can't be used; the message says why.
        """
        config, weights = read_folder(fetch_folder(name, revision))
        return cls(config, weights, **options)

    def __call__(
        self,
        source: Source | list[Source],
        *,
        out_dir: str | Path | None = None,
        overlay: str | Path | None = None,
        strip: bool = False,
        fps: float | None = None,
        start: float = 0.0,
        end: float | None = None,
        audio: str | Path | None = None,
        audio_track: int | None = None,
        silent_ok: bool = False,
        picture_rate: float = 1.0,
        keep_frames: bool = True,
        progress: Progress | None = None,
        on_error: OnError | None = None,
    ) -> ClipResult | list[ClipResult]:
        """Segment a source.

        Args:
            source: A video file, an (image, sound) pair of files or arrays, an image file with
                ``audio``, a folder, a ``Clip``, or a list of these; see ``sources.open_sources``.
            out_dir: Per clip a folder in it gets the class maps (PNG), the overlay (mp4 with the
                original sound, or PNG), a report (JSON) and a figure of what sounds when.
            overlay: File for the overlay of a single clip.
            strip: Hang the spectrogram with a cursor under the overlay's frames.
            fps: Frames per second that the model sees; masks are held in between. None: all.
            start: First second.
            end: Last second; None is the clip's end.
            audio: Sound file instead of a video's own, or for an image.
            audio_track: Sound track that is heard, from 1; None takes the default one.
            silent_ok: Go on with a video that has no sound track.
            picture_rate: Numbered images of a folder in a second; AVSBench has one.
            keep_frames: Whether the result holds the class maps; without them the memory needed
                does not grow with the clip.
            progress: Called after each frame with the clip, its frames done and their expected
                number.
            on_error: Called with what is wrong with a clip of a folder or a list, and the others go
                on; None raises it.

        Returns:
            One result, or a list of them for a folder or a list.

        Raises:
            ValueError: A source can't be used; the message says why and what to do. No half of
                an overlay or report is left.
        """
        folder, overlay_file = check_output("out_dir", out_dir), check_output("overlay", overlay)
        several = isinstance(source, list) or (
            isinstance(source, (str, Path)) and is_folder(source)
        )
        clips = open_sources(
            source,
            audio=audio,
            audio_track=audio_track,
            silent_ok=silent_ok,
            picture_rate=picture_rate,
            on_error=on_error,
        )
        if overlay is not None and len(clips) > 1:
            raise ValueError(f"overlay={str(overlay)!r} is one file for {len(clips)} clips; "
                             "give out_dir")  # fmt: skip
        taken: set[str] = set()

        def segment(clip: Clip) -> ClipResult:
            check_times(clip.name, clip.duration, fps, start, end)
            stop = clip.duration if end is None else min(end, clip.duration)
            outputs = ClipOutputs(
                clip,
                self.classes,
                end=stop,
                out_dir=result_folder(folder, clip.name, taken) if folder else None,
                overlay=overlay_file,
                read=[path for one in clips for path in one.files],
                strip=strip,
                sample_rate=self.preparation.sample_rate,
            )
            pairs = self.stream(clip, fps=fps, start=start, end=stop)
            if progress is not None:
                expected = max(1, round(clip.num_frames * (stop - start) / clip.duration))
                pairs = reporting(pairs, partial(progress, clip), expected)
            try:
                return gather(clip, pairs, outputs, start, stop, keep_frames)
            except BaseException:
                outputs.abort()
                raise

        if not several:
            return segment(clips[0])
        return [result for clip in clips for result in attempt(on_error, segment, clip)]

    def stream(
        self,
        clip: Clip,
        *,
        fps: float | None = None,
        start: float = 0.0,
        end: float | None = None,
    ) -> Iterator[tuple[Frame, FrameResult]]:
        """Frame by frame, in constant memory, every frame of the clip with its masks.

        Args:
            clip: One of ``open_sources``.
            fps: As in ``__call__``; a held frame comes with the very same result as the one before.
            start: First second.
            end: Last second; None is the clip's end.
        """
        check_times(clip.name, clip.duration, fps, start, end)
        rate, length = self.preparation.sample_rate, self.preparation.num_samples
        # What is heard before is skipped. Windows are moved inside at the clip's edges alone: the
        # first one begins later than this.
        heard = max(0, math.floor(start - length / rate))
        sound = clip.sound(rate, self.preparation.channels, heard, clip.duration)
        sound = telling_of_mono(sound, clip.name, self.model)
        windows = SoundWindows(sound, length=length, sample_rate=rate)
        waiting, memory = WaitingFrames(), FrameMemory()
        most_held = _MOST_HELD if self._clip_length == 1 else _MOST_HELD_OF_CLIPS
        # On a grid from `start` on, so that errors don't add up and parts are as the whole.
        due = start
        for frame in clip.frames(start, end):
            window = None
            if frame.time >= due - 1e-6:
                window = windows.at(frame.time - heard)
                due = frame.time if fps is None else _next_due(frame.time, due, 1 / fps)
            waiting.add(frame, window)
            full = len(waiting.batch) == self.batch_size
            if full or len(waiting) == most_held * self.batch_size:
                results = self.predict(waiting.batch, waiting.sounds, memory)
                yield from waiting.leave_with(results)
        yield from waiting.leave_with(self.predict(waiting.batch, waiting.sounds, memory))

    @torch.inference_mode()
    def predict(
        self,
        frames: Sequence[Frame],
        windows: Sequence[Waveform],
        memory: FrameMemory | None = None,
    ) -> list[FrameResult]:
        """Segment frames, which follow one another, with a window of sound (A, L) each.

        With the memory of the calls before, a model that looks back sees a clip go on.
        """
        memory = memory or FrameMemory()
        results: list[FrameResult] = []
        if not frames:
            return results
        for frame in frames:
            check_frames(frame.image)
        size, together = self._fit(*frames[0].image.shape[:2])
        for i in range(0, len(frames), together):
            part = list(frames[i : i + together])
            data = self.preparation(part, list(windows[i : i + together]), size)
            for frame, sample in zip(part, self._predictor(data, memory), strict=True):
                results.append(self._result(frame, sample))
        return results

    def _fit(self, height: int, width: int) -> tuple[tuple[int, int], int]:
        """Height and width that frames are scored at, and how many together, to fit into memory."""
        maps = len(self.classes) if self._predictor.draws_all_classes else _MAPS
        shrink = min(1.0, math.sqrt(_MOST_SCORES / maps / (height * width)))
        size = (max(1, int(height * shrink)), max(1, int(width * shrink)))
        fitting = _MOST_SCORES // _MAPS // (size[0] * size[1])
        clips = max(1, min(self.batch_size, fitting) // self._clip_length)
        return size, self._clip_length * clips

    def _result(self, frame: Frame, sample: SegDataSample) -> FrameResult:
        class_map = sample.pred_sem_seg.data[0].to(torch.uint8).cpu().numpy()
        inside = class_map > 0
        labels, best = class_map[inside], sample.pred_scores.data[0].float().cpu().numpy()[inside]
        # The score of a label is the mean over its pixels.
        totals, sizes = np.bincount(labels, weights=best), np.bincount(labels)
        found = np.flatnonzero(sizes).tolist()
        areas = {label: int(sizes[label]) / class_map.size for label in found}
        fits = class_map.shape == frame.image.shape[:2]
        return FrameResult(
            time=frame.time,
            class_map=fit_class_map(class_map, frame.image.shape[:2]),
            scores={label: float(totals[label] / sizes[label]) for label in found},
            classes=self.classes,
            areas=areas if fits else None,
        )


def _next_due(time: float, due: float, step: float) -> float:
    """When the frame after one that was due is to be predicted."""
    return due + step * max(1, math.floor((time - due) / step + 1 + 1e-6))
