"""POTTER from crops to joints in metres: what stands before and after the network."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from tracker.errors import EngineError
from tracker.joints import FloatArray
from tracker.networks.hamer import IMAGE_MEAN, IMAGE_STD
from tracker.networks.potter import Potter, load_potter

# Of EgoExo4D's training hands, as the public baseline uses them: the wrist at zero, in the order of
# tracker.joints, in the axes of a camera whose picture lies on its side (landscape).
JOINT_MEAN_MM = np.array(
    [
        (0, 0, 0),
        (-3.950165, -0.86685377, 24.517984),
        (-13.187613, 1.2967486, 47.673504),
        (-22.936522, 1.5275195, 72.566208),
        (-31.109295, 1.9404153, 95.952751),
        (-48.375599, 4.6012049, 67.085617),
        (-59.843365, 5.9568534, 93.948418),
        (-57.148232, 5.7935758, 110.97713),
        (-51.052166, 4.9937048, 125.02338),
        (-51.586624, 2.547137, 72.120811),
        (-65.926834, 3.0671554, 98.40451),
        (-61.979191, 2.8341565, 116.10429),
        (-54.61813, 2.5274558, 129.17862),
        (-46.503471, 0.33559692, 73.062035),
        (-59.186893, 0.026649246, 96.192421),
        (-56.693432, -0.08462552, 112.05978),
        (-51.260197, 0.034378145, 123.81713),
        (-35.775276, -1.0368422, 70.583588),
        (-43.69508, -1.9620019, 88.694397),
        (-44.897186, -2.6101866, 101.19468),
        (-44.571526, -3.3564034, 111.80748),
    ]
)
JOINT_STD_MM = np.array(
    [
        (0, 0, 0),
        (17.266953, 44.075836, 14.078445),
        (24.261362, 65.793236, 18.580193),
        (25.479671, 74.18796, 19.767653),
        (30.458921, 80.729996, 23.553158),
        (21.826715, 45.61571, 18.80888),
        (26.570208, 54.434124, 19.955523),
        (30.757236, 60.084938, 23.375763),
        (35.174015, 64.042404, 31.206692),
        (21.586899, 28.31489, 16.090088),
        (29.26384, 35.83172, 18.48644),
        (35.396465, 40.93173, 26.987226),
        (40.40074, 45.358475, 37.419308),
        (20.73408, 21.591717, 14.190551),
        (28.290194, 27.946808, 18.350618),
        (34.42277, 31.388414, 28.024563),
        (39.819054, 35.205494, 38.80897),
        (19.79841, 29.38799, 14.820373),
        (26.476702, 34.7448, 20.027615),
        (31.811651, 37.06962, 27.742807),
        (36.893555, 38.98199, 36.001797),
    ]
)


class PotterReader:
    """Reads crops on one device; use it from one thread."""

    def __init__(self, network: Potter, device: torch.device) -> None:
        self._network = network
        self._device = device
        self._mean, self._std = (torch.tensor(values, device=device) for values in (IMAGE_MEAN, IMAGE_STD))

    @torch.inference_mode()
    def read(self, crops: Sequence[npt.NDArray[np.float32]]) -> FloatArray:
        """Joints (B, 21, 3) in metres, in the crops' axes, of crops (224, 224, 3) RGB in 0..1: one batch.

        Raises:
            EngineError: the GPU's memory does not hold them.
        """
        try:
            pictures = torch.from_numpy(np.stack(crops)).to(self._device)
            output = self._network(((pictures - self._mean) / self._std).movedim(-1, 1).contiguous())
        except torch.OutOfMemoryError as error:
            raise EngineError(f"{self._device} has no memory left for POTTER; free some") from error
        return joints_in_m(output.cpu().numpy())


def joints_in_m(output: npt.NDArray[np.float32]) -> FloatArray:
    """Joints (..., 21, 3) in metres from the network's output (..., 21, 3)."""
    return np.asarray((output * JOINT_STD_MM + JOINT_MEAN_MM) / 1e3)


def load_potter_reader(checkpoint: Path, *, device: str | None = None) -> PotterReader:
    """POTTER from its file, ready to read crops; on a GPU if there is one, unless a device is given.

    Raises:
        TrackerError: the file cannot be used, or there is no such device.
    """
    where = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    return PotterReader(load_potter(checkpoint, device=where), where)
