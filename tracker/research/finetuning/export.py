"""Weights for the backend out of a training checkpoint: our own file, as ``weights import`` makes it.

Not the official layout: our network keeps the product of two official maps where one token looks at itself,
and once trained that product has no such two maps any more. ``--checkpoint`` takes either layout.
"""

from pathlib import Path

from tracker.mano_numpy import ManoModel
from tracker.networks.conversion import write_weights
from tracker.research.finetuning.checkpoints import read
from tracker.whole_file import whole_file


def export(checkpoint: Path, to: Path, *, mano: ManoModel | None) -> None:
    """Write the weights that a training checkpoint holds to ``to``.

    Args:
        checkpoint: written by ``finetune``, or its best weights.
        to: replaced if it is there.
        mano: with it, what float16 costs is measured.

    Raises:
        TrackerError: the checkpoint cannot be used, or the file not be written.
    """
    state = read(checkpoint)
    with whole_file(to) as part:
        write_weights(state["network"], part, source=checkpoint, mano=mano, note=note_of(state))


def note_of(state: dict[str, object]) -> dict[str, str]:
    """What the file says of the training."""
    measured = {"finetuned_measured": repr(state["measured"])} if "measured" in state else {}
    return {
        "finetuned_steps": str(state["step"]),
        "finetuned_with": repr(state["configuration"]),
        **measured,
    }
