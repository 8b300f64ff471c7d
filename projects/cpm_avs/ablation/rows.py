"""Which configs are compared, on what they are tested, and what the paper has for them."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Addition:
    """What a row has that another lacks.

    Attributes:
        part: Its name.
        before: Row without it.
        after: Row with it.
        paper: mIoU that it brings in the paper.
    """

    part: str
    before: str
    after: str
    paper: float


@dataclass(frozen=True)
class Study:
    """What the rows are compared on.

    Attributes:
        base: Config of the whole of CPM; the other rows are ``ablation/BASE_ENDING``.
        title: Of the page.
    """

    base: str
    title: str

    def config(self, row: str) -> str:
        """A row's config, below ``configs/`` and without suffix."""
        ending = ROWS[row]
        return f"ablation/{self.base}_{ending}" if ending else self.base


STUDIES = {
    "stamps": Study("cpm_mbv2-yamnet_stamps", "The ablation on AVS-Stamps `ms`"),
    "real": Study("cpm_mbv2-yamnet_real-ms", "The ablation on photographs and recordings, `ms`"),
}
#: Row and ending of its config's name; None for the whole of CPM.
TABLE_4 = {
    "baseline": "baseline",
    "ccdm": "ccdm",
    "ccdm_vcp": "ccdm-vcp",
    "ccdm_acp": "ccdm-acp",
    "ccdm_acp_vcp": "ccdm-acp-vcp",
    "cpm": None,
}
TABLE_5 = {"point": "point", "m1": "m1", "m3": None, "m5": "m5", "m7": "m7"}
ROWS = TABLE_4 | TABLE_5
#: With the differences of the mIoU in Table 4.
ADDITIONS = (
    Addition("all", "baseline", "cpm", 4.21),
    Addition("CCDM", "baseline", "ccdm", 1.08),
    Addition("VCP", "ccdm", "ccdm_vcp", 1.67),
    Addition("ACP", "ccdm", "ccdm_acp", 0.95),
    Addition("ACP and VCP", "ccdm", "ccdm_acp_vcp", 2.29),
    Addition("PCL", "ccdm_acp_vcp", "cpm", 0.84),
)
#: Name in the table, and key in the log of the test.
MEASURES = {
    "mIoU": "dataset/mIoU",
    "F_beta": "dataset/F",
    "J&F": "avsbench/J&F",
    "coverage": "coverage",
}
#: What rows with audio prompting measure when they are validated, and what a predictor scores there
#: that hears nothing.
SEPARATION = {
    name: f"ACP/{name}"
    for name in (
        "ratio_error",
        "deaf_ratio_error",
        "half_ratio_error",
        "loud_ratio_error",
        "deaf_loud_ratio_error",
        "half_loud_ratio_error",
        "si_sdr_improvement",
        "deaf_si_sdr_improvement",
    )
}
#: Rows that are also tested with another sound, and on other scenes; m3 is the same run as cpm.
COMPARED = ("baseline", "cpm", "m3")
SOUNDS = ("silence", "noise", "offscreen")
#: What they change in the test's data set.
SCENES: dict[str, dict[str, Any]] = {
    "ss": dict(subset="ss", num_sounding=[1]),
    "crowd": dict(num_objects=8, num_sounding=[4]),
}
