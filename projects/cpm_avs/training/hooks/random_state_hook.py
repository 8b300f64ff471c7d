"""Random states in the checkpoint, so that a resumed run draws what the unbroken one would have."""

from typing import Any

from mmengine.dist import all_gather_object, get_rank, get_world_size
from mmengine.hooks.hook import DATA_BATCH
from mmengine.runner import Runner
from mmseg.registry import HOOKS

from ..random_state import RandomState, get_random_state, seeded_state, set_random_state
from .checkpoint_hook import CollectedStateHook
from .resumed_records import unusable


@HOOKS.register_module()
class RandomStateHook(CollectedStateHook):
    """Keeps the random numbers of the training steps in a stream of their own, and saves it.

    What lies between two steps is not the same in a resumed run: the loader's iterator is made
    anew, a validation may be missing, data may load in this process. All of it draws from the
    global generators, so the steps' state is set aside after each and put back before the next.
    Every rank has a stream of its own: MMEngine seeds all ranks alike, and prompts, matched points
    and noise of different samples would be drawn from the same numbers.
    Samples need no state but the sampler's seed: they depend on (seed, draw), see
    ``datasets/samplers.py``.

    The priority puts it after everything that belongs to a step and before the checkpoint (90).
    """

    priority = 85
    checkpoint_key = "random_states"

    def __init__(self) -> None:
        self._loaded: Any = None
        self._loaded_seed: Any = None
        self._step_state: RandomState | None = None
        self._outer_state: RandomState | None = None

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Remember the states; whether this is a resume is known only in ``before_train``."""
        self._loaded = checkpoint.get(self.checkpoint_key)
        self._loaded_seed = checkpoint.get("meta", {}).get("seed")

    def before_train(self, runner: Runner) -> None:
        """Seed this rank's stream, or take it over if the run goes on.

        ``load_from`` starts at iteration 0, with a stream of its own.
        """
        self._step_state = seeded_state(runner.seed, get_rank(), runner.iter)
        if runner.iter == 0:
            return
        sampler = runner.train_dataloader.sampler
        if hasattr(sampler, "seed") and self._loaded_seed is not None:
            if type(self._loaded_seed) is not int or self._loaded_seed < 0:
                raise unusable("meta.seed", self._loaded_seed)
            # MMEngine built it with this process's own seed, before it read the checkpoint.
            sampler.seed = self._loaded_seed
        if not isinstance(self._loaded, (list, tuple, type(None))):
            raise unusable(self.checkpoint_key, self._loaded)
        if self._loaded is None or len(self._loaded) != get_world_size():
            found = "none" if self._loaded is None else f"those of {len(self._loaded)} rank(s)"
            runner.logger.warning(
                f"The checkpoint holds {found} of the random states of {get_world_size()} rank(s): "
                "training resumes, but not to the bit."
            )
            return
        self._step_state = self._loaded[get_rank()]
        outer = get_random_state()
        try:
            set_random_state(self._step_state)
        except Exception as error:  # each generator has its own
            raise unusable(self.checkpoint_key, self._step_state) from error
        finally:
            set_random_state(outer)

    def before_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: DATA_BATCH = None
    ) -> None:
        """Go on where the previous step ended."""
        self._outer_state = get_random_state()
        if self._step_state is not None:
            set_random_state(self._step_state)

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: DATA_BATCH = None,
        outputs: dict | None = None,
    ) -> None:
        """Set the step's state aside."""
        self._step_state = get_random_state()
        assert self._outer_state is not None
        set_random_state(self._outer_state)

    def collect(self) -> list[RandomState] | None:
        """States of all ranks in rank order; None before the first step."""
        return None if self._step_state is None else all_gather_object(self._step_state)
