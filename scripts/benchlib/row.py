"""One line of the table."""

from __future__ import annotations

from benchlib.scene import Scene
from benchlib.timing import Command, interleave, summary


class Row:
    """One line of the table: who took how long, and what pyrun is to reach.

    ``goal``: (competitor, factor): pyrun's median is to be at most factor × the competitor's.
    """

    def __init__(self, name: str, title: str, *, unit: str = "ms") -> None:
        self.name = name
        self.title = title
        self.unit = unit
        self.results: dict[str, dict[str, float]] = {}
        self.failures: dict[str, str] = {}
        self.goals: list[tuple[str, float]] = []
        self.notes: list[str] = []
        self.checks: list[tuple[str, bool]] = []

    def measure(
        self, scene: Scene, commands: dict[str, Command], samples: int, *, sync: bool, warm: bool = True
    ) -> None:
        times, self.failures = interleave(commands, samples, scene.log, sync=sync, warm=warm)
        self.results = {name: summary(found) for name, found in times.items()}

    def median(self, name: str) -> float:
        return self.results.get(name, {}).get("median_ms", 0.0)

    def finish(self) -> Row:
        for competitor, factor in self.goals:
            if self.median("pyrun") and self.median(competitor):
                ratio = self.median("pyrun") / self.median(competitor)
                self.checks.append((f"{ratio:.3f} of {competitor} (goal {factor:.3f})", ratio <= factor))
        return self
