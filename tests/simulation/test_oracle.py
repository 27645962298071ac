"""The oracle by hand-made examples, and against the smaller oracle where both apply."""

import random
from collections import Counter

import oracle
import oracle_full as full
import pytest

MINUTE = 60_000
HOUR = 60 * MINUTE
DAY = 24 * HOUR
A, B = ("m", "a", "t", ()), ("m", "b", "t", ())
TASK = ("", "", "t", ())
PLAIN = {"pair_window_ms": 0, "event_time_bound_ms": DAY, "kinds": frozenset()}


def rule(lw=10, pw=5, **changes):
    return full.Rule(label_window_ms=lw, prediction_window_ms=pw, **(PLAIN | changes))


def predictions(*rows, version="a", **more):
    """Records of one row at (append time, class); event time is append time."""
    found = []
    for offset, (at, said, *rest) in enumerate(rows):
        row = full.PredictionRow(b"x" * 16, at * 1000, said, **(rest[1] if rest[1:] else {}))
        name = rest[0] if rest else version
        found.append(full.PredictionRecord(offset, at, "m", name, "t", (row,), **more))
    return found


def labels(*rows, **more):
    """Records of one row at (append time, class, rank); label time is append time."""
    found = []
    for offset, (at, true, *rest) in enumerate(rows):
        row = full.LabelRow(b"x" * 16, at * 1000, true)
        rank = rest[0] if rest else 0
        found.append(full.LabelRecord(offset, at, "t", "s", rank, (row,), **more))
    return found


def cells(truth, *kinds):
    return {
        (kind, series, index): count
        for (kind, series, _, index), count in truth.cells.items()
        if count and kind in kinds
    }


def pair(true, said):
    return true << 32 | said


def test_nothing_is_nothing():
    truth = full.join([], [], [rule()])
    assert (truth.cells, truth.cases, truth.clocks) == (Counter(), {}, (0, 0))


@pytest.mark.parametrize(("at", "counted"), [(94, 0), (95, 1), (100, 1), (110, 1), (111, 0)])
def test_a_label_counts_inside_both_windows_only(at, counted):
    truth = full.join(predictions((100, 1)), labels((at, 1)), [rule()])
    kinds = cells(truth, "CONFUSION", "UNMATCHED")
    wanted = ("CONFUSION", A, pair(1, 1)) if counted else ("UNMATCHED", TASK, 0)
    assert kinds == {wanted: 1}


def test_a_repeat_prolongs_its_generation_and_a_later_one_begins_the_next():
    """110 repeats 100, 120 repeats 110 (not counted itself), 131 is new."""
    truth = full.join(predictions((100, 1), (110, 2), (120, 3), (131, 4)), [], [rule()])
    assert cells(truth, "PREDICTED", "DUPLICATE") == {
        ("PREDICTED", A, 1): 1,
        ("PREDICTED", A, 4): 1,
        ("DUPLICATE", A, 0): 2,
    }


def test_the_clock_is_a_running_maximum_and_an_exception_does_not_move_it():
    """The record at 10**9 is taken to be at 100; the one at 90 lives at clock 100."""
    records = predictions((100, 1), (10**9, 2), (90, 3, "b"))
    exceptions = [full.Exempt(0, 1, 2, 100)]
    truth = full.join(records, labels((111, 1)), [rule()], exceptions)
    assert truth.clocks == (100, 111)
    assert cells(truth, "CONFUSION", "UNMATCHED") == {("UNMATCHED", TASK, 0): 1}
    assert ("CLAMPED", A, 0, 0) in truth.cells


def test_precedence_by_rank_then_time_then_place():
    kinds = ("CONFUSION", "SUPERSEDED")
    two = {("SUPERSEDED", A, 0): 1}
    said = predictions((100, 1))
    ranked = full.join(said, labels((101, 1, 5), (102, 2, 4)), [rule()])
    assert cells(ranked, *kinds) == {("CONFUSION", A, pair(1, 1)): 1, **two}
    timed = full.join(said, labels((101, 1), (102, 2)), [rule()])
    assert cells(timed, *kinds) == {("CONFUSION", A, pair(2, 1)): 1, **two}
    tied = full.join(said, labels((101, 1), (101, 2)), [rule()])
    assert cells(tied, *kinds) == {("CONFUSION", A, pair(1, 1)): 1, **two}


def test_one_label_wins_here_and_is_superseded_there():
    """Of the labels at 108 and 115 the first is late for b and in the window of a alone."""
    said = predictions((100, 1, "a"), (112, 1, "b"))
    truth = full.join(said, labels((108, 1, 1), (115, 0, 0)), [rule()])
    assert cells(truth, "CONFUSION", "SUPERSEDED", "UNMATCHED") == {
        ("CONFUSION", A, pair(1, 1)): 1,
        ("CONFUSION", B, pair(1, 1)): 1,
        ("SUPERSEDED", B, 0): 1,
    }


def test_a_retraction_withholds_the_pair_and_the_default():
    rules = [rule(default_labels={"t": 0})]
    said = predictions((100, 1), (200, 1, "b"))
    counted = full.join(said, labels((200, 9)), rules)
    assert cells(counted, "DEFAULTED", "CONFUSION") == {
        ("DEFAULTED", A, 0): 1,
        ("CONFUSION", A, pair(0, 1)): 1,
        ("CONFUSION", B, pair(9, 1)): 1,
    }
    taken_back = full.join(said, labels((105, full.RETRACTED), (200, full.RETRACTED)), rules)
    assert cells(taken_back, "DEFAULTED", "CONFUSION", "UNMATCHED") == {}


@pytest.mark.parametrize(("p", "l", "counted"), [(110, 111, 0), (111, 110, 0), (111, 111, 1)])
def test_a_default_counts_when_both_clocks_are_past_the_window(p, l, counted):
    ticks = [full.PredictionRecord(1, p)], [full.LabelRecord(0, l)]
    rules = [rule(default_labels={"t": 1})]
    truth = full.join(predictions((100, 1)) + ticks[0], ticks[1], rules)
    assert truth.cells["DEFAULTED", A, 0, 0] == counted
    assert not cells(truth, "DELAY")


def test_pairs_of_versions_and_their_overflow():
    rules = [rule(pair_window_ms=10, pairs_max=1, kinds=frozenset({"pairs"}))]
    said = predictions((100, 1, "a"), (105, 0, "b"), (110, 1, "c"))
    truth = full.join(said, labels((105, 1)), rules)
    c = ("m", "c", "t", ())
    assert cells(truth, "PAIR", "PAIR_OVERFLOW") == {
        ("PAIR", A, (1, B, True, False)): 1,
        ("PAIR", A, (1, c, True, True)): 1,
        ("PAIR_OVERFLOW", c, 0): 1,
    }


def test_each_record_lives_by_the_rules_of_its_own_place():
    rules = [rule(lw=10), rule(lw=50, pw=0, from_p=1, from_l=1)]
    said = predictions((100, 1, "a"), (100, 1, "b"))
    truth = full.join(said, labels((130, 0), (130, 1)), rules)
    assert cells(truth, "CONFUSION", "SUPERSEDED") == {
        ("CONFUSION", B, pair(0, 1)): 1,
        ("SUPERSEDED", B, 0): 1,
    }
    early = full.join(said, labels((97, 0), (98, 1)), rules)  # by pw of the label: 5, then 0
    assert cells(early, "CONFUSION", "UNMATCHED") == {
        ("CONFUSION", A, pair(0, 1)): 1,
        ("CONFUSION", B, pair(0, 1)): 1,
        ("UNMATCHED", TASK, 0): 1,
    }


def test_slices_beyond_the_bound_are_others_until_a_rule_takes_more():
    rules = [rule(slices_per_version_max=1), rule(slices_per_version_max=2, from_p=2)]
    said = predictions(
        *((100, 1, "a", {"slices": (("os", value),)}) for value in ("x", "y", "y", "x", "z"))
    )
    truth = full.join(said, [], rules)
    found = Counter()
    for (_, series, _, _), count in truth.cells.items():
        found[series[3]] += count
    x, y, other = ((("os", value),) for value in ("x", "y", "(other)"))
    assert found == {x: 2, y: 1, other: 2}


def test_scores_by_class_of_the_hour_with_their_codes():
    row = full.PredictionRow(b"x" * 16, 61 * 60_000_000, 1, (0.25, 0.75), kept=True)
    record = full.PredictionRecord(0, 61 * MINUTE, "m", "a", "t", (row,))
    truth = full.join([record], labels((61 * MINUTE, 1)), [rule(kinds=frozenset({"scores"}))])
    low, high = full.score_code(0.25), full.score_code(0.75)
    assert truth.cells["SCORES", A, 60, low] == 1
    assert truth.cells["SCORES", A, 60, 1 << 32 | 1 << 16 | high] == 1
    assert low + high == full.score_code(1.0) == 8065
    assert truth.cells["RANK", A, 61, 1 << 32] == 1
    (case,) = truth.cases.values()
    assert case.label == (1, "s", 61 * 60_000_000, 0, 0)


def test_codes_grow_with_the_score_and_mirror():
    assert [full.score_code(s) for s in (-0.0, 0.0, 1e-45, 0.5)] == [0, 0, 0, 4033]
    rng = random.Random(5)
    scores = sorted(rng.random() ** rng.choice((1, 8)) for _ in range(2_000))
    codes = [full.score_code(score) for score in scores]
    assert codes == sorted(codes)
    for near in (full.float32(score) for score in scores if 1e-4 < score < 1):
        assert abs(full.score_code(near) + full.score_code(1 - near) - 8065) <= 1


def test_many_classes_keep_ten_scores_and_rank_seven():
    scores = [0.0] * 65
    scores[40:51] = [0.09 - 0.001 * at for at in range(11)]
    said = predictions((100, 40, "a", {"scores": tuple(scores)}))
    wanted = {45: 5, 46: 6, 47: 7, 3: 7}
    for true, rank in wanted.items():
        truth = full.join(said, labels((100, true)), [rule(kinds=frozenset({"scores"}))])
        assert cells(truth, "RANK") == {("RANK", A, true << 32 | rank): 1}
        classes = {index >> 32 for _, _, index in cells(truth, "SCORES")}
        assert classes == set(range(40, 50))


def test_a_default_label_in_a_case():
    rules = [rule(default_labels={"t": 7})]
    ticks = [full.PredictionRecord(1, 111)], [full.LabelRecord(0, 111)]
    said = predictions((100, 1, "a", {"kept": True}))
    truth = full.join(said + ticks[0], ticks[1], rules)
    (case,) = truth.cases.values()
    assert case.label == (7, "default", 110_000, 10, -1)


def test_refused_rows_and_what_was_not_observed():
    said = full.PredictionRecord(0, MINUTE, "m", "a", "t", unobserved=((2, 7),), refused=(3, 3))
    truth = full.join([said], [full.LabelRecord(0, MINUTE, refused=(1,))], [rule()])
    assert truth.cells == {
        ("UNOBSERVED", A, 1, 2): 7,
        ("DEAD", full.NOBODY, 1, 3): 2,
        ("DEAD", full.NOBODY, 1, 1 << 32 | 1): 1,
    }


def random_log(rng, count):
    """The same events as records and for the smaller oracle; everything is within the windows."""
    sides = ([], []), ([], [])
    at = 10 * DAY
    for _ in range(count):
        at += rng.randrange(0, 5 * MINUTE)
        id_ = bytes([rng.randrange(6)]) * 16
        time_us = (at + rng.choice((0, -1, 1, 2 * DAY, -2 * DAY)) * rng.randrange(9)) * 1000
        imported = rng.random() < 0.2
        task = rng.choice("tu")
        if rng.random() < 0.5:
            scores = tuple(rng.choice((0.0, 0.125, 0.25)) for _ in range(9))
            version = f"{rng.randrange(3)}{task}"  # one task a version
            slices = rng.choice(((), (("os", rng.choice("xy")),)))
            row = full.PredictionRow(id_, time_us, rng.randrange(9), scores, slices=slices)
            sides[0][0].append(
                full.PredictionRecord(len(sides[0][0]), at, "m", version, task, (row,), imported)
            )
            ranked = tuple(sorted(range(9), key=lambda c: (-scores[c], c)))
            sides[1][0].append(
                oracle.P(
                    id_, "m", version, time_us, at, row.predicted, ranked, slices, task, imported
                )
            )
        else:
            true, rank = rng.choice((*range(9), full.RETRACTED)), rng.randrange(2)
            row = full.LabelRow(id_, time_us, true)
            sides[0][1].append(
                full.LabelRecord(len(sides[0][1]), at, task, "s", rank, (row,), imported)
            )
            sides[1][1].append(oracle.L(id_, task, rank, time_us, at, true, imported))
    return sides


@pytest.mark.parametrize("seed", range(40))
def test_equals_the_smaller_oracle_where_both_apply(seed):
    records, rows = random_log(random.Random(seed), 80)
    forever = [rule(lw=2**50, pw=2**50)]
    found = full.join(*records, forever).cells
    wanted = Counter()
    for (kind, series, minute, index), count in oracle.join(*rows, DAY * 1000).cells.items():
        if kind == "SUPERSEDED":  # lives at the label's task there
            continue
        if kind == "RANK" and index & 0xFFFF_FFFF > full.RANKS:
            wanted[kind, series, minute, pair(index >> 32, full.RANKS)] += count
            continue
        wanted[kind, series, minute, index] += count
    assert not full.difference(
        Counter({k: n for k, n in found.items() if k[0] != "SUPERSEDED"}), wanted
    )
    assert any(key[0] == "SUPERSEDED" for key in found)


@pytest.mark.parametrize("seed", range(10))
def test_a_vector_cuts_and_batches_do_not_matter(seed):
    (said, told), _ = random_log(random.Random(seed), 60)
    p, l = len(said) // 2, len(told) // 3
    rules = [rule(lw=HOUR, pw=HOUR, pair_window_ms=HOUR, kinds=frozenset({"pairs"}))]
    cut = full.join(said, told, rules, p=p, l=l)
    assert cut == full.join(said[:p], told[:l], rules)
    assert cut != full.join(said, told, rules)
