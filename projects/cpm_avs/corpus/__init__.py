"""A corpus of videos: what sounds in each, when and where, on all machines, in Parquet files."""
