"""A report as one HTML file: inline style, inline SVG, no script, no request. Pure."""

from __future__ import annotations

from html import escape
from importlib.resources import files

from leadline.cli.report_charts import (
    curve_chart,
    interval_bar,
    reliability_chart,
    timeline_chart,
)
from leadline.cli.report_data import LABELS_MIN, WEAKEST, Report
from leadline.cli.report_parts import (
    FEW,
    bounds,
    certain,
    figure,
    name_of,
    optional,
    percent,
    section,
    share,
    span,
    table,
    version_of,
)
from leadline.console.core import words
from leadline.v1 import analysis_pb2 as an
from leadline.v1 import evaluation_pb2 as ev

CLASSES_MAX = 250
MATRIX_MAX = 26
PAIRS_MAX = 20
POLICY = "default-src 'none'; style-src 'unsafe-inline'"
VERDICTS = {
    an.Comparison.VERDICT_BETTER: "better",
    an.Comparison.VERDICT_WORSE: "worse",
    an.Comparison.VERDICT_SAME: "same",
}


def render(report: Report) -> str:
    """The whole file."""
    style = (files("leadline.cli") / "report.css").read_text(encoding="utf-8")
    title = _title(report)
    parts = [
        _head(report, title),
        _figures(report),
        _notices(report),
        _advice(report),
        _comparisons(report),
        _timeline(report),
        _classes(report),
        _matrix(report),
        _curves(report),
        _thresholds(report),
        _calibration(report),
        _traffic(report),
        _slices(report),
        _basis(report),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        f"<title>{title}</title><style>{style}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _title(report: Report) -> str:
    model, _, version = report.summary.name.removeprefix("models/").partition("/versions/")
    return escape(version if report.of_files else f"{model}, version {version}")


def _head(report: Report, title: str) -> str:
    basis = report.summary.basis
    labelled = f"{basis.labelled:,} of {words.plural(basis.predictions, 'prediction')} labelled"
    window = _window(basis)
    between = f" {words.NARROW}\u00b7 {window}" if window else ""
    return (
        f'<header><h1>{title}</h1><p class="lead">{labelled}{between}</p>'
        f'<p class="note">Made {escape(report.made)} from {escape(report.source)}. Ranges in '
        "percent are 95 % intervals.</p></header>"
    )


def _window(basis: ev.Basis) -> str:
    if not basis.HasField("interval"):
        return ""
    start, end = (
        each.ToDatetime().strftime("%d %b %Y %H:%M")
        for each in (basis.interval.start_time, basis.interval.end_time)
    )
    return f"{start} to {end} UTC"


def _figures(report: Report) -> str:
    summary, calibration = report.summary, report.calibration
    found = [_rate_figure("Accuracy, labelled", summary.accuracy)]
    weighted = calibration.accuracy
    if weighted.HasField("rate"):
        interval = bounds(weighted, "interval")
        note = f"{words.span(interval)} %, by strata" if interval else "by strata"
        found.append(_figure("Accuracy, all traffic", percent(weighted.rate.value), note))
    found += [_rate_figure(f"Top-{top.k}", top.rate) for top in summary.top_k]
    found.append(
        _figure("Macro F1", percent(optional(summary.macro, "f1")), "mean over the classes")
    )
    if report.curves.HasField("macro_auc"):
        area = report.curves.macro_auc
        found.append(_figure("Macro AUC", figure(area.value, 4), certain(area)))
    if calibration.HasField("confidence_error"):
        error = calibration.confidence_error
        found.append(_figure("Calibration error", percent(error.value), "mean distance"))
    if calibration.HasField("log_loss"):
        loss = calibration.log_loss
        found.append(_figure("Log loss", figure(loss.value), certain(loss)))
    found.append(_rate_figure("Labelled", summary.basis.label_coverage))
    return f'<dl class="figures">{"".join(found)}</dl>'


def _rate_figure(title: str, rate: ev.Rate) -> str:
    return _figure(
        title, share(rate), f"{span(rate)} %" if rate.trials else "", few=rate.trials < FEW
    )


def _figure(title: str, value: str, note: str, *, few: bool = False) -> str:
    css = " few" if few else ""
    return (
        f'<div class="figure"><dt>{title}</dt><dd class="value{css}">{value}</dd>'
        f"<dd><small>{note}&nbsp;</small></dd></div>"
    )


def _notices(report: Report) -> str:
    said = [f"<li><p>{escape(n.text)} {escape(n.remedy)}</p></li>" for n in report.summary.notices]
    if not said:
        return ""
    return section("notices", "Before you trust these", f'<ul class="advice">{"".join(said)}</ul>')


def _advice(report: Report) -> str:
    said = [
        f"<li><h3>{escape(each.text)}</h3><p>{escape(each.evidence)} {escape(each.remedy)}</p></li>"
        for each in report.advice.advice
    ]
    if not said:
        return ""
    return section("advice", "What to do", f'<ul class="advice">{"".join(said)}</ul>')


def _comparisons(report: Report) -> str:
    if report.comparison is None:
        return ""
    found = [_comparison(each) for each in report.comparison.comparisons]
    body = "".join(found) or "<p>No other version answered in this window.</p>"
    note = (
        "The verdict holds however often it is looked at; the interval at one look is for a "
        "moment that was fixed before. Differences are in points."
    )
    return section("comparison", "Comparison", body, note)


def _comparison(found: an.Comparison) -> str:
    verdict = VERDICTS.get(found.verdict, "undecided")
    rows = [
        (
            "Accuracy",
            share(found.champion_accuracy),
            share(found.challenger_accuracy),
            words.points(optional(found, "difference"), 2),
            words.points_span(bounds(found, "interval"), 2),
            words.points_span(bounds(found, "fixed_interval"), 2),
            _verdict(verdict),
        )
    ]
    changed = sorted(
        found.classes, key=lambda c: (c.verdict not in VERDICTS, -abs(c.difference), c.class_number)
    )
    rows += [
        (
            f"Recall of {name_of(each)}",
            share(each.champion_recall),
            share(each.challenger_recall),
            words.points(optional(each, "difference"), 2),
            "",
            words.points_span(bounds(each, "interval"), 2),
            _verdict(VERDICTS.get(each.verdict, "unsure")),
        )
        for each in changed[:CLASSES_MAX]
    ]
    titles = (version_of(found.champion), version_of(found.challenger))
    head = ("", *titles, "difference", "at every look", "at one look", "verdict")
    return f'<p class="verdict {verdict}">{escape(found.words)}</p>{table(head, rows)}'


def _verdict(word: str) -> str:
    return f'<td class="{word if word in VERDICTS.values() else "dim"}">{word}</td>'


def _timeline(report: Report) -> str:
    points = list(report.timeline.points) if report.timeline is not None else []
    used = [at for at, each in enumerate(points) if each.accuracy.HasField("value")]
    if len(used) < 2:
        return ""
    chart = timeline_chart(points[used[0] : used[-1] + 1], "Accuracy over time")
    note = "Percent of labelled predictions by the time of the prediction, in UTC; the band is the "
    return section("timeline", "Accuracy over time", chart, f"{note}95 % interval.")


def _slices(report: Report) -> str:
    found = list(report.slices.slices) if report.slices is not None else []
    if not found:
        return ""
    rows = [
        (
            f"{escape(each.slice.column)} = {escape(each.slice.value)}",
            f"{each.predictions:,}",
            f"{each.accuracy.trials:,}",
            share(each.accuracy),
            f'<td class="left">{interval_bar(each.accuracy)} <span class="dim">'
            f"{span(each.accuracy)}</span></td>",
        )
        for each in found[:CLASSES_MAX]
    ]
    head = ("slice", "predictions", "labels", "accuracy", "")
    return section("slices", "Slices", table(head, rows))


def _classes(report: Report) -> str:
    areas = {each.class_number: each for each in report.curves.classes}
    classes = sorted(report.summary.classes, key=lambda c: c.class_number)
    note = "Recall beside its interval; AUC and average precision of the class against the rest."
    if len(classes) > CLASSES_MAX:
        classes = sorted(classes, key=_recall)[:CLASSES_MAX]
        note += f" The {CLASSES_MAX} classes with the lowest recall; all of them are in the JSON."
    known = [c.recall.lower for c in classes if c.recall.trials >= FEW]
    low = next((f for f in (0.9, 0.8, 0.5, 0.0) if min(known, default=0.0) >= f), 0.0)
    rows = []
    for each in classes:
        area = areas.get(each.class_number, an.ClassCurves())
        rows.append(
            (
                name_of(each),
                f"{each.support:,}",
                f"{each.predicted:,}",
                share(each.recall),
                f'<td class="left">{interval_bar(each.recall, low)} <span class="dim">'
                f"{span(each.recall)}</span></td>",
                share(each.precision),
                percent(optional(each, "f1")),
                figure(area.auc.value if area.HasField("auc") else None, 4),
                figure(
                    area.average_precision.value if area.HasField("average_precision") else None, 4
                ),
            )
        )
    note += f" The bars begin at {percent(low, 0)}." if low else ""
    head = ("class", "labels", "predicted", "recall", "", "precision", "F1", "AUC", "AP")
    return section("classes", "Classes", table(head, rows), note)


def _recall(found: ev.ClassFigures) -> float:
    return found.recall.value if found.recall.HasField("value") else 2.0


def _matrix(report: Report) -> str:
    matrix = report.matrix
    cells = {
        (true, said): count
        for true, said, count in zip(
            matrix.true_class, matrix.predicted_class, matrix.count, strict=True
        )
    }
    if not cells:
        return ""
    names = [escape(name) for name in matrix.class_names]
    if len(names) > MATRIX_MAX:
        return _pairs(cells, names)
    totals = [sum(cells.get((t, s), 0) for s in range(len(names))) for t in range(len(names))]
    body = "".join(
        f"<tr><th>{name}</th>"
        + "".join(_matrix_cell(cells.get((true, said), 0), totals[true], true == said)
                  for said in range(len(names)))
        + "</tr>"
        for true, name in enumerate(names)
    )  # fmt: skip
    top = "".join(f"<th>{name}</th>" for name in names)
    html = (
        f'<div class="scroll"><table class="matrix"><thead><tr><th>true \\ predicted</th>{top}'
        f"</tr></thead><tbody>{body}</tbody></table></div>"
    )
    return section(
        "matrix",
        "Confusion matrix",
        html,
        "Coloured by the share of the true class; orange cells are errors.",
    )


def _matrix_cell(count: int, total: int, right: bool) -> str:  # noqa: FBT001 - two colours
    if not count:
        return '<td class="dim">\u00b7</td>'
    css = "t" if right else "f"
    return f'<td class="{css}" style="--s:{(count / total) ** 0.5:.3f}">{count:,}</td>'


def _pairs(cells: dict[tuple[int, int], int], names: list[str]) -> str:
    def name(number: int) -> str:
        return names[number] if number < len(names) else str(number)

    totals: dict[int, int] = {}
    for (true, _), count in cells.items():
        totals[true] = totals.get(true, 0) + count
    wrong = sorted(((n, t, s) for (t, s), n in cells.items() if t != s), key=lambda c: -c[0])
    rows = [
        (name(true), name(said), f"{count:,}", percent(count / totals[true]))
        for count, true, said in wrong[:PAIRS_MAX]
    ]
    head = ("true", "predicted as", "count", "of the true class")
    return section("matrix", "Most confused", table(head, rows))


def _curves(report: Report) -> str:
    if not report.drawn.classes:
        return ""
    parts = []
    for each in sorted(report.drawn.classes, key=lambda found: found.auc.value):
        name = name_of(each)
        area, precision = _area(each, "auc"), _area(each, "average_precision")
        roc = curve_chart(
            each.roc, ("false positive rate", "recall"), f"ROC curve of {name}", diagonal=True
        )
        other = curve_chart(
            each.precision_recall,
            ("recall", "precision"),
            f"Precision-recall curve of {name}",
            diagonal=False,
        )
        parts.append(
            f'<h3>{name} <span class="dim">{each.positives:,} labels</span></h3>'
            f'<div class="charts"><figure><figcaption>AUC {area}</figcaption>{roc}</figure>'
            f"<figure><figcaption>Average precision {precision}</figcaption>{other}</figure></div>"
        )
    note = (
        f"The {WEAKEST} classes with the lowest area under the ROC curve, of those with "
        f"{LABELS_MIN} labels or more, each against the rest."
    )
    return section("curves", "Weakest classes", "".join(parts), note)


def _area(found: an.ClassCurves, field: str) -> str:
    area = optional(found, field)
    if area is None:
        return words.NONE
    text = figure(area.value, 4)
    interval = bounds(found, f"{field}_interval")
    return text if interval is None else f"{text} ({interval[0]:.4f}{words.DASH}{interval[1]:.4f})"


def _thresholds(report: Report) -> str:
    if not report.thresholds:
        return ""
    rows: list[tuple[str, ...]] = []
    for found in report.thresholds:
        if not found.HasField("best"):
            reason = f'<td class="left words" colspan="6">{escape(found.reason)}</td>'
            rows.append((name_of(found), reason))
            continue
        best = found.best
        rows.append(
            (
                name_of(found),
                words.score(best.threshold),
                f'{share(best.precision)} <span class="dim">{span(best.precision)}</span>',
                f'{share(best.recall)} <span class="dim">{span(best.recall)}</span>',
                percent(optional(best, "f1")),
                percent(optional(best.flagged, "value")),
                figure(optional(found, "optimism"), 4),
            )
        )
    head = ("class", "threshold", "precision", "recall", "F1", "flagged", "optimism")
    note = (
        f"{escape(report.goal[:1].upper() + report.goal[1:])}: the class is predicted from this "
        "score on. A threshold chosen and judged on the same labels looks better than it is, by "
        "about its optimism."
    )
    return section("thresholds", "Best thresholds", table(head, rows), note)


def _calibration(report: Report) -> str:
    found = report.calibration
    if not found.confidence:
        return ""
    rows = [
        (
            f"{each.score.lower:.3g}{words.DASH}{each.score.upper:.3g}",
            f"{each.observed.trials:,}",
            share(each.observed),
            span(each.observed),
        )
        for each in found.confidence
    ]
    head = ("score", "labels", "right", "95 %")
    chart = reliability_chart(found.confidence, "Share right by score")
    body = (
        f'<div class="charts"><figure><figcaption>What came true, by score</figcaption>{chart}'
        f"</figure><figure>{table(head, rows)}</figure></div>"
    )
    note = (
        "On the dashed line scores mean what they say. Orange bands are off by more than their "
        "interval allows; below the line the model is too sure."
    )
    return section("calibration", "Calibration", body, note)


def _traffic(report: Report) -> str:
    found = report.calibration
    rows = [("Accuracy", found.accuracy)] if found.HasField("accuracy") else []
    classes = [each for each in found.classes[:CLASSES_MAX] if each.HasField("recall")]
    rows += [(f"Recall of {name_of(each)}", each.recall) for each in classes]
    shown = [
        (
            name,
            share(each.plain),
            span(each.plain),
            percent(each.rate.value) if each.HasField("rate") else words.NONE,
            words.span(bounds(each, "interval")),
            percent(optional(each, "unlabelled_share")),
            '<td class="worse">differs</td>' if each.differs else "",
        )
        for name, each in rows
    ]
    if not shown or report.summary.basis.labelled == report.summary.basis.predictions:
        return ""
    note = (
        "Labels are rarely a random sample. Each rate once as labelled, and once reweighted to all "
        "traffic by predicted class and confidence; of the unlabelled share nothing is known."
    )
    head = ("", "labelled", "95 %", "all traffic", "95 %", "unlabelled", "")
    return section("traffic", "Rates for all traffic", table(head, shown), note)


def _basis(report: Report) -> str:
    basis = report.summary.basis
    rows = [
        (
            escape(at.shard),
            f"{at.predictions_offset:,}",
            f"{at.labels_offset:,}",
            f"{at.epoch:,}",
        )
        for at in basis.vector
    ]
    facts = [f"{basis.labelled:,} of {basis.predictions:,} predictions are labelled."]
    if basis.log_rate < 1:
        facts.append(f"{percent(basis.log_rate)} of the traffic is logged.")
    scores = report.curves.basis
    if scores.scored:
        kept = "all of their scores" if scores.complete else "their ten best scores"
        facts.append(f"{scores.scored:,} labelled predictions have scores; {kept} are kept.")
    if not report.steady:
        facts.append("Counting went on while this was made: sections may differ by a few labels.")
    body = f"<p>{' '.join(facts)}</p>"
    if rows:
        body += table(("shard", "predictions read", "labels read", "epoch"), rows)
    return section("basis", "Where these figures hold", body)
