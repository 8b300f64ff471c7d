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


BASE = "cpm_mbv2-yamnet_stamps"
TABLE_4 = {
    "baseline": f"ablation/{BASE}_baseline",
    "ccdm": f"ablation/{BASE}_ccdm",
    "ccdm_vcp": f"ablation/{BASE}_ccdm-vcp",
    "ccdm_acp": f"ablation/{BASE}_ccdm-acp",
    "ccdm_acp_vcp": f"ablation/{BASE}_ccdm-acp-vcp",
    "cpm": BASE,
}
TABLE_5 = {
    "point": f"ablation/{BASE}_point",
    "m1": f"ablation/{BASE}_m1",
    "m3": BASE,
    "m5": f"ablation/{BASE}_m5",
    "m7": f"ablation/{BASE}_m7",
}
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
#: Configs that are also tested with another sound, and on other scenes.
COMPARED = (TABLE_4["baseline"], TABLE_4["cpm"])
SOUNDS = ("silence", "noise", "offscreen")
#: What they change in the test's data set.
SCENES: dict[str, dict[str, Any]] = {
    "ss": dict(subset="ss"),
    "crowd": dict(num_objects=8, num_sounding=[4]),
}
