"""Which configs are compared, on what they are tested, and what the paper has for them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Addition:
    """What a row has that another lacks.

    Attributes:
        part: Its name.
        before: Row without it.
        after: Row with it.
        paper: mIoU that it brings in the paper, if the paper has it.
    """

    part: str
    before: str
    after: str
    paper: float | None = None


@dataclass(frozen=True)
class Study:
    """Rows that are trained alike and compared.

    Attributes:
        title: Of the page.
        about: A sentence on the rows.
        configs: Row -> config below ``configs/``, without suffix; rows may share one.
        compared: Rows that are also tested with another sound, and on other scenes.
        additions: What rows have that others lack, with the paper's numbers.
        notes: What else there is to know before the tables are read, one point an entry.
    """

    title: str
    about: str
    configs: Mapping[str, str]
    compared: Sequence[str]
    additions: Sequence[Addition] = ()
    notes: Sequence[str] = ()


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
    "J": "avsbench/J",
    "F": "avsbench/F",
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
#: What all models of ``compared`` rows are tested with beside the scenes' own sound.
SOUNDS = ("silence", "noise", "offscreen")
#: What they change in the test's data set.
SCENES: dict[str, dict[str, Any]] = {
    "ss": dict(subset="ss", num_sounding=[1]),
    "crowd": dict(num_objects=8, num_sounding=[4]),
}


def tables_of_the_paper(whole: str, title: str) -> Study:
    """Tables 4 and 5: parts of the model of config ``whole``, in ``ablation/WHOLE_ENDING``."""
    return Study(
        title=title,
        about="`m3` is the same runs as `cpm`.",
        configs={
            row: f"ablation/{whole}_{ending}" if ending else whole
            for row, ending in (TABLE_4 | TABLE_5).items()
        },
        compared=("baseline", "cpm", "m3"),
        additions=ADDITIONS,
    )


METHODS = {
    "tpavi": "baselines/tpavi_mbv2-yamnet_stamps",
    "avsegformer": "baselines/avsegformer_mbv2-yamnet_stamps",
    "cavp": "baselines/cavp_mbv2-yamnet_stamps",
    "baseline": "ablation/cpm_mbv2-yamnet_stamps_baseline",
    "cpm": "cpm_mbv2-yamnet_stamps",
}
NOTES_ON_METHODS = (
    "All rows have the small model's backbones (MobileNetV2, YAMNet) with the same weights to "
    "begin with, its width of 128, pictures of 96x96, one frame a scene, and the same scenes in "
    "the same order, 16 in a step. Each method has its own head, losses, optimiser and schedule.",
    "The rate of each is the best of the same three on validation scenes, with a seed that is not "
    "in the table; a fourth was tried for TPAVI and CAVP. CAVP learns to colour nothing with any, "
    "and has its authors' 1e-3 in the table. Else nothing was tuned; sizes were cut to the small "
    "model's before any run.",
    "So this says what each method learns of this task in so few steps, and what a step costs. It "
    "does not say which is best on AVSBench: the methods were made for larger networks and "
    "pictures and for many more steps, TPAVI also for clips, whose frames it sees together.",
)
_STEREO = {
    "mono": "cpm_mbv2-yamnet_stamps-msmi_mono",
    "two_channels": "cpm_mbv2-yamnet_stamps-msmi",
    "position": "cpm_mbv2-yamnet_stamps-msmi_position",
    "position_prompts": "cpm_mbv2-yamnet_stamps-msmi_position-prompts",
    "position_phase": "cpm_mbv2-yamnet_stamps-msmi_position-phase",
}
STUDIES = {
    "stamps": tables_of_the_paper("cpm_mbv2-yamnet_stamps", "The ablation on AVS-Stamps `ms`"),
    "real": tables_of_the_paper(
        "cpm_efflite0-yamnet_real-ms", "The ablation on photographs and recordings, `ms`"
    ),
    "methods": Study(
        title="The methods that the paper compares with, on AVS-Stamps `ms`",
        about="`baseline` is AVSegFormer*, CPM without mixtures and prompts.",
        configs=METHODS,
        compared=tuple(METHODS),
        notes=NOTES_ON_METHODS,
    ),
    "negatives": Study(
        title="Negative sounds in training, on AVS-Stamps `ms`",
        about="`negatives` hears silence, noise or another scene in one scene of four.",
        configs={"cpm": "cpm_mbv2-yamnet_stamps", "negatives": "cpm_mbv2-yamnet_stamps_negatives"},
        compared=("cpm", "negatives"),
        additions=(Addition("negative sounds", "cpm", "negatives"),),
    ),
    "stages": Study(
        title="First where, then what, on AVS-Stamps `ms`",
        about="`two_stages` begins with the weights of a first stage, which has learned where "
        "anything sounds; its iterations come on top.",
        configs={"cpm": "cpm_mbv2-yamnet_stamps", "two_stages": "cpm_mbv2-yamnet_stamps-stage2"},
        compared=("cpm", "two_stages"),
        additions=(Addition("a first stage", "cpm", "two_stages"),),
    ),
    "stereo": Study(
        title="Where a sound comes from, on AVS-Stamps `msmi`",
        about="In each scene one of two instances of a class sounds; `mono` can't tell which.",
        configs=_STEREO,
        compared=(),
        additions=(
            Addition("two channels", "mono", "two_channels"),
            Addition("position code", "two_channels", "position"),
            Addition("places of prompts", "position", "position_prompts"),
            Addition("phase code", "position", "position_phase"),
        ),
    ),
}
