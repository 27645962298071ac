"""The analysis half of the reader in memory: scores of the generated traffic, counted exactly.

Every figure is computed from the scores of all rows by sorting or masking them, none from codes,
so that bounds are the figure itself and a little room.
"""

from __future__ import annotations

import functools

import grpc
import grpc.aio
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from traffic import Traffic

from leadline.console.core.classes import f1_rate
from leadline.console.core.figures import ClassFigures
from leadline.console.core.wilson import wilson
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import analysis_pb2_grpc
from leadline.v1 import evaluation_pb2 as ev

BANDS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999])
ROOM = 2e-5
FIGURE = an.Objective.Figure
WITHOUT_SCORES = ("churn-30d",)
Z = 1.96


def rate(successes: int, trials: int) -> ev.Rate:
    found = wilson(int(successes), int(trials))
    answer = ev.Rate(successes=int(successes), trials=int(trials))
    if found.value is not None:
        answer.value, answer.lower, answer.upper = found.value, found.lower, found.upper
    return answer


def bounded(value: float) -> an.Bounded:
    return an.Bounded(value=value, lower=value - ROOM, upper=value + ROOM)


@functools.lru_cache(maxsize=16)
def _scores(model: str, pred: bytes, right: bytes, classes: int) -> np.ndarray:
    """Softmax scores whose best class is the predicted one, surer where it is right."""
    best, hit = np.frombuffer(pred, dtype=np.int64), np.frombuffer(right, dtype=bool)
    rng = np.random.default_rng(len(model))
    z = rng.normal(0, 1.2, (len(best), classes)).astype(np.float32)
    rows = np.arange(len(best))
    gap = rng.gamma(np.where(hit, 3.0, 1.1), np.where(hit, 2.2, 1.3)).astype(np.float32)
    z[rows, best] = z.max(axis=1) + gap + np.float32(0.02)
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def scores_of(found: Traffic) -> np.ndarray:
    right = found.true == found.pred
    return _scores(found.model, found.pred.tobytes(), right.tobytes(), len(found.classes))


def remembered(answer):
    """The same question at the same vector is answered from memory; failures are not kept."""

    async def ask(self, request, context):
        await self._ask(answer.__name__, request.scope.name, context)
        key = (answer.__name__, request.SerializeToString(), self.offset)
        if key not in self.answers:
            self.answers[key] = await answer(self, request, context)
        return self.answers[key]

    return ask


def other_version(found: Traffic) -> np.ndarray:
    """What the version that is not in charge predicts: some of it lost, a fifth of errors won."""
    rng = np.random.default_rng(17)
    worse = 0.09 if found.model == "digits" else 0.0065
    lost = rng.random(len(found.true)) < worse * (1 + (found.true % 3))
    won = rng.random(len(found.true)) < 0.2
    kept = np.where(won, found.true, found.pred)
    return np.where(lost, (found.true + 1) % len(found.classes), kept)


class AnalysisWorld(analysis_pb2_grpc.AnalysisServiceServicer):
    """Answers from the world's traffic; old is a reader that does not know these questions."""

    old = False

    def __init__(self) -> None:
        self.answers: dict[tuple[str, bytes, int], object] = {}

    def _scored(self, found: Traffic, scope: ev.Scope):
        """(rows that are labelled and scored, the answer's basis)."""
        mask = self._mask(found, scope)
        basis = an.ScoreBasis(basis=self._basis(found, scope, mask))
        start, end = self._window(found, scope)
        basis.interval.start_time.CopyFrom(Timestamp(seconds=start // 3600 * 3600))
        basis.interval.end_time.CopyFrom(Timestamp(seconds=-(-end // 3600) * 3600))
        basis.complete = len(found.classes) <= 64
        rows = np.flatnonzero(mask & found.labelled)
        if found.model in WITHOUT_SCORES:
            rows = rows[:0]
        basis.scored = len(rows)
        return rows, basis

    @remembered
    async def GetCurves(self, request, context):
        found = self.traffic[request.scope.name.split("/")[1]]
        rows, basis = self._scored(found, request.scope)
        scores = scores_of(found)[rows]
        answer = an.GetCurvesResponse(basis=basis)
        numbers = list(request.class_numbers) or list(range(len(found.classes)))
        for number in numbers if len(rows) else []:
            self._curves(answer.classes.add(), found, number, rows, scores, request.areas_only)
        aucs = [c.auc.value for c in answer.classes if c.HasField("auc")]
        aps = [c.average_precision.value for c in answer.classes if c.HasField("auc")]
        if aucs:
            answer.macro_auc.CopyFrom(bounded(float(np.mean(aucs))))
            answer.macro_average_precision.CopyFrom(bounded(float(np.mean(aps))))
        return answer

    def _curves(self, answer, found, number, rows, scores, areas_only):
        s, positive = scores[:, number], found.true[rows] == number
        order = np.argsort(-s, kind="stable")
        tp, fp = np.cumsum(positive[order]), np.cumsum(~positive[order])
        p, n = int(positive.sum()), int((~positive).sum())
        answer.class_number, answer.class_name = number, found.classes[number]
        answer.positives, answer.negatives = p, n
        if p and n:
            auc = float(np.trapezoid(np.r_[0, tp / p], np.r_[0, fp / n]))
            ap = float(((tp / (tp + fp))[positive[order]]).mean())
            answer.auc.CopyFrom(bounded(auc))
            answer.average_precision.CopyFrom(bounded(ap))
        if areas_only:
            return
        if p and n:
            spread = 0.4 / np.sqrt(p)
            answer.auc_interval.lower = max(auc - spread * 0.1, 0)
            answer.auc_interval.upper = min(auc + spread * 0.1, 1)
            answer.average_precision_interval.lower = max(ap - spread * 0.5, 0)
            answer.average_precision_interval.upper = min(ap + spread * 0.5, 1)
        grid = np.sort(np.expm1(np.linspace(0, np.log(len(s)), 200))).astype(int)
        points = np.unique(np.clip(grid, 0, len(s) - 1))
        t = s[order][points].astype(float)
        answer.roc.x.extend((fp[points] / max(n, 1)).tolist())
        answer.roc.y.extend((tp[points] / max(p, 1)).tolist())
        answer.roc.threshold.extend(t.tolist())
        answer.precision_recall.x.extend((tp[points] / max(p, 1)).tolist())
        answer.precision_recall.y.extend((tp / (tp + fp))[points].tolist())
        answer.precision_recall.threshold.extend(t.tolist())
        self._distribution(answer.distribution, s, positive)

    def _distribution(self, answer, s, positive):
        inner = 1 / (1 + np.exp(-np.linspace(-10, 10, 49)))
        edges = np.r_[0, inner, 1]
        answer.edges.extend(edges.tolist())
        answer.positives.extend(np.histogram(s[positive], edges)[0].tolist())
        answer.negatives.extend(np.histogram(s[~positive], edges)[0].tolist())

    @remembered
    async def GetThresholds(self, request, context):
        found = self.traffic[request.scope.name.split("/")[1]]
        rows, basis = self._scored(found, request.scope)
        number, goal = request.class_number, request.objective
        if not 4 <= (request.points_max or 200) <= 2000:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "points_max: 4 to 2000.")
        answer = an.GetThresholdsResponse(
            basis=basis, class_number=number, class_name=found.classes[number]
        )
        if not len(rows):
            return answer
        s, positive = scores_of(found)[rows][:, number], found.true[rows] == number
        self._distribution(answer.distribution, s, positive)
        at = np.unique(np.quantile(s, np.linspace(0, 1, 400)))
        table = [_figures(s, positive, t, goal) for t in at]
        fit = [r for r in table if all(_holds(r, c) for c in goal.constraints)]
        sign = -1 if goal.figure in (FIGURE.FIGURE_COST, FIGURE.FIGURE_FLAGGED_SHARE) else 1
        if fit:
            answer.best.CopyFrom(max(fit, key=lambda r: sign * _value(r, goal.figure)))
            answer.optimism = 0.2 / np.sqrt(max(int(positive.sum()), 1))
            if goal.figure == FIGURE.FIGURE_COST:
                answer.optimism *= answer.best.cost
        else:
            answer.reason = "No threshold satisfies all constraints on these labels."
        step = max(len(table) // max(request.points_max, 1), 1)
        answer.rows.extend(table[::step])
        if request.HasField("threshold"):
            answer.asked.CopyFrom(_figures(s, positive, request.threshold, goal))
        return answer

    @remembered
    async def GetCalibration(self, request, context):
        found = self.traffic[request.scope.name.split("/")[1]]
        rows, basis = self._scored(found, request.scope)
        answer = an.GetCalibrationResponse(basis=basis)
        if not len(rows):
            return answer
        scores = scores_of(found)
        all_rows = np.flatnonzero(self._mask(found, request.scope))
        s, true = scores[rows], found.true[rows]
        mine = s[np.arange(len(rows)), true].astype(float)
        answer.log_loss.CopyFrom(bounded(float(-np.log(np.maximum(mine, 1e-30)).mean())))
        brier = (s.astype(float) ** 2).sum(1) - 2 * mine + 1
        answer.brier.CopyFrom(bounded(float(brier.mean())))
        right = true == found.pred[rows]
        confidence = s.max(axis=1)
        answer.confidence_error.CopyFrom(_bins(answer.confidence, confidence, right))
        everyone = scores[all_rows].max(axis=1)
        _stratify(answer.accuracy, right, np.digitize(confidence, BANDS), everyone)
        for number in request.class_numbers:
            own = answer.classes.add(class_number=number, class_name=found.classes[number])
            own.error.CopyFrom(_bins(own.bins, s[:, number], true == number))
            for rated, chosen in ((own.recall, true), (own.precision, found.pred[rows])):
                inside = chosen == number
                bands = np.digitize(confidence[inside], BANDS)
                _stratify(rated, right[inside], bands, everyone)
        for t in (0.0, *BANDS):
            above = confidence >= t
            answer.abstention.add(
                confidence=t,
                accuracy=rate(int(right[above].sum()), int(above.sum())),
                coverage=rate(int((everyone >= t).sum()), len(everyone)),
            )
        return answer

    @remembered
    async def CompareVersions(self, request, context):
        found = self.traffic[request.scope.name.split("/")[1]]
        mask = self._mask(found, request.scope)
        answer = an.CompareVersionsResponse(basis=self._basis(found, request.scope, mask))
        rows = np.flatnonzero(mask & found.labelled)
        own = request.scope.name.rpartition("/")[2]
        for other in found.versions:
            if other == own or (request.challengers and other not in request.challengers):
                continue
            self._comparison(answer.comparisons.add(), found, rows, own, other)
        return answer

    def _comparison(self, answer, found, rows, own, other):
        true, pred, theirs = found.true[rows], found.pred[rows], other_version(found)[rows]
        if own != found.version:
            pred, theirs = theirs, pred
        mine, his = pred == true, theirs == true
        n, only_mine, only_his = len(rows), int((mine & ~his).sum()), int((his & ~mine).sum())
        answer.champion = f"models/{found.model}/versions/{own}"
        answer.challenger = f"models/{found.model}/versions/{other}"
        answer.paired, answer.samples = True, n
        answer.champion_accuracy.CopyFrom(rate(int(mine.sum()), n))
        answer.challenger_accuracy.CopyFrom(rate(int(his.sum()), n))
        answer.only_champion_right, answer.only_challenger_right = only_mine, only_his
        if not n:
            answer.words = "No verdict yet: no labelled input was seen by both."
            answer.verdict = an.Comparison.VERDICT_UNDECIDED
            return
        d = (only_his - only_mine) / n
        half = Z * np.sqrt(max(only_mine + only_his - n * d * d, 1)) / n
        answer.difference = d
        answer.fixed_interval.lower, answer.fixed_interval.upper = d - half, d + half
        answer.interval.lower, answer.interval.upper = d - 1.6 * half, d + 1.6 * half
        answer.verdict = _verdict(answer.interval)
        better = "better" if d > 0 else "worse"
        answer.words = f"v{other} is {better} than v{own} by {abs(d) * 100:.1f} points of accuracy."
        if answer.verdict == an.Comparison.VERDICT_UNDECIDED:
            answer.words = f"No verdict yet: v{other} looks {better} than v{own}."
            answer.samples_needed = 4200
        for number, name in enumerate(found.classes):
            inside = true == number
            if inside.any():
                _class(answer.classes.add(), number, name, mine[inside], his[inside])

    async def ListAdvice(self, request, context):
        found = await self._ask("ListAdvice", request.scope.name, context)
        mask = self._mask(found, request.scope)
        answer = an.ListAdviceResponse(basis=self._basis(found, request.scope, mask))
        if found.model == "digits" and not request.scope.slices:
            answer.advice.add(
                code="class_confused",
                text="5 is often read as 8: 218 of 1,979 true 5s, 11.0 % (9.7 to 12.5).",
                evidence="No other pair has more errors; the reverse, 8 as 5, is 13 of 2,039.",
                effect_size=0.011,
                remedy="Look at the pictures of this cell, and add such 5s to the training data.",
            )
        return answer

    async def _ask(self, call, name, context) -> Traffic:
        if self.old:
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        return await self._find(call, name, context)


def _figures(s, positive, t, goal) -> an.ThresholdFigures:
    flagged = s >= t
    tp, fp = int((flagged & positive).sum()), int((flagged & ~positive).sum())
    fn, tn = int((~flagged & positive).sum()), int((~flagged & ~positive).sum())
    row = an.ThresholdFigures(
        threshold=float(t),
        true_positives=tp,
        false_positives=fp,
        false_negatives=fn,
        true_negatives=tn,
        precision=rate(tp, tp + fp),
        recall=rate(tp, tp + fn),
        flagged=rate(tp + fp, len(s)),
        cost=(goal.false_positive_cost * fp + goal.false_negative_cost * fn) / len(s),
    )
    wrapped = ClassFigures(0, "", 0, 0, wilson(tp, tp + fp), wilson(tp, tp + fn), None)
    f1 = f1_rate(wrapped)
    if f1.value is not None:
        row.f1 = f1.value
        row.f1_interval.lower, row.f1_interval.upper = f1.lower, f1.upper
    return row


def _value(row, figure) -> float:
    return {
        FIGURE.FIGURE_UNSPECIFIED: row.f1,
        FIGURE.FIGURE_F1: row.f1,
        FIGURE.FIGURE_COST: row.cost,
        FIGURE.FIGURE_PRECISION: row.precision.value,
        FIGURE.FIGURE_RECALL: row.recall.value,
        FIGURE.FIGURE_FLAGGED_SHARE: row.flagged.value,
    }[figure]


def _holds(row, constraint) -> bool:
    value = _value(row, constraint.figure)
    if constraint.HasField("at_least") and value < constraint.at_least:
        return False
    return not constraint.HasField("at_most") or value <= constraint.at_most


def _bins(answer, s, hit) -> an.Bounded:
    band, error = np.digitize(s, BANDS), 0.0
    for i in range(len(BANDS) + 1):
        inside = band == i
        if not inside.any():
            continue
        mean = float(s[inside].mean())
        error += abs(mean - hit[inside].mean()) * inside.sum() / len(s)
        observed = rate(int(hit[inside].sum()), int(inside.sum()))
        answer.add(score=bounded(mean), observed=observed)
    return bounded(float(error))


def _stratify(answer, right, bands, everyone) -> None:
    """Weights the share that is right by the bands of all predictions."""
    answer.plain.CopyFrom(rate(int(right.sum()), len(right)))
    weights = np.bincount(np.digitize(everyone, BANDS), minlength=15) / max(len(everyone), 1)
    known = [i for i in range(15) if (bands == i).any()]
    if not known:
        return
    total = sum(weights[i] for i in known)
    value = sum(weights[i] * right[bands == i].mean() for i in known) / max(total, 1e-9)
    half = Z * np.sqrt(max(value * (1 - value), 1e-4) / len(right))
    answer.rate.CopyFrom(bounded(float(value)))
    answer.interval.lower, answer.interval.upper = max(value - half, 0), min(value + half, 1)
    answer.unlabelled_share = max(float(1 - total), 0.0)
    answer.differs = not answer.plain.lower - half <= value <= answer.plain.upper + half


def _verdict(interval: an.Bounds) -> int:
    if interval.lower > 0:
        return an.Comparison.VERDICT_BETTER
    if interval.upper < 0:
        return an.Comparison.VERDICT_WORSE
    return an.Comparison.VERDICT_UNDECIDED


def _class(answer, number, name, mine, his) -> None:
    n = len(mine)
    d = float(his.mean() - mine.mean())
    half = 2.8 * np.sqrt(max(((his.astype(int) - mine) ** 2).sum() - n * d * d, 1)) / n
    answer.class_number, answer.class_name = number, name
    answer.champion_recall.CopyFrom(rate(int(mine.sum()), n))
    answer.challenger_recall.CopyFrom(rate(int(his.sum()), n))
    answer.difference = d
    answer.interval.lower, answer.interval.upper = d - half, d + half
    answer.verdict = _verdict(answer.interval)
