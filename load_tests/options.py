"""What every scenario is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Options:
    """How a scenario runs.

    Attributes:
        quick: small sizes and one run: shows that the scenario works, and nothing about speed.
        tools: where `make tools` puts the real components.
    """

    quick: bool = False
    tools: Path = Path(".tools")

    def runs(self, count: int) -> int:
        """How often something is measured; the median counts."""
        return 1 if self.quick else count

    def size(self, full: int, small: int) -> int:
        """How much of something."""
        return small if self.quick else full
