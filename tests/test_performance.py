"""The tables of docs/performance.md: their numbers are the JSON files', their verdicts theirs."""

import json
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[1] / "docs"
GOALS = {
    "train_vs_mmseg_224": 0.90,
    "train_vs_mmseg_512": 0.95,
    "cpm_vs_baseline_r50": 1.12,
    "cpm_vs_baseline_small": 1.25,
    "predict_vs_mmseg_224": 1.00,
    "predict_vs_mmseg_720p": 1.00,
    "gmm_vs_linear": 1.01,
    "em_share": 0.02,
    "loader_vs_mmseg": 1.3,
    "memory_vs_baseline": 1.15,
}


@pytest.fixture(scope="module")
def measured() -> dict:
    return json.loads((DOCS / "performance.json").read_text())


@pytest.mark.parametrize("key", GOALS)
def test_the_table_has_the_measured_number_and_says_whether_it_meets_its_goal(measured, key):
    page = (DOCS / "performance.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith("|") and f"`{key}`" in line]
    _, _, goal, shown, met, _ = (cell.strip() for cell in row.split("|"))
    assert float(re.sub(r"[^\d.]", "", goal)) == pytest.approx(GOALS[key])
    decimals = len(shown.partition(".")[2])
    assert shown == f"{measured[key]:.{decimals}f}"
    assert met == ("yes" if measured[key] <= GOALS[key] else "no")


def test_what_grows_grows_linearly_or_better(measured):
    """A table of sizes and what each took: never more than the size did."""
    for name, rows in measured["growth"].items():
        sizes, taken = (list(column) for column in zip(*rows, strict=True))
        assert sizes == sorted(sizes), name
        for (a, b), (x, y) in zip(
            zip(sizes, sizes[1:], strict=False), zip(taken, taken[1:], strict=False), strict=True
        ):
            assert y / x <= 1.1 * b / a, name


def test_the_table_of_the_gpu_has_the_measured_numbers():
    page = (DOCS / "performance.md").read_text()
    rows = json.loads((DOCS / "performance-gpu.json").read_text())["rows"]
    lines = re.findall(
        r"^\| (224|720x1280), batch (\d+), (\w+) \|([^|]*)\|(.*)\|$", page, re.MULTILINE
    )
    assert len(lines) == 6
    for side, batch, precision, _, shown in lines:
        size = "224x224" if side == "224" else side
        measured = {
            row["model"]: row["frames_per_s"]
            for row in reversed(rows)  # the first command's count, beside mmseg's
            if (row["size"], row["batch"], row["precision"]) == (size, int(batch), precision)
        }
        names = ("cpm_r50_avss-224, recorded", "cpm_r50_avss-224", "mmseg")
        expected = [f"{measured[name]:.1f}" if name in measured else "" for name in names]
        assert [cell.strip() for cell in shown.split("|")] == expected
