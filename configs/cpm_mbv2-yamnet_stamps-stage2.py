# Stage 2 of Stepping Stones (docs/beyond-the-paper.md): the classes, after "where" was learned.
_base_ = "cpm_mbv2-yamnet_stamps.py"

load_from = "work_dirs/cpm_mbv2-yamnet_stamps-stage1/iter_600.pth"
