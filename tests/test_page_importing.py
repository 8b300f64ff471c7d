"""Gradio's import, without stubs for editors."""

import inspect

import pytest

from projects.cpm_avs.inference.page.importing import gr, without_stubs


def test_gradio_writes_none_for_what_has_no_file(monkeypatch):
    def read(code: str, name: str) -> None:
        raise AssertionError(f"{name} is read for its stub")

    monkeypatch.setattr(gr.component_meta, "extract_class_source_code", read)
    with without_stubs():
        gr.component_meta.create_or_modify_pyi(gr.Textbox, "Textbox", [])
    with pytest.raises(AssertionError, match="Textbox is read"):
        gr.component_meta.create_or_modify_pyi(gr.Textbox, "Textbox", [])


def test_others_have_their_files_and_all_have_them_afterwards():
    before = inspect.getfile
    with without_stubs():
        assert inspect.getfile(pytest.Item).endswith(".py")
        assert inspect.getfile(inspect) == inspect.__file__
        with pytest.raises(OSError, match="no stubs"):
            inspect.getfile(gr.Textbox)
    assert inspect.getfile is before
