"""Whether the answers tell who was in the training data."""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from helpers.audit.allowance import Allowance
from helpers.audit.bench import Bench
from helpers.audit.data import Examples
from helpers.audit.results import Chart, Measure, Notes, Rated, Series
from helpers.errors import AuditError, OutOfTimeError
from helpers.privacy.membership.signals import scaled_confidence
from helpers.privacy.membership.threshold import (
    OperatingPoint,
    ThresholdAttack,
    threshold_attack,
)
from helpers.robustness.findings import Severity

LEAST = 20  # of either kind
LIMIT = 0.01  # of outsiders accused
IMPORT_SECONDS = 5.0
MOST_BLIND = 1000  # of either kind
MOST_NUMBERS = 4096  # of an input, for the accuser that sees no answer
_SUM_ERROR = 1e-5  # of a row of float32 probabilities, at most
_CURVE_POINTS = 60
_FOLDS = 5
RULE = (
    "Low if the 95% interval of the area reaches down to one half, which is guessing. Where it "
    "lies above, medium; high if at least 5% of members are named while at most 1% of outsiders "
    "here are accused, by the lower end of the interval of the former. If members and outsiders "
    "can be told apart without the model, the number says nothing about the model: a doubt, "
    "medium, and it scores no threat."
)


def membership(bench: Bench, allowance: Allowance, notes: Notes) -> None:
    """Accuse whom the model is surest about, and count how often that is right."""
    data = bench.require_data()
    if data.members is None or data.nonmembers is None:
        raise AuditError(
            "no members and non-members were supplied: put members_x, members_y, nonmembers_x and "
            "nonmembers_y into the .npz"
        )
    least = min(len(data.members), len(data.nonmembers))
    if least < LEAST:
        raise AuditError(f"{least} members or non-members are too few: give {LEAST} of each")
    sure = [_confidence(bench, allowance, part) for part in (data.members, data.nonmembers)]
    attack = threshold_attack(*sure)
    low, high = attack.auc_bounds()
    notes.measures.append(Measure(
        "auc", "Area under the curve of the best accuser by confidence", attack.auc, low, high,
        "share", attack.members + attack.others, better="lower",
    ))  # fmt: skip
    named = _named(notes, attack)
    notes.charts.append(_chart(attack))
    apart: ThresholdAttack | None = None
    try:
        apart = _blind(bench, allowance, data.members, data.nonmembers)
    except OutOfTimeError as late:
        notes.not_done.append(
            f"Whether members and non-members differ without the model, so that the leak is not "
            f"the model's: {late}"
        )
    else:
        notes.measures.append(Measure(
            "blind_auc", "The same area from the inputs alone, without the model", apart.auc,
            *apart.auc_bounds(), "share", apart.members + apart.others,
        ))  # fmt: skip
    _finding(notes, attack, named, apart)


def _confidence(bench: Bench, allowance: Allowance, part: Examples) -> NDArray[np.float64]:
    """Return the logit of the true class's probability, as finely as the answers give it."""
    scores, form = bench.answering(allowance)(part.x), bench.form(allowance)
    if form.kind == "logits":
        return scaled_confidence(scores, part.y)
    # A sure answer's probability rounds to 1, but the others add up to what it leaves. Where those
    # are rounded to nothing, as of an int8 softmax, it leaves more than they add up to.
    given = np.clip(form.probabilities(scores), 0, 1).astype(np.float64)
    own = np.arange(given.shape[1]) == part.y[:, None]
    true, others = given[own], np.where(own, 0, given).sum(axis=1)
    left = np.maximum(others, 1 - true - _SUM_ERROR)
    true, left = np.maximum((true, left), np.finfo(np.float32).tiny)
    return np.asarray(np.log(true) - np.log(left))


def _tied(attack: ThresholdAttack) -> tuple[int, int]:
    """Return how many members and outsiders share the score at which the limit is passed."""
    after = int(np.flatnonzero(attack.false_positive_rate <= LIMIT)[-1]) + 1
    members, others = (
        round(float(rate[after] - rate[after - 1]) * count)
        for rate, count in ((attack.true_positive_rate, attack.members),
                            (attack.false_positive_rate, attack.others))
    )  # fmt: skip
    return members, others


def _named(notes: Notes, attack: ThresholdAttack) -> OperatingPoint | None:
    """Note how many members are named with few false accusations, and how few those are shown."""
    if attack.others * LIMIT < 1:
        notes.not_done.append(
            f"Members named while at most {LIMIT:.0%} of outsiders are accused: that takes "
            f"{round(1 / LIMIT)} non-members, there are {attack.others}."
        )
        return None
    point = attack.operating_point(LIMIT)
    found, accused = point.true_positive_rate, point.false_positive_rate
    notes.measures += [
        Measure(
            "named", f"Members named by a threshold that accuses at most {LIMIT:.0%} of these "
            "outsiders", found.value, found.low, found.high, "share", attack.members,
            better="lower",
        ),
        Measure(
            "accused", "Outsiders accused by that threshold: seen here, and shown of all others",
            accused.value, accused.low, accused.high, "share", attack.others,
        ),
    ]  # fmt: skip
    return point


def _blind(
    bench: Bench, allowance: Allowance, members: Examples, others: Examples
) -> ThresholdAttack:
    """Tell members from others by the inputs alone: what a difference of the samples gives.

    A logistic regression on the principal components, scored out of fold. Das, Zhang and Tramèr,
    *Blind baselines beat membership inference attacks for foundation models*, arXiv:2406.16201.
    """
    loaded = "sklearn.linear_model" in sys.modules
    allowance.require(0.0 if loaded else IMPORT_SECONDS, "loading scikit-learn")
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    seed = bench.settings.seed
    kept = [part.x[:MOST_BLIND].reshape(min(len(part), MOST_BLIND), -1)
            for part in (members, others)]  # fmt: skip
    step = -(-kept[0].shape[1] // MOST_NUMBERS)  # every so many of a large picture's numbers
    rows = np.concatenate([part[:, ::step] for part in kept])
    inside = np.arange(len(rows)) < len(kept[0])
    parts = min(20, rows.shape[1], len(rows) // 2)
    said, longest = np.zeros(len(rows)), 0.0
    for train, test in StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(rows, inside):
        allowance.require(longest, "one more fold")
        before = allowance.spent
        reader = make_pipeline(
            PCA(parts, random_state=seed), StandardScaler(), LogisticRegression(max_iter=500)
        ).fit(rows[train], inside[train])
        said[test] = reader.decision_function(rows[test])
        longest = max(longest, allowance.spent - before)
    return threshold_attack(said[inside], said[~inside])


def _chart(attack: ThresholdAttack) -> Chart:
    at = np.linspace(0, 1, _CURVE_POINTS)
    found = np.interp(at, attack.false_positive_rate, attack.true_positive_rate)
    return Chart(
        "Members found against outsiders accused", "outsiders accused", "members found",
        (Series("by confidence", tuple(map(float, at)), tuple(map(float, found))),
         Series("guessing", (0.0, 1.0), (0.0, 1.0))),
    )  # fmt: skip


def _finding(
    notes: Notes,
    attack: ThresholdAttack,
    point: OperatingPoint | None,
    apart: ThresholdAttack | None,
) -> None:
    low, high = attack.auc_bounds()
    said = (
        f"area under the accuser's curve {attack.auc:.3f} ({low:.3f} to {high:.3f}; guessing: 0.5)"
    )
    if apart is not None and apart.auc_bounds()[0] > 0.5:
        notes.findings.append(Rated(
            "Members and non-members differ without the model", "medium",
            f"from the inputs alone the area is {apart.auc:.3f}; by the model's confidence, {said}",
            "Draw both from one source at random; until then the leak is not measured.", RULE,
        ))  # fmt: skip
    if point is not None:
        found, accused = point.true_positive_rate, point.false_positive_rate
        said += (
            f"; {found.value:.1%} of members are named while {accused.value:.1%} of the outsiders "
            f"here are accused, which shows at most {accused.high:.1%} of all outsiders"
        )
        members, others = _tied(attack)
        if members:
            said += (
                f"; the next score is one that members share with outsiders ({members} with "
                f"{others}), so none of these is counted as named"
            )
    severity: Severity = "low"
    if low > 0.5:
        surely = point is not None and point.true_positive_rate.low >= 0.05
        severity = "high" if surely else "medium"
    notes.findings.append(Rated(
        "The answers may tell who was in the training data", severity, said,
        "Train with differential privacy or stop earlier, and give labels instead of scores."
        if low > 0.5 else "Plan for stronger attacks: shadow models name more than this one.",
        RULE,
    ))  # fmt: skip
