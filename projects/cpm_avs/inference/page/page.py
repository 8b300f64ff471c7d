"""The web page: upload or record a clip, see and download what sounds in it."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
from gradio.utils import get_upload_folder

from ...errors import BadSampleError
from ..av_inferencer import AVSInferencer
from ..clip import Clip
from ..results import ClipResult
from ..sources import open_sources
from .answers import (
    MOST_PIXELS,
    Limits,
    PageError,
    check_upload,
    describe,
    explain,
    introduce,
    zip_masks,
)
from .file_types import STATE_TYPES
from .visitors import VisitorLeftError, Visitors

logger = logging.getLogger(__name__)
_KEPT = 1800  # seconds that uploads and results stay on the server
# Without a wish a browser gives the camera's largest frames, which it can hardly record.
_CAMERA = {"video": {"width": {"ideal": 640}, "height": {"ideal": 480}}}


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
        # Gradio's (GRADIO_TEMP_DIR), for this page alone: what lies there is served as it is, and
        # removed after a while.
        self.folder = Path(get_upload_folder())
        self.folder.mkdir(parents=True, exist_ok=True)
        self.visitors = Visitors(self.folder, lambda clip: clip in self._kept)
        self._kept: set[str] = set()  # Gradio's copies of the examples

    def segment(
        self,
        clip: str | None,
        fps: float,
        silent_ok: bool,
        request: gr.Request,
        progress: gr.Progress = gr.Progress(),  # noqa: B008  (how Gradio is asked for one)
    ) -> tuple[str, str, str, str]:
        """Segment an upload.

        Returns:
            Paths of the overlay, of the figure and of the zip, and the summary.
        """
        if not clip:
            raise PageError("Please choose or record a clip first.")
        if not Path(clip).is_file():
            raise PageError("The clip is not on the server any more; please choose it again.")
        try:
            with self.visitors.job(str(request.session_hash), clip) as (folder, check):

                def show(_: Clip, done: int, total: int) -> None:
                    check()
                    progress((done, total), unit="frames")

                (opened,) = open_sources(clip, silent_ok=silent_ok, most_pixels=MOST_PIXELS)
                check_upload(opened, self.limits)
                result = self.inferencer(
                    opened,
                    out_dir=folder,
                    strip=True,
                    fps=fps,
                    keep_frames=False,
                    progress=show,
                )
                assert isinstance(result, ClipResult)
                archive = zip_masks(result, folder / "masks.zip")
                overlay, figure = (
                    shutil.move(result.files[kind], folder) for kind in ("overlay", "figure")
                )
                shutil.rmtree(result.files["masks"].parent)  # nobody is shown the rest
        except BadSampleError as error:
            raise PageError(explain(error)) from error
        except VisitorLeftError as error:
            raise PageError("The page was closed, and the clip was not finished.") from error
        except PageError:
            raise
        except Exception as error:
            logger.exception("a clip on the page could not be segmented")
            raise PageError(
                "The clip could not be segmented; the server's log says why. Please try another."
            ) from error
        return str(overlay), str(figure), str(archive), describe(result)

    def choose(self, clip: str | None, request: gr.Request) -> None:
        """Note which upload is shown to whom."""
        self.visitors.choose(str(request.session_hash), clip)

    def leave(self, request: gr.Request) -> None:
        """A tab was closed."""
        self.visitors.leave(str(request.session_hash))

    def build(self) -> gr.Blocks:
        """Lay the page out."""
        with gr.Blocks(
            title="What sounds?", analytics_enabled=False, delete_cache=(300, _KEPT)
        ) as page:
            gr.Markdown(introduce(self.inferencer.classes))
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
            clip.change(self.choose, inputs=[clip], queue=False, show_progress="hidden")
            page.unload(self.leave)
            page.load(js=STATE_TYPES)
        self._kept = clip.keep_in_cache
        page.queue(max_size=20, api_open=False)  # what is queued is not run past the queue
        return page
