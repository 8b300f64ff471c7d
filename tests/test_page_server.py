"""What the web page's server answers to, keeps and gives back, without a browser."""

import http.client
import json
import os
import re
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import numpy as np
import pytest
from browser import until
from clips import make_clip
from fake_segmentor import write_model
from new_process import start
from page_server import serve

from projects.cpm_avs.inference import AVSInferencer
from projects.cpm_avs.inference.page import Limits, Page, listen

ROOT = Path(__file__).resolve().parents[1]
LOUD = np.resize(np.repeat([0.5, -0.5], 20), (1, 8820)).astype(np.float32)


class Endless:
    """An inferencer that works until it is stopped."""

    def __init__(self) -> None:
        self.working = threading.Semaphore(0)
        self.stopped = threading.Semaphore(0)

    def __call__(self, clip, *, progress, **_):
        self.working.release()
        try:
            for done in range(1500):
                time.sleep(0.02)
                progress(None, done, 1500)
        finally:
            self.stopped.release()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    example = make_clip(folder / "example.mp4", frames=5, sound=LOUD)
    inferencer = AVSInferencer(*write_model(folder), device="cpu")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder / "uploads"))
        yield Page(inferencer, limits=Limits(megabytes=2, at_once=1), examples=[example])


@pytest.fixture(scope="module")
def host(page):
    with serve(page) as address:
        yield urlsplit(address).netloc


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    return make_clip(tmp_path_factory.mktemp("clips") / "mine.mp4", frames=5, sound=LOUD)


def ask(host, method, path, body=None, headers=None):
    """Status and text."""
    connection = http.client.HTTPConnection(host, timeout=20)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def form(content: bytes, *names: str) -> tuple[bytes, dict[str, str]]:
    """The body of an upload, and its headers."""
    parts = [
        f'--B\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n\r\n'.encode()
        + content
        for name in names
    ]
    body = b"\r\n".join([*parts, b"--B--\r\n"])
    return body, {"Content-Type": "multipart/form-data; boundary=B"}


def upload(host, content: bytes, *names: str):
    return ask(host, "POST", "/gradio_api/upload", *form(content, *names))


def join(host, path, *, session, to="queue/join", action="segment"):
    """Ask for a clip to be segmented."""
    shown = re.search(r"window\.gradio_config = (.*?);</script>", ask(host, "GET", "/")[1])[1]
    actions = {one["api_name"]: one["id"] for one in json.loads(shown)["dependencies"]}
    clip = path and dict(path=path, meta={"_type": "gradio.FileData"})
    body = json.dumps(dict(data=[clip, 5, False], fn_index=actions[action], session_hash=session))
    return ask(host, "POST", f"/gradio_api/{to}", body, {"Content-Type": "application/json"})


def stream(host, path) -> http.client.HTTPConnection:
    """A connection that stays open."""
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", path)
    connection.answer = connection.getresponse()
    assert connection.answer.status == 200
    return connection


def hang_up(connection: http.client.HTTPConnection) -> None:
    connection.answer.close()
    connection.close()


def outcome(host, session) -> dict:
    """The last message about a visitor's job."""
    waiting = stream(host, f"/gradio_api/queue/data?session_hash={session}")
    for line in waiting.answer:
        message = json.loads(line.removeprefix(b"data: ")) if line.strip() else {}
        if message.get("msg") == "process_completed":
            hang_up(waiting)
            return message
    raise AssertionError("no answer")


def below(folder: Path) -> list[Path]:
    """All files, also where a folder is removed meanwhile, at which rglob would end."""
    return [Path(here, name) for here, _, names in os.walk(folder) for name in names]


def files(page) -> list[str]:
    """What lies there for visitors; the page's own copy of its example does not count."""
    return [path.name for path in below(page.folder) if path.name != "example.mp4"]


@pytest.mark.parametrize(
    "method, path",
    [
        ("GET", "/monitoring"),
        ("GET", "/monitoring/summary"),
        ("GET", "/monitoring/x"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"),
        ("POST", "/gradio_api/call/segment"),
        ("POST", "/gradio_api/run/segment"),
        ("POST", "/gradio_api/api/segment"),
        ("POST", "/gradio_api/cancel"),
        ("POST", "/gradio_api/stream/x"),
        ("POST", "/login"),
        ("GET", "/config"),
        ("GET", "/docs"),
        ("GET", "/openapi.json"),
        ("GET", "/gradio_api/info"),
        ("GET", "/gradio_api/openapi.json"),
        ("GET", "/gradio_api/deep_link"),
        ("GET", "/gradio_api/runs"),
        ("GET", "/gradio_api/queue/status"),
        ("GET", "/gradio_api/file/etc/passwd"),
        ("GET", "/gradio_api/proxy=https://example.hf.space"),
        ("GET", "/gradio_api/stream/a/1/2/playlist.m3u8"),
        ("GET", "/gradio_api/custom_component/1/a/b/c"),
        ("GET", "/gradio_api/vibe-code"),
        ("GET", "//gradio_api/info"),
        ("GET", "/assets/../gradio_api/info"),
        ("PUT", "/gradio_api/upload"),
        ("GET", "/gradio_api/upload"),
        ("OPTIONS", "/monitoring/summary"),
    ],
)
def test_what_the_page_does_not_use_is_closed(host, method, path):
    assert ask(host, method, path, "{}", {"Content-Type": "application/json"})[0] in (403, 404)


@pytest.mark.parametrize("kind", ["/gradio_api/file=", "/assets/", "/static/"])
@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../../../../../etc/passwd",
        "..%2f..%2f..%2f..%2f..%2f..%2f..%2fetc/passwd",
        "%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/%2e%2e/etc/passwd",
        "{folder}/../example.mp4",
        "{folder}/link",
        "{folder}",
        "{root}/README.md",
        "file:///etc/passwd",
        "http://127.0.0.1:{port}/",
        "HTTPS://example.org/x",
        "a%00b",
        "x" * 5000,
    ],
)
def test_no_other_file_can_be_read(page, host, kind, path):
    link = page.folder / "link"
    link.unlink(missing_ok=True)
    link.symlink_to("/etc/passwd")
    port = host.rpartition(":")[2]
    asked = kind + path.format(folder=quote(str(page.folder)), root=quote(str(ROOT)), port=port)
    status, text = ask(host, "GET", asked)
    link.unlink()
    assert status in (403, 404) and "root:" not in text


@pytest.mark.parametrize("path", ["/etc/passwd", "http://127.0.0.1:9/x.mp4", "file:///etc/passwd"])
def test_only_uploads_are_segmented(page, host, path):
    for to in ("queue/join", "run/predict"):
        assert join(host, path, session="thief", to=to)[0] == 400 and files(page) == []


def test_nobody_jumps_the_queue(host):
    status, text = join(host, None, session="hurry", to="run/predict")
    assert status == 404 and "join the queue" in text


def test_an_upload_and_its_results_go_with_the_visitor(page, host, clip):
    here = stream(host, "/gradio_api/heartbeat/me")
    (path,) = json.loads(upload(host, clip.read_bytes(), "mine.mp4")[1])
    assert ask(host, "GET", f"/gradio_api/file={quote(path)}")[0] == 200
    for _ in range(2):  # the results of the first time go with the second
        assert join(host, path, session="me")[0] == 200
        overlay, figure, archive, text = outcome(host, "me")["output"]["data"]
        assert "green square" in text
    shown = [overlay["path"], figure["path"], archive["path"]]
    assert [ask(host, "GET", f"/gradio_api/file={quote(one)}")[0] for one in shown] == [200] * 3
    assert sorted(files(page)) == sorted(Path(one).name for one in (path, *shown))
    hang_up(here)
    until(lambda: not files(page))
    # What was shown of an example goes; the example does not.
    (example,) = (path for path in below(page.folder) if path.name == "example.mp4")
    here = stream(host, "/gradio_api/heartbeat/next")
    assert join(host, str(example), session="next")[0] == 200
    assert outcome(host, "next")["success"]
    hang_up(here)
    until(lambda: not files(page))
    assert example.is_file()


def test_who_leaves_gives_the_slot_back(page, host, clip, monkeypatch):
    """One may segment at a time; the others wait for them."""
    endless, real = Endless(), page.inferencer
    monkeypatch.setattr(page, "inferencer", endless)
    (path,) = json.loads(upload(host, clip.read_bytes(), "mine.mp4")[1])
    here = stream(host, "/gradio_api/heartbeat/leaving")
    join(host, path, session="leaving")
    waiting = stream(host, "/gradio_api/queue/data?session_hash=leaving")
    assert endless.working.acquire(timeout=20)
    hang_up(waiting)
    hang_up(here)
    assert endless.stopped.acquire(timeout=10), "works for nobody"
    monkeypatch.setattr(page, "inferencer", real)
    until(lambda: not files(page))
    (path,) = json.loads(upload(host, clip.read_bytes(), "mine.mp4")[1])
    join(host, path, session="staying")
    assert outcome(host, "staying")["success"]
    page.visitors.leave("staying")
    assert files(page) == []


def test_uploads_leave_nothing_that_nobody_knows(page, host, clip):
    content = clip.read_bytes()
    assert upload(host, content, "..")[0] == 400
    until(lambda: not files(page))
    # One that is given up on the way.
    body, headers = form(content, "mine.mp4")
    address, _, port = host.partition(":")
    with socket.create_connection((address, int(port))) as giving_up:
        lines = [f"{key}: {value}" for key, value in headers.items()]
        lines += [f"Host: {host}", f"Content-Length: {len(body)}"]
        head = "\r\n".join(["POST /gradio_api/upload HTTP/1.1", *lines, "", ""])
        giving_up.sendall(head.encode() + body[: len(body) // 2])
        until(lambda: files(page))
    until(lambda: not files(page))


def test_sizes_of_requests_are_bounded(page, host):
    megabyte = bytes(1_000_000)
    status, text = upload(host, megabyte, "a.mp4", "b.mp4", "c.mp4")
    assert status == 413 and "larger than is taken" in text
    status, text = ask(host, "POST", "/gradio_api/queue/join", megabyte)
    assert status == 413
    status, text = ask(host, "POST", "/gradio_api/upload", iter([b"x"]), form(b"")[1])  # chunked
    assert status == 411
    (page.folder / "many").mkdir()
    large = page.folder / "many" / "large"
    with large.open("wb") as file:
        os.truncate(file.fileno(), 40_000_000)
    status, text = upload(host, megabyte, "a.mp4")
    large.unlink()
    assert status == 503 and "try again in a few minutes" in text and files(page) == []


def test_a_port_that_is_taken_and_addresses_that_are_none():
    with listen("127.0.0.1", 0) as opened:
        port = opened.getsockname()[1]
        with pytest.raises(ValueError, match=f"--port {port} is taken; give another one"):
            listen("127.0.0.1", port)
    for host in ("nope.invalid", "", "a b", "x" * 300, "1.2.3.4.5"):
        with pytest.raises(ValueError, match="there is no such address; give 127.0.0.1"):
            listen(host, 0)
    with pytest.raises(ValueError, match="can't be opened at 192.0.2.1:0 .*; give another --host"):
        listen("192.0.2.1", 0)  # somebody else's
    for port in (-1, 65536):
        with pytest.raises(ValueError, match=f"--port {port}: give 1 to 65535"):
            listen("127.0.0.1", port)
    with listen("localhost", 0) as local:
        assert local.getsockname()[0] in ("127.0.0.1", "::1")


def _answers(port: int) -> bool:
    try:
        return ask(f"127.0.0.1:{port}", "GET", "/")[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_the_server_starts_behind_a_proxy_and_tidies_up_when_it_is_ended(tmp_path, monkeypatch):
    config, checkpoint = write_model(tmp_path)
    program = (
        "import sys, fake_segmentor; "
        "sys.modules['socksio'] = sys.modules['socks'] = None; "  # as where they are not installed
        "from projects.cpm_avs.commands import app; sys.exit(app.main(sys.argv[1:]))"
    )
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    with listen("127.0.0.1", 0) as probing:
        port = probing.getsockname()[1]
    options = ["--config", str(config), "--checkpoint", str(checkpoint), "--port", str(port)]
    nobody = "127.0.0.1:9"
    proxies = dict(http_proxy=f"http://{nobody}", https_proxy=f"http://{nobody}",
                   all_proxy=f"socks5://{nobody}", ALL_PROXY=f"socks5://{nobody}")  # fmt: skip
    paths = dict(PYTHONPATH=f"{ROOT}:{ROOT / 'tests'}", TMPDIR=str(temporary))
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    out, err = tmp_path / "out.txt", tmp_path / "err.txt"
    server = start("-c", program, *options, stdout=out, stderr=err, **proxies, **paths)
    try:
        until(lambda: server.poll() is not None or _answers(port), seconds=200)
        assert [*temporary.glob("cpm_avs_page_*/scene 3.mp4")]
        looking = stream(f"127.0.0.1:{port}", "/gradio_api/heartbeat/me")
        server.send_signal(signal.SIGTERM)
        until(lambda: server.poll() is not None, seconds=30)
        assert server.poll() == 0
        assert f"The page: http://127.0.0.1:{port}\n" in out.read_text()
        assert "Traceback" not in err.read_text()
        hang_up(looking)
    finally:
        server.send_signal(signal.SIGKILL)
    assert not [*temporary.glob("cpm_avs_page_*")]
