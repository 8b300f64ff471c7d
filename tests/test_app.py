"""The web page in a real browser: upload, wait, watch, download; wrong files; two visitors."""

import ast
import importlib
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import hosts_asked, open_browser, until
from clips import loud, make_clip, make_jpegs
from fake_segmentor import write_model
from page_server import serve

from projects.cpm_avs.errors import BadSampleError
from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.page import Limits, Page
from projects.cpm_avs.inference.page.answers import check_upload, explain, introduce
from projects.cpm_avs.inference.page.importing import gr
from projects.cpm_avs.inference.sources import open_sources
from projects.cpm_avs.media.video_io import probe

ROOT = Path(__file__).resolve().parents[1]


def segment(page, clip, *, silent_ok=False):
    request = gr.Request(session_hash="me")
    return page.segment(clip and str(clip), 5, silent_ok, request, gr.Progress())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def page(folder):
    example = make_clip(folder / "example.mp4", frames=25, sound=loud(1))
    inferencer = AVSInferencer(*write_model(folder), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        yield Page(inferencer, limits=Limits(seconds=5, megabytes=2), examples=[example])


@pytest.fixture(scope="module")
def address(page):
    with serve(page) as served:
        yield served


@pytest.fixture
def visit(address, tmp_path):
    """Opens the page in a browser of its own."""
    drivers = []

    def open_page(*, phone: bool = False):
        driver = open_browser(tmp_path / f"profile{len(drivers)}", phone=phone)
        drivers.append(driver)
        driver.get_log("performance")  # the browser's own start page
        driver.get(address)
        until(lambda: driver.find_elements("css selector", "#segment"))
        return driver

    yield open_page
    for driver in drivers:
        driver.quit()


def upload(driver, path) -> None:
    field = until(lambda: driver.find_elements("css selector", "#clip input[type=file]"))[0]
    field.send_keys(str(path))


def upload_and_segment(driver, path) -> None:
    upload(driver, path)
    until(lambda: driver.find_elements("css selector", "#clip video"))
    driver.find_element("css selector", "#segment").click()


def toast(driver, part: str) -> str:
    """The messages shown, once one of them has ``part``; the browser adds its own."""
    shown = "return [...document.querySelectorAll('.toast-body')].map(x => x.innerText).join()"
    return until(lambda: part in (text := driver.execute_script(shown)).lower() and text)


def refused(driver) -> list[str]:
    """What the browser asked for in vain: the gate must know all that the page needs."""
    said = [entry["message"] for entry in driver.get_log("browser")]
    return [message for message in said if "Failed to load" in message]


def summary(driver) -> str:
    return until(lambda: driver.find_element("css selector", "#summary").text)


def test_an_upright_video_whose_type_the_browser_does_not_know(visit, tmp_path):
    driver = visit()
    clip = make_clip(tmp_path / "IMG_1.MOV", frames=5, size=(64, 256), sound=loud(0.2))
    give = """
        const given = new DataTransfer(), field = arguments[0], how = {bubbles: true};
        given.items.add(new File([new Uint8Array(arguments[1])], 'IMG_1.MOV'));
        if (arguments[2] === 'drop') {
            field.dispatchEvent(new DragEvent('drop', {...how, dataTransfer: given}));
        } else {
            field.files = given.files;
            field.dispatchEvent(new Event('change', how));
        }"""
    for way in ("choose", "drop"):
        field = until(lambda: driver.find_elements("css selector", "#clip input[type=file]"))[0]
        driver.execute_script(give, field, [*clip.read_bytes()], way)
        until(lambda: driver.find_elements("css selector", "#clip video"))
        if way == "choose":
            driver.find_element("css selector", "#clip [aria-label=Clear]").click()
    driver.find_element("css selector", "#segment").click()
    assert "green square" in summary(driver)
    share = "return arguments[0].clientHeight / window.innerHeight"
    for video in driver.find_elements("css selector", "#clip video, #overlay video"):
        assert until(lambda video=video: driver.execute_script(share, video) > 0.5)
        assert driver.execute_script(share, video) < 0.61


def test_upload_watch_download_leave(visit, page, tmp_path, folder):
    driver = visit()
    clip = make_clip(tmp_path / "my clip.mp4", frames=50, size=(256, 192), sound=loud(2))
    upload_and_segment(driver, clip)
    assert "green square 0.0 to 2.0 s" in summary(driver)
    video = until(lambda: driver.find_elements("css selector", "#overlay video"))[0]
    assert until(lambda: driver.execute_script("return arguments[0].duration", video)) == 2
    driver.execute_script("arguments[0].play()", video)
    until(lambda: driver.execute_script("return arguments[0].currentTime", video) > 0.5)
    heard = "return arguments[0].webkitAudioDecodedByteCount"
    assert driver.execute_script(heard, video) > 0
    width = "return arguments[0].naturalWidth"
    figure = driver.find_element("css selector", "#figure img")
    assert until(lambda: driver.execute_script(width, figure)) > 500

    driver.find_element("css selector", "#masks").click()
    archive = until(lambda: [*(tmp_path / "profile0").glob("*.zip")])[0]
    until(lambda: zipfile.is_zipfile(archive))
    names = zipfile.ZipFile(archive).namelist()
    assert "report.json" in names and len(names) == 11  # 5 frames/s for 2 s

    assert str(folder) not in driver.find_element("css selector", "body").text
    assert {host.split(":")[0] for host in hosts_asked(driver)} == {"127.0.0.1"}

    assert refused(driver) == []

    assert [*page.folder.glob("*/my clip.mp4")] and [*page.folder.glob("result_*")]
    driver.find_element("css selector", "#clip [aria-label=Clear]").click()
    until(lambda: not [*page.folder.glob("*/my clip.mp4")])  # it is not shown any more
    upload(driver, clip)
    until(lambda: [*page.folder.glob("*/my clip.mp4")])
    until(lambda: driver.find_elements("css selector", "#clip video"))
    driver.quit()
    until(lambda: not [*page.folder.glob("*/my clip.mp4"), *page.folder.glob("result_*")])


def test_phone(visit, tmp_path):
    driver = visit(phone=True)
    upload_and_segment(driver, make_clip(tmp_path / "c.mp4", size=(256, 192), sound=loud(1)))
    assert "green square" in summary(driver)
    until(lambda: driver.find_elements("css selector", "#overlay video"))
    page, screen = driver.execute_script(
        "return [document.documentElement.scrollWidth, window.innerWidth]"
    )
    assert page <= screen <= 360


def test_an_example(visit, page):
    driver = visit()
    example = until(lambda: driver.find_elements("css selector", "button.gallery-item"))[0]
    driver.execute_script("arguments[0].click()", example)  # wherever it moves while all loads
    until(lambda: driver.find_elements("css selector", "#clip video"))
    driver.find_element("css selector", "#segment").click()
    assert "green square" in summary(driver)
    assert refused(driver) == []
    driver.quit()
    until(lambda: not [*page.folder.glob("result_*")])
    assert len([*page.folder.glob("*/example.mp4")]) == 1


def test_wrong_files(visit, tmp_path):
    driver = visit()
    letter = tmp_path / "letter.txt"
    letter.write_text("Dear page,")
    upload(driver, letter)
    toast(driver, "file type")

    driver.refresh()
    disguised = tmp_path / "letter.mp4"
    disguised.write_text("Dear page," * 99)
    upload_and_segment(driver, disguised)
    toast(driver, "the file is no video or sound that can be read. please convert")

    driver.refresh()
    upload_and_segment(driver, make_clip(tmp_path / "mute.mp4", frames=3))
    said = toast(driver, "no sound track")
    assert "/" not in said and "mute" not in said
    # The page goes on.
    driver.find_element("css selector", "#clip [aria-label=Clear]").click()
    upload_and_segment(driver, make_clip(tmp_path / "good.mp4", sound=loud(1)))
    assert "green square" in summary(driver)


def test_two_people_at_once(visit, tmp_path):
    first, second = visit(), visit()
    one = make_clip(tmp_path / "one.mp4", frames=100, sound=loud(4))
    two = make_clip(tmp_path / "two.mp4", frames=100, sound=np.concatenate(
        [np.zeros((1, 2 * 44100), np.float32), loud(2)], axis=1))  # fmt: skip
    for driver, clip in ((first, one), (second, two)):
        upload(driver, clip)
        until(lambda driver=driver: driver.find_elements("css selector", "#clip video"))
    for driver in (first, second):
        driver.find_element("css selector", "#segment").click()
    assert "green square 0.0 to 4.0 s" in summary(first)
    assert "green square 2.0 to 4.0 s" in summary(second)


def _words(argument: ast.expr) -> str:
    """The text that stands in the source, without what is filled in."""
    parts = (n.value for n in ast.walk(argument) if isinstance(n, ast.Constant))
    return "".join(part for part in parts if isinstance(part, str))


class TestWithoutBrowser:
    def test_only_what_is_shown_stays(self, page, tmp_path):
        clip = make_clip(tmp_path / "c.mp4", sound=loud(1))
        overlay, figure, archive, text = segment(page, clip)
        assert probe(overlay).frames == 25 and "green square" in text
        assert zipfile.ZipFile(archive).testzip() is None and Path(figure).is_file()
        (kept,) = page.folder.glob("result_*")
        assert not [*kept.glob("**/frame_*")]
        again = segment(page, clip)
        assert not kept.exists() and Path(again[0]).is_file()
        page.visitors.leave("me")
        assert not [*page.folder.glob("result_*")] and clip.is_file()  # it is no upload

    @pytest.mark.parametrize(
        "make, message",
        [
            (lambda path: path.write_bytes(b""), "The file is empty"),
            (lambda path: make_clip(path, frames=3), "no sound track"),
            (lambda path: make_clip(path, frames=150, sound=loud(6)), "lasts 6 s, and at most 5"),
        ],
    )
    def test_errors_are_a_sentence_without_a_path(self, page, tmp_path, make, message):
        make(tmp_path / "secret.mp4")
        with pytest.raises(gr.Error, match=message) as caught:
            segment(page, tmp_path / "secret.mp4")
        assert "secret" not in caught.value.message and str(tmp_path) not in caught.value.message

    def test_a_sound_alone(self, page, tmp_path):
        clip = make_clip(tmp_path / "c.mp4", frames=0, sound=loud(1))
        message = "The file has no picture track. Please give a video with its sound."
        with pytest.raises(gr.Error, match=message):
            segment(page, clip)

    def test_a_part_of_the_file_is_named_and_no_data_set(self):
        error = BadSampleError("x", "the sound is not finite", "Take the sample out of the index")
        assert explain(error) == "The sound is not finite. Please give another one."

    def test_a_picture_is_told_to_be_no_video(self):
        error = BadSampleError("x", "is no picture that can be read", "Save it as jpg or png")
        assert explain(error).endswith("Please give a video with its sound.")

    def test_no_sentence_names_an_option_of_the_command_line(self):
        """Every error that the reading of a clip can raise, from the sources."""
        errors = []
        rooms = [ROOT / "projects" / "cpm_avs" / room for room in ("inference", "media")]
        for path in (path for room in rooms for path in room.glob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "BadSampleError":
                    problem, remedy = map(_words, node.args[1:])
                    if problem and remedy:
                        errors.append(BadSampleError("x", problem, remedy))
        assert len(errors) > 8 and any("--" in error.remedy for error in errors)
        assert [error for error in errors if "--" in explain(error)] == []

    def test_nothing_chosen(self, page):
        with pytest.raises(gr.Error, match="choose or record"):
            segment(page, None)

    def test_silent_ok(self, page, tmp_path):
        clip = make_clip(tmp_path / "c.mp4", frames=3)
        assert "None of the objects" in segment(page, clip, silent_ok=True)[3]

    def test_the_page_says_what_the_model_knows(self):
        assert introduce(["background", "cell_phone", "dog"]).endswith(
            "This model knows cell phone, dog, and no other object."
        )
        assert "knows" not in introduce(["background", "object"])  # S4, MS3: that it sounds

    @pytest.mark.parametrize("sizes", [[(200, 200)], [(64, 48)] * 4 + [(200, 200)]])
    def test_frames_that_are_too_large(self, page, tmp_path, monkeypatch, sizes):
        monkeypatch.setattr("projects.cpm_avs.inference.page.page.MOST_PIXELS", 10_000)
        clip = make_jpegs(tmp_path / "c.avi", sizes)
        with pytest.raises(gr.Error, match="more than 10000 pixels.* Please make its frames small"):
            segment(page, clip, silent_ok=True)

    def test_too_many_frames(self, tmp_path):
        (clip,) = open_sources(make_clip(tmp_path / "c.mp4", frames=3), silent_ok=True)
        with pytest.raises(gr.Error, match="too many frames"):
            check_upload(replace(clip, num_frames=10**6), Limits())

    def test_what_nobody_foresaw_is_a_sentence(self, page, tmp_path, monkeypatch, caplog):
        def fail(*_, **__):
            raise RuntimeError(f"CUDA out of memory in {tmp_path}")

        monkeypatch.setattr(page, "inferencer", fail)
        with pytest.raises(gr.Error, match="could not be segmented; the server's log says why"):
            segment(page, make_clip(tmp_path / "c.mp4", sound=loud(1)))
        assert "CUDA out of memory" in caplog.text


def test_errors_of_the_command_line_are_one_sentence(tmp_path, capsys, monkeypatch):
    app = importlib.import_module("projects.cpm_avs.commands.app")
    monkeypatch.setattr(app.signal, "signal", lambda *_: None)
    for variable in ("GRADIO_TEMP_DIR", "GRADIO_ANALYTICS_ENABLED"):
        monkeypatch.setenv(variable, "")
    config, checkpoint = map(str, write_model(tmp_path))
    for options, message in (
        (["--checkpoint", checkpoint, "--device", "gpu"], "error: device 'gpu' can't be used"),
        (["--checkpoint", f"{checkpoint}/x"], "no such checkpoint"),
    ):
        assert app.main(["--config", config, *options]) == 1
        assert message in capsys.readouterr().err
