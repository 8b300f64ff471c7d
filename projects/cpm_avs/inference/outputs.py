"""What is written of a clip: masks, overlay with sound, report, figure; frame by frame."""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from ..errors import UserError
from ..files import whole_file
from ..media.video_io import Frame
from ..media.video_writer import VideoWriter
from ..visualization.colors import class_color
from ..visualization.drawing import MaskPainter
from ..visualization.plots import sound_figure
from ..visualization.spectrogram_strip import SpectrogramStrip, clip_spectrogram
from .clip import Clip
from .report_writer import ReportWriter
from .results import FrameResult, Segment, fit_class_map

_VIDEOS = (".mp4", ".m4v", ".mov", ".mkv")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


class OverlayWriter:
    """The clip with its masks: an mp4 with the original sound, or a PNG for a single image.

    It is written beside its place, under a hidden name, and gets there when it is finished.

    Args:
        path: File to write; the parent's folder is made.
        clip: Its frames' rate, clock and sound are kept.
        classes: Names by label.
        end: Where the result ends, seconds of the clip.
        strip: The spectrogram strip to hang under the frames, or None to keep their size.

    Raises:
        ValueError: The file's suffix is not one of a video, or of a picture for an image.
    """

    def __init__(
        self,
        path: Path,
        clip: Clip,
        classes: Sequence[str],
        *,
        end: float,
        strip: "ClipSound | None" = None,
    ) -> None:
        suffixes = _VIDEOS if clip.is_video else _PICTURES
        if path.suffix.lower() not in suffixes:
            kind = "a video" if clip.is_video else "a picture"
            raise ValueError(
                f"{path}: the overlay is {kind}; give a name that ends in {', '.join(suffixes)}"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._clip, self._end = path, clip, end
        # A name may be as long as the file system takes already.
        self._part = path.with_name(f".{path.stem[:40]}.part{path.suffix}")
        self._painter = MaskPainter(classes)
        self._maker = strip
        self._strip: SpectrogramStrip | None = None
        self._video: VideoWriter | None = None
        self._first = 0.0
        self._size: tuple[int, ...] = ()

    def write(self, frame: Frame, result: FrameResult) -> None:
        """Add a frame with the masks that hold for it, both at the size of the first frame."""
        self._size = self._size or frame.image.shape[:2]
        picture = np.asarray(cv2.cvtColor(frame.image, cv2.COLOR_BGR2RGB), np.uint8)
        if picture.shape[:2] != self._size:
            picture = np.asarray(cv2.resize(picture, self._size[::-1]), np.uint8)
        class_map = fit_class_map(result.class_map, self._size)
        drawn = self._painter.paint(picture, class_map, scores=result.scores)
        if self._maker is not None:
            self._strip = self._strip or self._maker.strip(drawn.shape[1])
            drawn = np.concatenate([drawn, self._strip.at(frame.time)])
        if not self._clip.is_video:
            Image.fromarray(drawn).save(self._part)
            return
        if self._video is None:
            self._first = frame.shown
            self._video = self._open(drawn)
        self._video.write(drawn, frame.shown)

    def _open(self, drawn: NDArray[np.uint8]) -> VideoWriter:
        clip, sound = self._clip, None
        if clip.channels:
            sound = clip.sound(_aac_rate(clip.sample_rate), clip.channels, self._first, self._end)
        return VideoWriter(
            self._part,
            width=drawn.shape[1],
            height=drawn.shape[0],
            rate=clip.rate,
            time_base=clip.time_base,
            sound=sound,
            sample_rate=_aac_rate(clip.sample_rate),
            channels=clip.channels,
        )

    def close(self) -> None:
        """Finish the file and put it in its place."""
        if self._video is not None:
            self._video.close(self._end - self._first)
        os.replace(self._part, self.path)

    def abort(self) -> None:
        """Take away what is not finished; what was at its place before stays there."""
        if self._video is not None:
            self._video.abort()
        self._part.unlink(missing_ok=True)


def _aac_rate(rate: int) -> int:
    """A sample rate that AAC knows: the same one, or 48 kHz."""
    known = (7350, 8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000, 64000, 88200)
    return rate if rate in (*known, 96000) else 48000


class ClipSound:
    """The spectrogram of a clip, read in one pass before the frames.

    Args:
        clip: Whose sound it is.
        sample_rate: At which the model hears it, Hz.
    """

    def __init__(self, clip: Clip, sample_rate: int) -> None:
        self.duration, self.sample_rate = clip.duration, sample_rate
        self.spectrogram = clip_spectrogram(
            clip.sound(sample_rate, 1, 0.0, clip.duration),
            duration=clip.duration,
            sample_rate=sample_rate,
            columns=1024,
        )

    def strip(self, width: int) -> SpectrogramStrip:
        """A strip of some width, an eighth as high, in even pixels."""
        return SpectrogramStrip(
            self.spectrogram,
            duration=self.duration,
            width=width,
            height=max(48, width // 16 * 2),
            sample_rate=self.sample_rate,
        )

    def figure(self, segments: list[Segment]) -> Figure:
        """The spectrogram above the timeline of what was heard."""
        return sound_figure(
            self.spectrogram,
            [(one.name, one.label, one.start, one.end) for one in segments],
            self.duration,
            sample_rate=self.sample_rate,
        )


def earlier_masks(folder: Path) -> list[Path]:
    """Masks that ``MaskWriter`` left in a folder: those of a longer clip would outlive its own."""
    found = folder.glob("frame_*.png")
    return [path for path in found if re.fullmatch(r"frame_\d{6,}\.png", path.name)]


class MaskWriter:
    """Class maps as PNG files that show colours and hold labels (palette images).

    Args:
        folder: Where ``frame_000000.png`` and so on go.
        num_classes: C.
    """

    def __init__(self, folder: Path, num_classes: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._count = folder, 0
        colors = [(0, 0, 0), *(class_color(label) for label in range(1, num_classes))]
        self._palette = [value for color in colors for value in color]

    def write(self, result: FrameResult) -> str:
        """Write a predicted frame; returns the file's name."""
        image = Image.fromarray(result.class_map).convert("P")
        image.putpalette(self._palette)
        name = f"frame_{self._count:06d}.png"
        with whole_file(self.folder / name) as part:
            image.save(part)
        self._count += 1
        return name


class ClipOutputs:
    """All that is written of one clip; masks and report of an earlier run are removed.

    Args:
        clip: The source.
        classes: Names by label.
        end: Where the result ends, seconds of the clip.
        out_dir: Folder of ``result_folder`` for masks, overlay, report and figure, or None.
        overlay: File for the overlay, or None for its place in ``out_dir``.
        read: Files that nothing may be written to.
        strip: Whether the spectrogram hangs under the overlay's frames.
        sample_rate: At which the model hears, Hz.

    Raises:
        ValueError: One of ``read`` lies where a file would be written.
    """

    def __init__(
        self,
        clip: Clip,
        classes: Sequence[str],
        *,
        end: float,
        out_dir: Path | None,
        overlay: Path | None,
        read: Iterable[Path],
        strip: bool,
        sample_rate: int,
    ) -> None:
        self.files: dict[str, Path] = {}
        self._masks: MaskWriter | None = None
        self._report: ReportWriter | None = None
        self._overlay: OverlayWriter | None = None
        if out_dir is not None:
            overlay = overlay or out_dir / ("overlay.mp4" if clip.is_video else "overlay.png")
            self.files["masks"] = out_dir / "masks"
            self.files["report"] = out_dir / "report.json"
            self.files["figure"] = out_dir / "sound.png"
        if overlay is not None:
            self.files["overlay"] = overlay
        earlier = earlier_masks(self.files["masks"]) if out_dir else []
        _refuse_sources(read, [*self.files.values(), *earlier])
        for mask in earlier:
            mask.unlink()
        self._sound = ClipSound(clip, sample_rate) if strip or out_dir else None
        if overlay is not None:
            hung = self._sound if strip else None
            self._overlay = OverlayWriter(overlay, clip, classes, end=end, strip=hung)
        if out_dir is not None:
            self._masks = MaskWriter(self.files["masks"], len(classes))
            self._report = ReportWriter(self.files["report"], clip, classes)

    def write(self, frame: Frame, result: FrameResult, *, held: bool) -> None:
        """Add a frame; of one whose masks are held over only the overlay is new."""
        if self._overlay is not None:
            self._overlay.write(frame, result)
        if self._masks is not None and self._report is not None and not held:
            self._report.write(result, self._masks.write(result))

    def close(self, segments: list[Segment]) -> None:
        """Finish all files; one that is finished stays, whatever happens to the next."""
        if self._overlay is not None:
            self._overlay.close()
            self._overlay = None
        if self._report is not None:
            self._report.close(segments)
            self._report = None
        if "figure" in self.files and self._sound is not None:
            with whole_file(self.files["figure"]) as part:
                self._sound.figure(segments).savefig(part, dpi=160)

    def abort(self) -> None:
        """Leave no half of a video or of a report behind."""
        if self._overlay is not None:
            self._overlay.abort()
        if self._report is not None:
            self._report.abort()


def _refuse_sources(read: Iterable[Path], outputs: Iterable[Path]) -> None:
    """Frames are still read while the result is written."""
    sources = [source for source in read if source.exists()]
    for path in outputs:
        if path.exists() and any(path.samefile(source) for source in sources):
            raise UserError(f"{path}: the clip itself is read from it; write to another file")
