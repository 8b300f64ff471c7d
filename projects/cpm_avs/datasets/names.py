"""Names out of a list that a stranger wrote, before they become parts of paths."""

from pathlib import PureWindowsPath

#: Bytes of a name to which a suffix or a number is added; file systems take 255.
_LONGEST_NAME = 200


def fault_of_name(name: str) -> str:
    """Why a name is not one of something below the data set's folder; empty where it is."""
    as_path = PureWindowsPath(name)  # knows drives and both kinds of slashes
    if not as_path.parts:
        return f"the name {name!r} is empty"
    if as_path.anchor or ".." in as_path.parts or "\\" in name or "\0" in name:
        return f"the name {name!r} leads out of the data set's folder"
    if max(len(part.encode(errors="surrogatepass")) for part in as_path.parts) > _LONGEST_NAME:
        return f"the name {name[:20]!r}... has more than {_LONGEST_NAME} bytes"
    return ""
