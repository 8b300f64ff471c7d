"""AVSBench-Robust's protocol: one model, a pass over the test set for each of its sounds."""

import copy
import json
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.evaluator import Evaluator
from mmengine.runner import Runner, TestLoop
from mmseg.registry import LOOPS

from ..files import write_whole
from .robustness_scores import RIGHT_SOUND, WRONG_SOUNDS, robustness_table, sum_up


def hear(dataset: dict[str, Any], sound: str) -> None:
    """Have a test set's config hear ``sound``, with all that it joins or wraps; in place."""
    if "datasets" in dataset or "dataset" in dataset:
        for part in dataset.get("datasets", [dataset.get("dataset")]):
            hear(part, sound)
    else:
        dataset["audio_condition"] = sound


@LOOPS.register_module()
class RobustnessLoop(TestLoop):
    """Tests with the right sound and with each wrong one, and adds up the G of both.

    The evaluator is built anew for each pass; ``RobustnessMetric`` should be in it. The scores of
    all passes go to the log together, named as ``sum_up`` names them, and as 'robustness' into
    ``AVSMetric``'s metrics.json, which beside them holds the pass with the right sound.

    Args:
        runner: Whose model is tested.
        dataloader: Config of the test set's loader.
        evaluator: Config of the metrics.
        fp16: As in ``TestLoop``.
    """

    evaluator: Evaluator
    #: The off-screen sound first, which a set may not have; the right one last, whose file of
    #: scores is the one that stays.
    SOUNDS = (*reversed(WRONG_SOUNDS), RIGHT_SOUND)

    def __init__(
        self,
        runner: Runner,
        dataloader: dict[str, Any],
        evaluator: dict[str, Any] | list[dict[str, Any]],
        fp16: bool = False,
    ) -> None:
        self._loader, self._metrics = dataloader, evaluator
        super().__init__(runner, self._loader_with(self.SOUNDS[0]), evaluator, fp16)

    def run(self) -> dict[str, float]:
        """Test with each sound in turn."""
        self.runner.call_hook("before_test")
        self.runner.call_hook("before_test_epoch")
        self.runner.model.eval()
        scores = {}
        for number, sound in enumerate(self.SOUNDS):
            self.runner.logger.info(f"Test with sound {number + 1} of {len(self.SOUNDS)}: {sound}")
            if number > 0:
                self._change_to(sound)
            for idx, data_batch in enumerate(self.dataloader):
                self.run_iter(idx, data_batch)
            scores[sound] = self.evaluator.evaluate(len(self.dataloader.dataset))
        metrics = sum_up(scores)
        table = robustness_table(scores)
        self.runner.logger.info(f"Robustness, all sounds, in percent\n{table}")
        self._add_to_json(metrics)
        self.runner.call_hook("after_test_epoch", metrics=metrics)
        self.runner.call_hook("after_test")
        return metrics

    def _loader_with(self, sound: str) -> dict[str, Any]:
        loader = copy.deepcopy(self._loader)
        hear(loader["dataset"], sound)
        return loader

    def _change_to(self, sound: str) -> None:
        """A loader of its own, since workers that live on would keep the sound they began with."""
        self.dataloader = self.runner.build_dataloader(
            self._loader_with(sound), seed=self.runner.seed
        )
        meta = self.evaluator.dataset_meta
        self.evaluator = self.runner.build_evaluator(self._metrics)
        self.evaluator.dataset_meta = meta

    def _add_to_json(self, metrics: dict[str, float]) -> None:
        path = Path(self.runner.log_dir, "metrics.json")
        if is_main_process() and path.is_file():
            report = json.loads(path.read_text()) | dict(robustness=metrics)
            write_whole(path, json.dumps(report, indent=1))
