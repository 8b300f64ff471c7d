"""Arguments of MMSegmentation's data sets that change nothing where files are found by an index."""

from typing import Any

_UNREAD = ("data_prefix", "img_suffix", "seg_map_suffix", "filter_cfg", "backend_args")


def refuse_unread(kind: type, settings: dict[str, Any], *others: str) -> None:
    """Raise ``ValueError`` where a data set is given what it never reads.

    Args:
        kind: Its class.
        settings: What it is given for ``BaseSegDataset``.
        others: Arguments beside these that it does not read either.
    """
    if given := [name for name in (*_UNREAD, *others) if settings.get(name)]:
        raise ValueError(
            f"{kind.__name__} takes no {', '.join(given)}: its index and data_root say where its "
            "files are. Leave it out, or read it in a class of your own (docs/own-data.md)."
        )
