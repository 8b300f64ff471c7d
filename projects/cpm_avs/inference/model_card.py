"""The model card of a hub's repository, written from the config and from measured scores alone."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from ..errors import UserError

_HEAD = """---
library_name: cpm-avs
pipeline_tag: image-segmentation
tags: [audio-visual-segmentation, mmsegmentation]
---

# {name}

Segments and names what sounds in a video, from its frames and its sound.

```python
from cpm_avs import AVSInferencer

inferencer = AVSInferencer.from_pretrained("OWNER/{name}")  # or a folder with these files
print(inferencer("clip.mp4", out_dir="out").summary())
```

| | |
| --- | --- |
"""


def model_card(
    name: str,
    settings: dict[str, Any],
    metrics: dict[str, Any] | None,
    weights: dict[str, Tensor],
    classes: Sequence[str],
) -> str:
    """Markdown, with the hub's front matter.

    Args:
        name: Of the model.
        settings: As ``hub_folder.inference_settings`` gives them.
        metrics: Contents of ``metrics.json``; None says that nothing was measured.
        weights: The model's.
        classes: Their names by label.

    Raises:
        UserError: The metrics are something else.
    """
    model = settings["model"]
    data = settings["test_dataloader"]["dataset"]
    millions = sum(value.numel() for value in weights.values()) / 1e6
    rows = dict(
        Model=model.get("type"),
        Pictures=(model.get("backbone") or {}).get("type"),
        Sound=(model.get("audio_backbone") or {}).get("type"),
        Data=data.get("type"),
        Weights=f"{millions:.2f} million numbers",
    )
    table = "".join(f"| {key} | {value} |\n" for key, value in rows.items() if value is not None)
    return (
        f"{_HEAD.format(name=name)}{table}\n"
        f"## Classes\n\nBeside the background: {', '.join(classes[1:])}.\n\n"
        f"## Scores\n\n{_scores(metrics)}"
    )


def _scores(metrics: dict[str, Any] | None) -> str:
    if not metrics:
        return "None were measured.\n"
    try:
        lines = [
            f"- {row['protocol']}, {row['subset']}, {row['frames']} frames: "
            + ", ".join(f"{key} {value:.2f}" for key, value in row["scores"].items())
            for row in metrics["results"]
        ]
        sounds = ", ".join(metrics.get("audio", ["normal"]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            "the metrics are no scores of a test; give the metrics.json that tools/test.py wrote"
        ) from error
    return (
        f"In {metrics.get('unit', 'percent')}, with sound: {sounds}.\n\n" + "\n".join(lines) + "\n"
    )
