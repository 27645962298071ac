"""Which rows are logged, and which of those are kept with their input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.records.ids import U64, below_rate, sample_hash
from leadline.records.models import ModelSpec


@dataclass(frozen=True, slots=True)
class Decision:
    """What happens to each row.

    Attributes:
        logged: bool (n,): within the share of the traffic that is logged.
        kept: bool (n,): logged, and a candidate case.
        probability: float64 (n,): with which a logged row is kept.
    """

    logged: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    probability: npt.NDArray[np.float64]


def decide(ids: U64, margin: npt.NDArray[np.float64], spec: ModelSpec) -> Decision:
    """Decides by the coordinated hash of the id alone, so that everyone decides alike.

    A row is logged when its hash is below `log_rate`, and kept when it is below `log_rate` times
    its rate: `keep_rate`, or the larger of that and `keep_rate_low_margin` where the margin is
    below `low_margin`. So among logged rows the rate is exactly the probability of being kept.
    """
    hashes = sample_hash(ids)
    boosted = max(spec.keep_rate, spec.keep_rate_low_margin)
    rate = np.where(margin < spec.low_margin, boosted, spec.keep_rate)
    return Decision(
        logged=below_rate(hashes, spec.log_rate),
        kept=below_rate(hashes, spec.log_rate * rate),
        probability=rate,
    )
