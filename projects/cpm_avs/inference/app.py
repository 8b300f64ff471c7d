"""The web page: upload or record a clip, see and download what sounds in it."""

import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import gradio as gr

from ..media.video_io import VideoInfo, probe
from ..structures import BadSampleError
from .av_inferencer import AVSInferencer
from .results import ClipResult

_MOST_PIXELS = 4096 * 2304
_KEPT = 1800  # seconds that uploads and results stay on the server
_SYSTEM_FONTS = ("system-ui", "sans-serif")  # nothing is fetched from elsewhere
# On a phone all columns stand below each other and nothing is wider than the screen.
_CSS = "video, img {max-width: 100%; height: auto} .gradio-container {padding: 8px !important}"
# Without a wish a browser gives the camera's largest frames, which it can hardly record.
_CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}
_INTRO = """# What sounds?
Give a short clip with sound. The objects that sound are coloured, frame by frame."""


@dataclass(frozen=True)
class Limits:
    """What one person may ask of the server.

    Attributes:
        seconds: Longest clip.
        megabytes: Largest upload.
        at_once: Clips segmented at the same time; others wait.
    """

    seconds: float = 60.0
    megabytes: int = 100
    at_once: int = 2


class PageError(gr.Error):
    """A sentence for the person at the page; it names no file of the server."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence, print_exception=False, title="This did not work")


class Page:
    """The page's one action and its layout.

    Args:
        inferencer: Shared by all visitors; it keeps no state of a clip.
        limits: What one person may ask for.
        examples: Clips offered for a first try.
    """

    def __init__(
        self, inferencer: AVSInferencer, *, limits: Limits, examples: Sequence[Path] = ()
    ) -> None:
        self.inferencer, self.limits, self.examples = inferencer, limits, list(examples)

    def segment(
        self,
        clip: str | None,
        fps: float,
        silent_ok: bool,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio is asked for one)
    ) -> Iterator[tuple[str, str, str, str]]:
        """Segment an upload.

        Yields:
            Paths of the overlay, of the figure and of the zip, and the summary. Gradio takes copies
            of the files before it asks for more; then the folder goes.
        """
        if not clip:
            raise PageError("Please choose or record a clip first.")
        with tempfile.TemporaryDirectory(prefix="cpm_avs_") as folder:
            try:
                check_upload(probe(clip), self.limits)
                result = self.inferencer(
                    clip,
                    out_dir=folder,
                    strip=True,
                    fps=fps,
                    silent_ok=silent_ok,
                    keep_frames=False,
                    progress=lambda _, done, total: progress((done, total), unit="frames"),
                )
            except BadSampleError as error:
                raise PageError(explain(error)) from error
            assert isinstance(result, ClipResult)
            archive = zip_masks(result, Path(folder) / "masks.zip")
            files = result.files
            yield str(files["overlay"]), str(files["figure"]), str(archive), describe(result)

    def build(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(
            title="What sounds?", analytics_enabled=False, delete_cache=(300, _KEPT)
        ) as page:
            gr.Markdown(_INTRO)
            with gr.Row():
                with gr.Column(min_width=300):
                    clip = gr.Video(
                        label=f"Clip, at most {self.limits.seconds:g} s",
                        sources=["upload", "webcam"],
                        include_audio=True,
                        webcam_options=gr.WebcamOptions(mirror=False, constraints=_CAMERA),
                        elem_id="clip",
                    )
                    with gr.Accordion("Settings", open=False):
                        fps = gr.Slider(
                            1, 25, value=5, step=1, label="Frames per second that are segmented"
                        )
                        silent_ok = gr.Checkbox(label="Go on if the clip has no sound")
                    start = gr.Button("Segment", variant="primary", elem_id="segment")
                    if self.examples:
                        gr.Examples(
                            [[str(path)] for path in self.examples],
                            inputs=[clip],
                            label="Or try one of these",
                        )
                with gr.Column(min_width=300):
                    # Labels would lie on the pictures and hide their legends.
                    overlay = gr.Video(show_label=False, interactive=False, elem_id="overlay")
                    summary = gr.Markdown(elem_id="summary")
                    figure = gr.Image(
                        show_label=False, interactive=False, buttons=[], elem_id="figure"
                    )
                    archive = gr.DownloadButton("Download the masks (zip)", elem_id="masks")
            start.click(
                self.segment,
                inputs=[clip, fps, silent_ok],
                outputs=[overlay, figure, archive, summary],
                concurrency_limit=self.limits.at_once,
                api_name="segment",
            )
        page.queue(max_size=20)
        return page

    def launch(self, *, host: str, port: int | None, block: bool) -> gr.Blocks:
        """Serve the page.

        Args:
            host: Address to listen at; 127.0.0.1 is this machine only.
            port: None takes the first free one from 7860 on.
            block: Whether to stay until the program is ended.
        """
        page = self.build()
        page.launch(
            server_name=host,
            server_port=port,
            prevent_thread_lock=not block,
            max_file_size=f"{self.limits.megabytes}mb",
            theme=gr.themes.Default(font=_SYSTEM_FONTS, font_mono=("monospace",)),
            css=_CSS,
            footer_links=[],
            share=False,
            quiet=not block,
            ssr_mode=False,
        )
        return page


def check_upload(info: VideoInfo, limits: Limits) -> None:
    """Refuse what would keep the server busy for too long."""
    if info.duration > limits.seconds:
        raise PageError(
            f"The clip lasts {info.duration:.0f} s, and at most {limits.seconds:g} s are taken; "
            "please cut it."
        )
    if info.width * info.height > _MOST_PIXELS:
        raise PageError(
            f"The frames are {info.width} x {info.height} pixels large, which is too much; "
            "please make the clip smaller."
        )
    if info.frames > 240 * limits.seconds:
        raise PageError("The clip has too many frames; please give at most 240 per second.")


def explain(error: BadSampleError) -> str:
    """The error without the server's path."""
    if "no sound track" in error.reason:
        return (
            "The clip has no sound track. Please give one with sound, or tick "
            "'Go on if the clip has no sound' in the settings."
        )
    if "--" in error.remedy:  # an option of the command line
        return f"The file {error.reason}. Please give a video with its sound."
    return f"The file {error.reason}. Please {error.remedy[0].lower()}{error.remedy[1:]}."


def describe(result: ClipResult) -> str:
    """What sounds when, as Markdown."""
    if not result.segments:
        return "**No object sounds.**"
    lines = [
        f"- **{one.name}** {one.start:.1f} to {one.end:.1f} s ({one.score:.0%} sure)"
        for one in result.segments
    ]
    return "\n".join(["**What sounds when**", "", *lines])


def zip_masks(result: ClipResult, path: Path) -> Path:
    """The class maps and the report in one file."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # PNG is compressed already
        archive.write(result.files["report"], "report.json")
        for mask in sorted(result.files["masks"].iterdir()):
            archive.write(mask, f"masks/{mask.name}")
    return path
