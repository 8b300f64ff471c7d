"""Sound and video files: the readers and writers that data sets and inference share."""
