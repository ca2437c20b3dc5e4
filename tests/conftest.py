"""What all test files share: patience, and the folder of reference data, which not every checkout has."""

from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: properties have no time limit of their own.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of public pictures, clips and reference outputs next to the checkout."""
    if not SHARED.is_dir():
        pytest.skip("the reference data lies in ../shared, which is not here")
    return SHARED
