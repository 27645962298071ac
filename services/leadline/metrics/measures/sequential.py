"""Comparisons that hold at every look: anytime-valid tests and confidence sequences of counts.

Evidence against a null hypothesis is an e-value: the wealth of one who bets against it, starting
with 1, at odds that are fair under the null. Whatever the number of looks, the wealth ever reaches
1 / alpha with a probability of at most alpha if the null is true (J. Ville, "Etude critique de la
notion de collectif", 1939; G. Shafer, "Testing by betting", JRSS A 184 (2021), 407-431). So one may
watch all the time and stop when it is decided. Those differences against which the evidence stays
below 1 / alpha are a confidence sequence: it holds the true one at all times with 1 - alpha.

What is bet does not depend on the data seen, so the wealth is a function of counts alone. All of it
is in natural logarithms, sound for counts up to 1e9. The guarantee is for independent inputs that
are counted one after another from a fixed start. A window that slides starts a new bet with each
move: the guarantee is then for each start alone. A label that is corrected later changes what was
bet on; corrections that are few beside the discordant pairs change little.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from leadline.metrics.core.figures import Rate

Interval = tuple[float, float]
F64 = npt.NDArray[np.float64]

ALPHA = 0.05
"""The usual chance of ever being wrong."""

STAKES = 0.98 * 1.3 ** -np.arange(54.0)
"""Shares of the wealth that are bet, 0.98 to 9e-7, evenly spaced in logarithms."""
PRIOR = 5.0
"""The stakes are weighted as Beta(5, 5) weights the share of one side among discordant pairs."""

NEEDED_MAX = 10**9
"""More than so many are not foretold."""
BISECTIONS = 48
GOLDEN_STEPS = 40
GOLDEN = (math.sqrt(5) - 1) / 2
NEARLY_ONE = 1 - 1e-12


def _stake_weights() -> F64:
    weight: F64 = STAKES * (1 - STAKES**2) ** (PRIOR - 1)
    weight /= weight.sum()
    return weight


@dataclass(frozen=True, slots=True)
class PairedEvidence:
    """How strongly the pairs speak against a difference.

    Attributes:
        above: natural log of the e-value that the true difference is above it.
        below: the same for below. Each is one half of a two-sided test.
    """

    above: F64
    below: F64

    @property
    def log_e(self) -> F64:
        """Natural log of the two-sided e-value: half of the larger one."""
        return np.maximum(self.above, self.below) - math.log(2)

    @property
    def p_value(self) -> F64:
        """The least alpha at which it is decided, valid at every look, in (0, 1]."""
        return np.exp(-np.maximum(self.log_e, 0))


def paired_evidence(
    only_first: npt.ArrayLike,
    only_second: npt.ArrayLike,
    pairs: npt.ArrayLike,
    difference: float = 0.0,
) -> PairedEvidence:
    """Evidence against `difference` = (share right of the first) - (that of the second).

    With x = 1, -1 and 0 for a pair in which the first alone, the second alone, both or neither are
    right, the wealth of a stake is the product of 1 + stake (x - difference), a martingale when x
    has that mean. Stakes for `above` are t / (1 + difference) and for `below` -t / (1 - difference)
    with t from STAKES, mixed by a fixed prior (mixture method: H. Robbins, Ann. Math. Statist. 41
    (1970), 1397-1409; betting on bounded means: I. Waudby-Smith and A. Ramdas, JRSS B 86 (2024),
    1-27). At difference 0 the pairs in which both are right or wrong do not matter, and it is the
    Beta mixture test of discordant pairs against fairness, Beta(5, 5) on a grid.

    Args:
        only_first: pairs in which the first alone is right, any shape (fractions are allowed).
        only_second: those in which the second alone is right.
        pairs: all pairs.
        difference: in (-1, 1).
    """
    first, second, total = (
        np.asarray(each, np.float64)[..., None] for each in (only_first, only_second, pairs)
    )
    same = total - first - second
    log_weight = np.log(_stake_weights())
    sides = []
    for one, other, gap in ((first, second, difference), (second, first, -difference)):
        logs = (
            one * np.log1p(STAKES * ((1 - gap) / (1 + gap)))
            + other * np.log1p(-STAKES)
            + log_weight
        )
        if gap:
            logs = logs + same * np.log1p(-STAKES * (gap / (1 + gap)))
        sides.append(_log_sum(logs))
    return PairedEvidence(*sides)


def _log_sum(logs: F64) -> F64:
    """Log of the sum of exp over the last axis."""
    largest = logs.max(axis=-1)
    found: F64 = largest + np.log(np.exp(logs - largest[..., None]).sum(axis=-1))
    return found


def paired_sequence(
    only_first: int, only_second: int, pairs: int, alpha: float = ALPHA
) -> Interval | None:
    """Confidence sequence of (share right of the first) - (that of the second), in [-1, 1].

    The differences that `paired_evidence` does not exclude: with at least 1 - alpha it holds the
    true one at all looks together. It excludes 0 exactly when the e-value against 0 reaches
    1 / alpha. None without a pair.
    """
    if pairs <= 0:
        return None
    limit = math.log(2 / alpha)
    point = (only_first - only_second) / pairs

    def evidence(at: float) -> PairedEvidence:
        return paired_evidence(only_first, only_second, pairs, at)

    lower = _root(lambda at: float(evidence(at).above) < limit, point, -NEARLY_ONE)
    upper = _root(lambda at: float(evidence(at).below) < limit, point, NEARLY_ONE)
    return (-1.0 if lower <= -NEARLY_ONE else lower), (1.0 if upper >= NEARLY_ONE else upper)


def _root(inside: Callable[[float], bool], within: float, beyond: float) -> float:
    """Where `inside` ceases to hold between `within`, where it does, and `beyond`; or `beyond`."""
    within = min(max(within, -NEARLY_ONE), NEARLY_ONE)
    return beyond if inside(beyond) else _bisect(inside, within, beyond)


def pairs_needed(only_first: int, only_second: int, pairs: int, alpha: float = ALPHA) -> int | None:
    """About how many more pairs until it is decided, if they come in the present proportions.

    0 when it is decided. None when nothing is foretold: no pair, no difference, or more than
    NEEDED_MAX. It is an estimate of the time, no promise: an early lead is often luck.
    """
    limit = math.log(1 / alpha)

    def undecided(times: float) -> bool:
        evidence = paired_evidence(only_first * times, only_second * times, pairs * times)
        return float(evidence.log_e) < limit

    return None if only_first == only_second else _growth(undecided, pairs)


def _growth(undecided: Callable[[float], bool], size: int) -> int | None:
    """How much must be added to a sample of `size` that grows in proportion; see `pairs_needed`."""
    if size <= 0:
        return None
    if not undecided(1.0):
        return 0
    most = NEEDED_MAX / size
    if most <= 1 or undecided(most):
        return None
    few, many = 0.0, math.log(most)
    for _ in range(BISECTIONS):
        middle = (few + many) / 2
        if undecided(math.exp(middle)):
            few = middle
        else:
            many = middle
    return max(1, math.ceil(size * math.expm1(many)))


def rate_sequence(rate: Rate, alpha: float = ALPHA) -> Interval | None:
    """Confidence sequence of one share, in [0, 1]; None without a trial.

    The shares p whose likelihood p^k (1 - p)^(n - k) is more than alpha times its mean under
    Beta(1/2, 1/2): Robbins' mixture for coin tosses (H. Robbins 1970; S. Howard, A. Ramdas, J.
    McAuliffe and J. Sekhon, Ann. Statist. 49 (2021), 1055-1080).
    """
    return _rate_bounds(rate, math.log(1 / alpha)) if rate.trials > 0 else None


def _rate_bounds(rate: Rate, limit: float) -> Interval:
    """The shares against which the log wealth is at most `limit`."""
    wealth = _log_mixture(rate.successes, rate.trials)
    wrong = rate.trials - rate.successes

    def inside(at: float) -> bool:
        return wealth - _log_likelihood(rate.successes, wrong, at) < limit

    share = rate.successes / rate.trials
    lower = 0.0 if rate.successes == 0 else _bisect(inside, share, 0.0)
    upper = 1.0 if wrong == 0 else _bisect(inside, share, 1.0)
    return lower, upper


def _bisect(inside: Callable[[float], bool], within: float, beyond: float) -> float:
    """The first value found from `within`, where `inside` holds, where it does not."""
    for _ in range(BISECTIONS):
        middle = (within + beyond) / 2
        if inside(middle):
            within = middle
        else:
            beyond = middle
    return beyond


def _log_mixture(successes: float, trials: float) -> float:
    """Log of the mean likelihood under Beta(1/2, 1/2)."""
    one, other = successes + 0.5, trials - successes + 0.5
    return math.lgamma(one) + math.lgamma(other) - math.lgamma(trials + 1) - math.log(math.pi)


def _log_likelihood(right: float, wrong: float, share: float) -> float:
    """Log of share^right (1 - share)^wrong, with 0 log 0 = 0."""
    found = 0.0
    if right:
        found += right * (math.log(share) if share > 0 else -math.inf)
    if wrong:
        found += wrong * (math.log1p(-share) if share < 1 else -math.inf)
    return found


def two_sample_log_e(first: Rate, second: Rate) -> float:
    """Natural log of the e-value against equal shares of two independent samples.

    The product of the wealths of two coin bettors (see `rate_sequence`), at the common share that
    is the best for the null: at most the wealth against the true one. 0 without a trial.
    """
    return _two_sample_log_e(first.successes, first.trials, second.successes, second.trials)


def _two_sample_log_e(right: float, trials: float, other_right: float, others: float) -> float:
    total, correct = trials + others, right + other_right
    if total <= 0:
        return 0.0
    wealth = _log_mixture(right, trials) + _log_mixture(other_right, others)
    return wealth - _log_likelihood(correct, total - correct, correct / total)


def two_sample_sequence(first: Rate, second: Rate, alpha: float = ALPHA) -> Interval | None:
    """Confidence sequence of first - second, shares of independent samples; None without a trial.

    The differences of the pairs of shares against which the product of the two wealths stays below
    1 / alpha. Both samples may grow at any pace. It is mostly narrower than the difference of two
    confidence sequences at alpha / 2 each, and excludes 0 exactly when `two_sample_log_e` reaches
    log(1 / alpha).
    """
    if first.trials <= 0 or second.trials <= 0:
        return None
    limit = math.log(1 / alpha)
    upper = _largest_difference(first, second, limit)
    return -_largest_difference(second, first, limit), upper


def _largest_difference(first: Rate, second: Rate, limit: float) -> float:
    """Maximum of p - q over the shares whose log wealths sum up to at most `limit`.

    How much of the limit goes to p is found by golden section: the difference is concave in it.
    """
    least, other_least = _least_wealth(first), _least_wealth(second)

    def difference(spent: float) -> float:
        upper = _rate_bounds(first, spent)[1]
        return upper - _rate_bounds(second, limit - spent)[0]

    low, high = least, limit - other_least
    for _ in range(GOLDEN_STEPS):
        width = GOLDEN * (high - low)
        if difference(high - width) > difference(low + width):
            high = low + width
        else:
            low = high - width
    return min(1.0, difference((low + high) / 2))


def _least_wealth(rate: Rate) -> float:
    """Log wealth against the observed share, negative: what the mixture costs."""
    wrong = rate.trials - rate.successes
    best = _log_likelihood(rate.successes, wrong, rate.successes / rate.trials)
    return _log_mixture(rate.successes, rate.trials) - best


def samples_needed(first: Rate, second: Rate, alpha: float = ALPHA) -> int | None:
    """About how many more trials of both together decide it, in the present proportions.

    As `pairs_needed`; None also while one of them has no trial.
    """
    if not first.trials or not second.trials or first.value == second.value:
        return None
    limit = math.log(1 / alpha)
    counts = first.successes, first.trials, second.successes, second.trials

    def undecided(times: float) -> bool:
        return _two_sample_log_e(*(each * times for each in counts)) < limit

    return _growth(undecided, first.trials + second.trials)
