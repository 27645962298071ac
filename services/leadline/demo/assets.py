"""What the demo ships: two models, the digits they never saw, and the record of both."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

VERSIONS = (1, 2)


def folder() -> Path:
    """Returns the folder of the shipped files."""
    return Path(__file__).with_name("assets")


def model_path(version: int) -> Path:
    """Returns the ONNX file of a version of the model `digits`."""
    return folder() / f"digits-v{version}.onnx"


def load_record() -> dict[str, Any]:
    """Returns `digits.json`: how the models were made and how good they were measured to be."""
    record: dict[str, Any] = json.loads((folder() / "digits.json").read_text("utf-8"))
    return record


def load_heldout() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Returns the digits that no model was trained on.

    Returns:
        Images uint8 [1500, 28, 28], 0 black background to 255 white ink, and their true classes
        uint8 [1500], 0 to 9, 150 of each.
    """
    with np.load(folder() / "heldout.npz", allow_pickle=False) as file:
        return file["images"], file["labels"]
