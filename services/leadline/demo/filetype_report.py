"""What the file example prints: accuracy with its interval, worst types, most confused pairs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from leadline.v1 import evaluation_pb2 as pb

LABELS_MIN = 10
"""Types with fewer files are not called the worst."""
ROWS = 8


def share(rate: pb.Rate) -> str:
    """A rate with its interval, in words."""
    if not rate.trials:
        return "not known"
    return f"{rate.value:6.1%} ({rate.lower:.1%} to {rate.upper:.1%}) of {rate.trials:,}"


def report(summary: pb.Summary, matrix: pb.GetConfusionMatrixResponse) -> Iterator[str]:
    """Lines for people."""
    seen = [each for each in summary.classes if each.support]
    yield f"accuracy  {share(summary.accuracy)} files of {len(seen)} types"
    if summary.macro.HasField("f1"):
        yield f"macro F1  {summary.macro.f1:6.1%}"
    for each in summary.top_k:
        yield f"top {each.k}     {share(each.rate)}"
    yield ""
    yield f"Types that are recognised least, of those with at least {LABELS_MIN} files:"
    yield from (
        f"  {each.class_name:16} recall {share(each.recall)}" for each in worst(summary.classes)
    )
    yield ""
    yield "Most often taken for another:"
    for pair in matrix.confused_pairs:
        yield (
            f"  {pair.true_class_name:16} as {pair.predicted_class_name:16} "
            f"{pair.share_of_true.successes:4,} times, {share(pair.share_of_true)}; "
            f"the other way round {pair.reverse_count:,}"
        )


def worst(classes: Iterable[pb.ClassFigures]) -> list[pb.ClassFigures]:
    """The types with the lowest recall among those with enough files, lowest first."""
    enough = [each for each in classes if each.support >= LABELS_MIN]
    return sorted(enough, key=lambda each: (each.recall.value, -each.support))[:ROWS]
