# Stage 2 of Stepping Stones (docs/beyond-the-paper.md): the classes, after "where" was learned.
_base_ = "cpm_r50_avss.py"

load_from = "work_dirs/cpm_r50_avss-stage1/epoch_100.pth"
