"""Columns of the three tables of a corpus; docs/corpus.md explains them."""

import pyarrow as pa

_RUN = pa.struct(
    [
        ("name", pa.string()),
        ("label", pa.int16()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("score", pa.float64()),
        ("area", pa.float64()),
    ]
)

#: A row per video: what sounds when, or why it can't be used.
VIDEOS = pa.schema(
    [
        ("video", pa.string()),
        ("path", pa.string()),
        ("duration", pa.float64()),
        ("frames", pa.int64()),
        ("sounding", pa.list_(_RUN)),
        ("error", pa.string()),
    ]
)

#: A row per segmented frame and object: where it is, as COCO's run lengths.
MASKS = pa.schema(
    [
        ("video", pa.string()),
        ("time", pa.float64()),
        ("name", pa.string()),
        ("label", pa.int16()),
        ("score", pa.float32()),
        ("area", pa.float32()),
        (
            "segmentation",
            pa.struct([("size", pa.list_(pa.int32())), ("counts", pa.string())]),
        ),
    ]
)

#: A row per piece that is done, by which a run knows what is left; sums, not means, of its runs.
PIECES = pa.schema(
    [
        ("video", pa.string()),
        ("path", pa.string()),
        ("size", pa.int64()),
        ("modified", pa.int64()),
        ("index", pa.int32()),
        ("count", pa.int32()),
        ("start", pa.float64()),
        ("end", pa.float64()),
        ("duration", pa.float64()),
        ("frames", pa.int64()),
        ("first_shown", pa.float64()),
        ("runs", pa.list_(pa.struct([*_RUN, ("count", pa.int64())]))),
        ("error", pa.string()),
    ]
)
