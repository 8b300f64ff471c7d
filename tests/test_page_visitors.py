"""Files of the web page's visitors go with the last one who needs them."""

import pytest

from projects.cpm_avs.inference.page.visitors import VisitorLeftError, Visitors


@pytest.fixture
def upload(tmp_path):
    """Makes an upload as Gradio does: a folder of its content's hash."""

    def make(name: str, folder: str = "hash") -> str:
        path = tmp_path / "visitors" / folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
        return str(path)

    return make


@pytest.fixture
def visitors(tmp_path):
    folder = tmp_path / "visitors"
    folder.mkdir()
    return Visitors(folder, lambda clip: clip.endswith("example.mp4"))


def left(visitors) -> list[str]:
    return sorted(path.name for path in visitors.folder.rglob("*"))


def test_an_upload_that_two_have_chosen_goes_with_the_second(visitors, upload):
    clip = upload("a.mp4")
    for session in ("one", "two", "two"):
        visitors.choose(session, clip)
    visitors.leave("one")
    assert left(visitors) == ["a.mp4", "hash"]
    visitors.leave("two")
    visitors.leave("two")
    assert left(visitors) == []


def test_another_choice_or_none_lets_the_first_go(visitors, upload):
    first, second = upload("a.mp4"), upload("b.mp4")  # of one content
    visitors.choose("one", first)
    visitors.choose("one", second)
    assert left(visitors) == ["b.mp4", "hash"]
    visitors.choose("one", None)
    assert left(visitors) == []


def test_a_clip_is_there_until_its_job_ends(visitors, upload):
    clip = upload("a.mp4")
    with visitors.job("one", clip) as (folder, check):
        visitors.choose("one", upload("b.mp4", "other"))
        check()
        assert left(visitors) == ["a.mp4", "b.mp4", "hash", "other", folder.name]
    assert left(visitors) == ["b.mp4", "other", folder.name]


def test_results_are_replaced_by_the_next_and_kept_where_that_fails(visitors, upload):
    clip = upload("a.mp4")
    for kept in range(2):
        with visitors.job("one", clip) as (folder, _):
            (folder / str(kept)).touch()
    with pytest.raises(ValueError, match="full"), visitors.job("one", clip):
        raise ValueError("full")
    assert left(visitors) == ["1", "a.mp4", "hash", folder.name]
    visitors.close()
    assert left(visitors) == []


def test_who_leaves_during_a_job_has_no_results(visitors, upload):
    with (
        pytest.raises(VisitorLeftError),
        visitors.job("one", upload("a.mp4")) as (_, check),
    ):
        check()
        visitors.leave("one")
        assert "a.mp4" in left(visitors)  # it is being read
        check()
    assert left(visitors) == []
    with pytest.raises(VisitorLeftError), visitors.job("one", upload("a.mp4")):
        visitors.close()  # too late to stop it
    assert left(visitors) == []
    with pytest.raises(VisitorLeftError), visitors.job("one", upload("a.mp4")):
        raise AssertionError("the server has ended")


def test_examples_and_files_of_others_stay(visitors, upload, tmp_path):
    mine = tmp_path / "mine.mp4"
    mine.touch()
    (visitors.folder / "link.mp4").symlink_to(mine)
    for clip in (upload("example.mp4"), str(mine), str(visitors.folder / "link.mp4")):
        visitors.choose("one", clip)
    visitors.leave("one")
    assert mine.exists() and left(visitors) == ["example.mp4", "hash", "link.mp4"]
