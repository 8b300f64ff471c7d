"""Files that others' programs read: citation, model index, forms, image and notebook."""

import json
import re
from pathlib import Path

import matplotlib
import pytest
import yaml

from projects.cpm_avs import __version__
from projects.cpm_avs.safe_checkpoint import load_safely

ROOT = Path(__file__).resolve().parents[1]


def read(name: str) -> dict:
    return yaml.safe_load((ROOT / name).read_text())


def test_the_citation_is_of_this_version() -> None:
    citation = read("CITATION.cff")
    assert citation["version"] == __version__
    paper = citation["preferred-citation"]
    names = [f"{one['family-names']}, {one['given-names']}" for one in paper["authors"]]
    readme = (ROOT / "README.md").read_text()
    assert " and ".join(names) in readme
    assert str(paper["year"]) in readme


def test_the_model_index_names_what_is_there() -> None:
    for metafile in read("model-index.yml")["Import"]:
        index = read(metafile)
        collections = {one["Name"]: one for one in index["Collections"]}
        for one in collections.values():
            assert (ROOT / one["README"]).is_file() and (ROOT / one["Code"]["URL"]).exists()
            assert one["Code"]["Version"] == f"v{__version__}"
        for model in index["Models"]:
            assert model["In Collection"] in collections
            assert Path(model["Config"]).stem == model["Name"]
            assert (ROOT / model["Config"]).is_file()
            load_safely(ROOT / model["Weights"])


def test_forms_and_workflows_are_what_github_reads() -> None:
    forms = [*(ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml")]
    for path in forms:
        form = yaml.safe_load(path.read_text())
        if path.name != "config.yml":
            assert form["name"] and form["description"]
            assert all(part["attributes"]["label"] for part in form["body"])
    assert len(forms) == 3
    jobs = read(".github/workflows/ci.yml")["jobs"]
    commands = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
    assert "bash .ci/run" in commands


def test_the_image_takes_the_packages_files() -> None:
    """No engine is here to build it: its instructions, and what its context leaves out."""
    text = (ROOT / "Dockerfile").read_text()
    steps = [
        line.split()[0] for line in text.replace("\\\n", " ").splitlines() if line[:1].isupper()
    ]
    before = ["FROM", "ARG", "ARG", "RUN", "WORKDIR", "COPY", "RUN"]  # up to torch
    assert steps == [*before, "COPY", "RUN", "WORKDIR", "ENTRYPOINT", "CMD"]
    kept = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert kept == ["data/stamps", "data/checkpoints"]


@pytest.mark.slow
def test_the_notebook_runs_top_to_bottom(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads((ROOT / "docs/quickstart.ipynb").read_text())
    matplotlib.use("Agg")
    names: dict = {}
    for cell in notebook["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None
            exec(compile("".join(cell["source"]), cell["id"], "exec"), names)
    assert names["result"].files["overlay"].is_file()
