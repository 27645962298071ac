"""Verdicts, their words, and the conditions that stop a rollout."""

import numpy as np
import pytest

from leadline.metrics.core.figures import Rate, confusion_from_dense
from leadline.metrics.core.version_pairs import PairCounts
from leadline.metrics.measures.comparison import Challenger, Change, compare, compare_all
from leadline.metrics.measures.conditions import judge, parse_condition
from leadline.metrics.measures.fixed_time import mcnemar
from leadline.metrics.measures.uncertainty import difference_interval, paired_difference_interval

NOTHING = confusion_from_dense([[0]])


def pairs(*rows: tuple[int, int, int, int]) -> PairCounts:
    """Both right, champion alone, challenger alone, neither; a row for each class from 0."""
    columns = np.array(rows, np.int64).reshape(-1, 4).T
    return PairCounts(np.arange(len(rows)), *columns)


def paired(*rows, **given):
    return compare(("1", "2"), pairs(*rows), NOTHING, NOTHING, **given)


def samples(first, second, **given):
    """Two samples of two classes, each [[right, wrong], [wrong, right]]."""
    return compare(
        ("1", "2"), None, confusion_from_dense(first), confusion_from_dense(second), **given
    )


BETTER = (11_185, 260, 483, 472)


def test_better_in_words():
    assert paired(BETTER).words() == (
        "2 is better than 1: right on 94.1 % against 92.3 % of the same 12,400 inputs, "
        "+1.8 points (+1.1 to +2.5), valid at every look."
    )


def test_worse_is_the_mirror():
    both, one, other, neither = BETTER
    found, mirrored = paired(BETTER), paired((both, other, one, neither))
    assert mirrored.verdict == "worse"
    assert "2 is worse than 1" in mirrored.words()
    assert mirrored.interval == pytest.approx([-bound for bound in found.interval[::-1]])


def test_undecided_in_words():
    assert paired((700, 40, 55, 35)).words() == (
        "Undecided after 830 pairs: about 2,700 more needed if the difference stays."
    )
    assert paired((700, 40, 40, 35)).words() == (
        "Undecided after 815 pairs: now +0.0 points (-3.4 to +3.4)."
    )
    assert paired((0, 0, 1, 0)).words().startswith("Undecided after 1 pair: ")


def test_same_within_a_margin():
    found = paired((9_700, 50, 52, 198), margin=0.01)
    assert found.verdict == "same"
    assert found.verdict_words == "same within 1 point"
    assert found.words().startswith("2 is the same within 1 point as 1: right on 97.5 % against")
    assert paired((9_700, 50, 52, 198), margin=0.001).verdict == "undecided"
    assert paired(BETTER, margin=0.5).verdict == "same", "a gain that does not matter"
    assert paired(BETTER, margin=0.001).verdict == "better"


def test_several_challengers_share_the_error():
    alone = paired(BETTER)
    many = compare_all(
        "1", NOTHING, [Challenger(name, pairs(BETTER), NOTHING) for name in ("2", "3", "4")]
    )
    assert [each.challenger_name for each in many] == ["2", "3", "4"]
    assert many[0].alpha == pytest.approx(0.05 / 3)
    assert many[0].interval[0] < alone.interval[0] < alone.interval[1] < many[0].interval[1]
    assert (
        many[0]
        .words()
        .endswith(" One of 3 challengers: the error allowed is shared out, 1.7 % each.")
    )


def test_two_samples_in_words():
    found = samples([[9_000, 1_000], [0, 0]], [[4_750, 250], [0, 0]])
    assert found.accuracy.kind == "two-sample"
    assert found.mcnemar is None
    assert found.words() == (
        "2 is better than 1: right on 95.0 % of 5,000 inputs against 90.0 % of 10,000 others, "
        "+5.0 points (+2.8 to +7.1), valid at every look."
    )
    assert (
        samples([[90, 10], [0, 0]], [[45, 5], [0, 0]])
        .words()
        .startswith("Undecided after 50 and 100 labels: now +0.0 points (")
    )
    leading = samples([[90, 10], [10, 90]], [[48, 2], [2, 48]])
    assert "more labels of both needed if" in leading.words()


def test_nothing_to_compare():
    empty = compare(("1", "2"), None, NOTHING, confusion_from_dense([[3]]))
    assert (empty.verdict, empty.interval, empty.needed) == ("undecided", None, None)
    assert empty.words() == "Nothing to compare yet: no labelled input of 1."
    asked = compare(("1", "2"), pairs(), NOTHING, NOTHING, kind="paired")
    assert asked.words() == "Nothing to compare yet: no labelled input was predicted by both."
    assert (asked.classes, asked.mcnemar) == ((), None)
    assert compare(("1", "2"), None, NOTHING, NOTHING, kind="paired").interval is None


def test_pairs_are_taken_where_there_are_enough():
    large = confusion_from_dense([[900, 100]] * 2)
    few, many = pairs((10, 1, 2, 3)), pairs((400, 1, 2, 3))
    for given, kind in ((few, "two-sample"), (many, "paired"), (None, "two-sample")):
        assert compare(("1", "2"), given, large, large).accuracy.kind == kind
    assert compare(("1", "2"), few, large, large, kind="paired").accuracy.champion.trials == 16


def test_classes_are_told_after_correction():
    """Class 0 is worse for sure; 1 would be alone, not among so many; 2 has no pair apart."""
    rest = [(50, 5, 5, 5)] * 20
    found = paired((500, 60, 5, 10), (100, 12, 1, 10), (10, 0, 0, 0), *rest)
    assert [each.verdict for each in found.classes[:3]] == ["worse", "unsure", "unsure"]
    alone = paired((100, 12, 1, 10)).classes[0]
    assert alone.recall.p_value == pytest.approx(alone.adjusted)
    assert found.classes[0].recall.champion == Rate(560, 575)
    both = paired((500, 60, 5, 10), (500, 5, 60, 10))
    assert [each.verdict for each in both.classes] == ["worse", "better"]
    assert both.verdict == "undecided"


def test_classes_of_two_samples():
    found = samples([[900, 100], [50, 950]], [[600, 400], [45, 955]])
    assert [each.verdict for each in found.classes] == ["worse", "unsure"]
    one_sided = samples([[900, 100], [0, 0]], [[0, 0], [3, 7]])
    assert [each.verdict for each in one_sided.classes] == ["unsure", "unsure"]
    assert one_sided.classes[0].recall.difference is None


def test_reports_have_the_tests_of_one_look():
    found = paired((700, 40, 55, 35))
    assert found.mcnemar == mcnemar(40, 55)
    assert found.accuracy.fixed_interval == paired_difference_interval(55, 40, 830)
    change = Change("two-sample", Rate(9, 10), Rate(7, 10))
    assert change.fixed_interval == difference_interval(Rate(7, 10), Rate(9, 10))
    lower, upper = found.interval
    assert lower < found.accuracy.fixed_interval[0] < found.accuracy.fixed_interval[1] < upper


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("worse", ("worse", "", 0.0, True, False)),
        (" undecided ", ("undecided", "", 0.0, True, False)),
        ("accuracy drop > 0.5 points", ("accuracy", "", 0.005, True, False)),
        ("accuracy drop>=1 point", ("accuracy", "", 0.01, False, False)),
        ("maybe recall[traffic light] drop > 2 points", ("recall", "traffic light", 0.02, True, 1)),
        ("recall[a[0]] drop > .02", ("recall", "a[0]", 0.02, True, False)),
        ("macro_f1 drop > 0.01", ("macro_f1", "", 0.01, True, False)),
    ],
)
def test_conditions_are_read(text, parts):
    found = parse_condition(text)
    fields = (found.figure, found.class_name, found.bound, found.strict, found.maybe)
    assert fields == parts


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Cannot read the condition ''"),
        ("bad", "Allowed: worse, better, undecided, same, or"),
        ("accuracy drop", "Cannot read"),
        ("accuracy rise > 1 points", "Cannot read"),
        ("accuracy drop > -1", "Cannot read"),
        ("auc drop > 0.01", "'auc' in 'auc drop > 0.01' is no figure"),
        ("recall drop > 0.01", "needs its class: recall"),
        ("accuracy[cat] drop > 0.01", "takes no class"),
        ("accuracy drop > 5", "write '5 points' for hundredths"),
    ],
)
def test_conditions_that_cannot_be_read_say_what_is_allowed(text, message):
    with pytest.raises(ValueError) as caught:
        parse_condition(text)
    assert message in str(caught.value)


def judged(text: str, comparison, classes=None):
    return judge(parse_condition(text), comparison, classes)


def test_a_drop_fails_for_sure_or_maybe():
    both, one, other, neither = BETTER
    worse = paired((both, other, one, neither))  # -1.8 points (-2.5 to -1.1)
    assert judged("accuracy drop > 0.5 points", worse).fails
    assert judged("worse", worse).fails
    assert not judged("undecided", worse).fails
    unsure = judged("accuracy drop > 1.5 points", worse)
    assert not unsure.fails
    assert unsure.words == (
        "The accuracy of 2 is 1.80 points lower (-2.52 to -1.10): "
        "maybe beyond a drop of 1.5 points, not for sure."
    )
    assert judged("maybe accuracy drop > 1.5 points", worse).fails
    assert "maybe within a drop of 2 points" in judged("accuracy drop > 2 points", worse).words
    assert "surely within a drop of 5" in judged("maybe accuracy drop > 5 points", worse).words
    assert "1.80 points higher" in judged("accuracy drop > 0", paired(BETTER)).words
    equal = paired((10, 2, 2, 1))
    assert judged("maybe accuracy drop >= 0", equal).fails
    assert not judged("maybe accuracy drop > 0", equal).fails


def test_recall_of_a_class_by_name_or_number():
    found = paired((500, 60, 5, 10), (500, 5, 5, 10))
    names = {"cat": 0, "dog": 1, "owl": 2}
    assert judged("recall[cat] drop > 2 points", found, names).fails
    assert judged("recall[0] drop > 2 points", found, names).fails
    assert not judged("recall[dog] drop > 2 points", found, names).fails
    owl = judged("recall[owl] drop > 2 points", found, names)
    assert (owl.fails, owl.words) == (False, "The recall of owl of both is not known yet.")
    with pytest.raises(ValueError, match=r"no class 'cow'. Classes: cat, dog, owl\."):
        judged("recall[cow] drop > 2 points", found, names)
    with pytest.raises(ValueError, match="numbers only"):
        judged("recall[cat] drop > 2 points", found)


def test_macro_figures():
    found = samples([[900, 100], [50, 950]], [[700, 300], [45, 955]])
    assert judged("macro_f1 drop > 0.01", found).fails
    assert judged("macro_recall drop > 5 points", found).fails
    assert not judged("macro_recall drop > 9.75 points", found).fails
    assert judged("maybe macro_recall drop > 9.7 points", found).fails
    nothing = compare(("1", "2"), None, NOTHING, NOTHING)
    assert judged("maybe macro_f1 drop > 0", nothing).words == (
        "The macro f1 of both is not known yet."
    )
    assert not judged("maybe accuracy drop > 0", nothing).fails
