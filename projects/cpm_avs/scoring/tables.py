"""What the screen shows: scores, problems and differences."""

from collections.abc import Iterable, Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..evaluation.report import ScoreRow
from .comparison import LEVEL, Difference
from .frames import FOREGROUND, KINDS, Rules
from .summary import clip_scores
from .truth import Truth
from .whole_set import Scored


def make_console() -> Console:
    """A console as wide as the terminal; a pipe or a file has no width of its own."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def show_scores(console: Console, rows: Sequence[ScoreRow], rules: Rules) -> None:
    """A table per protocol, each of which has scores of its own, with a line per subset."""
    width, height = rules.foreground_size
    titles = {FOREGROUND: f"{FOREGROUND}, {width}x{height}"}
    for protocol in rules.protocols:
        of_protocol = [row for row in rows if row.protocol == protocol]
        names = list(of_protocol[0].scores)  # the whole set's, which may have more
        _print(
            console,
            f"{titles.get(protocol, protocol)}, in percent",
            ["subset", "frames", "clips", *names],
            (
                [row.subset, str(row.frames), str(row.clips), *_cells(row.scores, names)]
                for row in of_protocol
            ),
            words=1,
        )


def show_classes(console: Console, rows: Sequence[ScoreRow], classes: Sequence[str]) -> None:
    """A line per class of the whole set, background among them."""
    rows = [row for row in rows if row.subset == "total" and row.per_class]
    names = [f"{row.protocol} {name}" for row in rows for name in row.per_class]
    lines = []
    for index, class_name in enumerate(classes):
        values = [values[index] for row in rows for values in row.per_class.values()]
        lines.append([class_name, *_cells(dict(zip(names, values, strict=True)), names)])
    _print(console, "Per class, in percent", ["class", *names], lines, words=1)


def show_clips(console: Console, scored: Scored, protocols: Sequence[str]) -> None:
    """A line per clip."""
    scores = {clip.name: clip_scores(clip, protocols) for clip in scored.clips}
    names = list(next(iter(scores.values())))
    frames = {clip.name: str(clip.frames) for clip in scored.clips}
    lines = ([name, frames[name], *_cells(values, names)] for name, values in scores.items())
    _print(console, "Per clip, in percent", ["clip", "frames", *names], lines, words=1)


def show_problems(console: Console, scored: Scored) -> None:
    """What was wrong with the folder; nothing is printed where nothing was."""
    lines = []
    for kind, meaning in KINDS.items():
        found = [problem for problem in scored.problems if problem.kind == kind]
        if found:
            example = f"{found[0].path}: {found[0].reason}"
            lines.append([f"{kind}: {meaning}", str(len(found)), example])
    listing = scored.listing
    for what, files in (
        ("extra: PNG files that belong to no frame", scored.extra),
        ("other files, not looked at", listing.others),
        ("hidden files, not looked at", listing.hidden),
    ):
        if files:
            lines.append([what, str(len(files)), str(files[0])])
    if lines:
        headers = ["what", "files", "the first"]
        _print(console, f"Found in {scored.folder}", headers, lines, words=3)
    if scored.problems:
        console.print(
            f"[bold]{len(scored.problems)} of {scored.frames} frames have no usable mask; they "
            "count as wrong at every pixel.[/bold]",
        )


def show_published(console: Console, scored: Scored, truth: Truth) -> None:
    """Say where the truth has other numbers of clips than the published set."""
    for name, number in truth.published.items():
        found = sum(name in ("total", *clip.groups) for clip in scored.clips)
        if found != number:
            console.print(
                f"note: {name} has {found} clips, the published one {number}: such scores don't "
                "compare with the literature's"
            )


def show_probabilities(console: Console, methods: Sequence[Scored]) -> None:
    """Say which F curves are of probabilities, beside those of masks alone."""
    for scored in methods:
        if scored.probability is not None:
            console.print(f"note: F of {scored.folder} is of the grey maps in {scored.probability}")
    if len({scored.probability is None for scored in methods}) > 1:
        console.print(
            "note: the other's is of masks alone, which is never higher: compare J, or both by "
            "their masks"
        )


def show_differences(
    console: Console, differences: Sequence[Difference], first: Scored, second: Scored
) -> None:
    """A line per score: A, B, B - A and its interval."""
    lines = [
        [one.protocol, one.subset, str(one.clips), one.score]
        + [f"{one.first:.2f}", f"{one.second:.2f}", f"{one.difference:+.2f}"]
        + [f"{one.low:+.2f}", f"{one.high:+.2f}"]
        for one in differences
    ]
    headers = ["protocol", "subset", "clips", "score", "A", "B", "B - A", f"{LEVEL:.0%} from", "to"]
    _print(console, f"A: {first.folder}, B: {second.folder}, in percent", headers, lines, words=2)


def _print(
    console: Console, title: str, headers: Sequence[str], lines: Iterable[Sequence[str]], words: int
) -> None:
    table = Table(title=escape(title), title_justify="left")
    for place, header in enumerate(headers):
        left = place < words and header != "files"
        table.add_column(escape(header), justify="left" if left else "right", overflow="fold")
    for line in lines:
        table.add_row(*map(escape, line))
    console.print(table)


def _cells(values: Mapping[str, float], names: Sequence[str]) -> list[str]:
    """Two digits; a dash where a score is undefined or of another protocol."""
    found = [values.get(name, float("nan")) for name in names]
    return ["-" if value != value else f"{value:.2f}" for value in found]
