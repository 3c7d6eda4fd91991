"""The robust rules against their definitions written out with loops, and against their laws."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from helpers.errors import TaskError
from helpers.federated import robust


def received(updates: np.ndarray) -> robust.ReceivedRound:
    n, d = updates.shape
    return robust.ReceivedRound(
        updates, np.ones(n), np.arange(n), 1, np.zeros(d), None, lambda: np.random.default_rng(0)
    )


Rule = Callable[[np.ndarray, int], np.ndarray]

# Rules of the updates and f alone that commute with shifting and scaling all updates.
EQUIVARIANT: dict[str, Rule] = {
    "krum": robust.krum,
    "multi_krum": robust.multi_krum,
    "bulyan": robust.bulyan,
    "coordinate_median": robust.coordinate_median,
    "trimmed_mean": robust.trimmed_mean,
    "meamed": robust.meamed,
    "geometric_median": lambda x, f: robust.geometric_median(x, f, smoothing=1e-9),
    "mixed trimmed_mean": lambda x, f: robust.RobustAggregator(
        "trimmed_mean", f, mixing="nearest-neighbour"
    )(received(x)),
}
ROBUST = {
    **EQUIVARIANT,
    "norm_clipping": robust.norm_clipping,
    "centred_clipping": robust.centred_clipping,
}


def drawn(seed: int, n: int, d: int, num_outliers: int = 0) -> np.ndarray:
    """Normal updates around a common mean; the first ones are thrown far off."""
    rng = np.random.default_rng(seed)
    updates = rng.normal(size=(n, d)) + rng.normal(size=d)
    updates[:num_outliers] += rng.normal(size=(num_outliers, d)) * 20
    return updates


cases = st.tuples(
    st.integers(0, 10**6), st.integers(1, 3), st.integers(0, 6), st.integers(1, 9)
).map(lambda t: (drawn(t[0], 4 * t[1] + 3 + t[2], t[3], t[1]), t[1]))


# --- definitions


def nearest(values: np.ndarray, middle: float) -> list[float]:
    return sorted(values, key=lambda value: abs(value - middle))


def naive_krum_order(x: np.ndarray, neighbours: int) -> list[int]:
    scores = []
    for i in range(len(x)):
        gaps = sorted(sum((a - b) ** 2) for j, b in enumerate(x) if j != i for a in [x[i]])
        scores.append(sum(gaps[:neighbours]))
    return sorted(range(len(x)), key=scores.__getitem__)


@given(cases)
def test_krum_is_the_update_nearest_to_its_neighbours(case: tuple[np.ndarray, int]) -> None:
    x, f = case
    for neighbours in (None, len(x) - f - 1):
        order = naive_krum_order(x, neighbours or len(x) - f - 2)
        np.testing.assert_array_equal(robust.krum(x, f, neighbours), x[order[0]])
        best = [x[i] for i in order[:3]]
        np.testing.assert_allclose(
            robust.multi_krum(x, f, neighbours, num_selected=3), np.mean(best, axis=0)
        )


@given(cases)
def test_bulyan_selects_by_krum_and_then_averages_near_the_median(
    case: tuple[np.ndarray, int],
) -> None:
    x, f = case
    left = list(range(len(x)))
    chosen: list[int] = []
    while len(chosen) < len(x) - 2 * f:
        neighbours = max(len(left) - f - 2, 1)
        chosen.append(left.pop(naive_krum_order(x[left], neighbours)[0]))
    expected = []
    for column in x[chosen].T:
        middle = np.median(column)
        expected.append(np.mean(nearest(column, middle)[: len(x) - 4 * f]))
    np.testing.assert_allclose(robust.bulyan(x, f), expected)


@given(cases)
def test_coordinate_rules_are_their_definitions(case: tuple[np.ndarray, int]) -> None:
    x, f = case
    for at, column in enumerate(x.T):
        ordered = sorted(column)
        middle = (ordered[(len(x) - 1) // 2] + ordered[len(x) // 2]) / 2
        near = nearest(column, middle)[: len(x) - f]
        assert robust.coordinate_median(x)[at] == pytest.approx(middle)
        assert robust.trimmed_mean(x, f)[at] == pytest.approx(np.mean(ordered[f:-f]))
        assert robust.meamed(x, f)[at] == pytest.approx(np.mean(near))


@settings(max_examples=20, deadline=None)
@given(cases)
def test_no_optimiser_finds_a_better_geometric_median(case: tuple[np.ndarray, int]) -> None:
    x, f = case

    def total(point: np.ndarray) -> float:
        return float(np.linalg.norm(x - point, axis=1).sum())

    ours = robust.geometric_median(x, f)
    found = minimize(total, x.mean(axis=0), method="Nelder-Mead", options={"maxiter": 2000})
    assert total(ours) <= found.fun * (1 + 1e-6)


@given(cases)
def test_clipping_rules_are_their_definitions(case: tuple[np.ndarray, int]) -> None:
    x, f = case
    radius, centre = 1.5, np.full(x.shape[1], 0.3)
    clipped = [row * min(1, radius / np.linalg.norm(row)) for row in x]
    np.testing.assert_allclose(
        robust.norm_clipping(x, f, radius), np.mean(clipped, axis=0), atol=1e-12
    )
    moved = centre
    for _ in range(2):
        steps = [(row - moved) * min(1, radius / np.linalg.norm(row - moved)) for row in x]
        moved = moved + np.mean(steps, axis=0)
    np.testing.assert_allclose(robust.centred_clipping(x, f, radius, centre, 2), moved)


def test_fltrust_weighs_by_the_cosine_and_rescales_to_the_servers_norm() -> None:
    server = np.array([2.0, 0.0])
    updates = np.array([[10.0, 0.0], [3.0, 3.0], [-5.0, 0.0], [0.0, 0.0], [np.nan, 1.0]])
    root = np.sqrt(0.5)
    expected = (1 * np.array([2.0, 0.0]) + root * 2 * np.array([root, root])) / (1 + root)
    np.testing.assert_allclose(robust.fltrust(updates, server), expected)
    np.testing.assert_array_equal(robust.fltrust(-updates[:2], server), [0, 0])


# --- laws


@pytest.mark.parametrize("rule", ROBUST.values(), ids=ROBUST.keys())
@settings(max_examples=20)
@given(case=cases, seed=st.integers(0, 99))
def test_the_order_of_the_clients_does_not_matter(
    rule: Rule, case: tuple[np.ndarray, int], seed: int
) -> None:
    x, f = case
    # Bulyan with f < 3 ends up scoring by one neighbour, where two nearest neighbours always tie.
    assume(rule is not robust.bulyan or f >= 3)
    shuffled = np.random.default_rng(seed).permutation(x)
    np.testing.assert_allclose(rule(shuffled, f), rule(x, f), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("rule", EQUIVARIANT.values(), ids=EQUIVARIANT.keys())
@settings(max_examples=20)
@given(case=cases, shift=st.floats(-50, 50), scale=st.floats(0.1, 10), flip=st.booleans())
def test_shifting_and_scaling_all_updates_shifts_and_scales_the_result(
    rule: Rule, case: tuple[np.ndarray, int], shift: float, scale: float, flip: bool
) -> None:
    x, f = case
    factor = -scale if flip else scale
    moved = rule(factor * x + shift, f)
    np.testing.assert_allclose(moved, factor * rule(x, f) + shift, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("name", ["multi_krum", "bulyan", "trimmed_mean", "meamed"])
@given(seed=st.integers(0, 999), n=st.integers(1, 12))
def test_without_byzantine_clients_the_result_is_the_mean(name: str, seed: int, n: int) -> None:
    x = drawn(seed, n, 5)
    np.testing.assert_allclose(robust.RULES[name](x, 0), x.mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("name", ["bulyan", "coordinate_median", "trimmed_mean", "meamed"])
@given(case=cases, far=st.floats(-1e6, 1e6))
def test_each_coordinate_stays_near_the_honest_ones(
    name: str, case: tuple[np.ndarray, int], far: float
) -> None:
    x, f = case
    x[:f] = far
    low, high = x[f:].min(axis=0), x[f:].max(axis=0)
    # These may keep a Byzantine value, but none further from the median than an honest one.
    room = (high - low) * (name in ("meamed", "bulyan")) + 1e-9
    result = robust.RULES[name](x, f)
    assert (result >= low - room).all()
    assert (result <= high + room).all()


@pytest.mark.parametrize("rule", ROBUST.values(), ids=ROBUST.keys())
def test_no_number_however_large_carries_the_result_away(rule: Rule) -> None:
    x = drawn(3, 19, 20)
    honest = np.abs(x[4:]).max()
    for far in (1e3, 1e9, 1e30):
        x[:4] = -far
        assert np.abs(rule(x, 4)).max() <= 10 * honest


KAPPA: dict[str, tuple[Rule, Callable[[int, int], float]]] = {
    "trimmed_mean": (robust.trimmed_mean, lambda n, f: 6 * f / (n - 2 * f) * (1 + f / (n - 2 * f))),
    "krum": (
        lambda x, f: robust.krum(x, f, len(x) - f - 1),
        lambda n, f: 6 * (n - f) / (n - 2 * f),
    ),
    "geometric_median": (robust.geometric_median, lambda n, f: 4 * ((n - f) / (n - 2 * f)) ** 2),
    "coordinate_median": (robust.coordinate_median, lambda n, f: 4 * ((n - f) / (n - 2 * f)) ** 2),
}


@pytest.mark.parametrize("mixed", [False, True], ids=["alone", "after mixing"])
@pytest.mark.parametrize("name", KAPPA)
@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(5, 9),
    far=st.sampled_from([0.0, 1.0, 3.0, 100.0]),
)
def test_the_error_is_within_the_published_robustness_coefficient(
    name: str, mixed: bool, seed: int, n: int, far: float
) -> None:
    """Allouah et al. 2023, Definition 2 over every subset, Table 1, and Lemma 1 for mixing."""
    rule, coefficient = KAPPA[name]
    f = (n - 1) // 3
    x = drawn(seed, n, 3)
    x[:f] += far
    kappa = coefficient(n, f)
    if mixed:
        kappa = 8 * f / (n - f) * (kappa + 1)
    result = rule(robust.nearest_neighbour_mixing(x, f) if mixed else x, f)
    for subset in combinations(range(n), n - f):
        honest = x[list(subset)]
        spread = ((honest - honest.mean(axis=0)) ** 2).sum(axis=1).mean()
        error = ((result - honest.mean(axis=0)) ** 2).sum()
        assert error <= kappa * spread * (1 + 1e-9)


def test_the_mean_has_no_robustness_coefficient() -> None:
    x = drawn(0, 9, 3)
    x[0] = 1e6
    error = ((robust.mean(x) - x[1:].mean(axis=0)) ** 2).sum()
    spread = ((x[1:] - x[1:].mean(axis=0)) ** 2).sum(axis=1).mean()
    assert error > 1e6 * spread


# --- bad updates and impossible numbers


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
@pytest.mark.parametrize("rule", ROBUST.values(), ids=ROBUST.keys())
def test_one_update_that_is_not_finite_counts_as_byzantine_and_is_dropped(
    rule: Rule, bad: float
) -> None:
    x = drawn(1, 12, 4)
    clean = rule(x, 1)
    x = np.insert(x, 5, 0.0, axis=0)
    x[5, 2] = bad
    np.testing.assert_array_equal(rule(x, 2), clean)


@pytest.mark.parametrize("rule", ROBUST.values(), ids=ROBUST.keys())
def test_more_bad_updates_than_assumed_are_refused_by_number(rule: Rule) -> None:
    x = drawn(1, 12, 4)
    x[[3, 7], 0] = np.nan
    with pytest.raises(TaskError, match=r"Updates \[3, 7\] .* more than num_byzantine=1"):
        rule(x, 1)


@pytest.mark.parametrize("rule", ROBUST.values(), ids=ROBUST.keys())
def test_half_of_the_clients_cannot_be_tolerated(rule: Rule) -> None:
    with pytest.raises(TaskError, match=r"num_byzantine=5 of 10 .* at most 4"):
        rule(drawn(1, 10, 4), 5)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda x: robust.krum(x, 4), r"2 \* 4 \+ 3 = 11 .* there are 10"),
        (lambda x: robust.krum(x, 4, 10), "num_neighbours=10: each of 10"),
        (lambda x: robust.multi_krum(x, 3, num_selected=8), "num_selected=8 .* = 7"),
        (lambda x: robust.bulyan(x, 2), r"4 \* 2 \+ 3 = 11 .* num_byzantine=1"),
        (lambda x: robust.trimmed_mean(x, 1.5), "num_byzantine=1.5"),  # type: ignore[arg-type]
        (lambda x: robust.trimmed_mean(x, -1), "num_byzantine=-1"),
        (lambda x: robust.geometric_median(x, 1, smoothing=0), "smoothing=0"),
        (lambda x: robust.norm_clipping(x, 1, l2_norm_clip=-1), "l2_norm_clip=-1"),
        (lambda x: robust.centred_clipping(x, 1, centre=np.zeros(3)), r"centre of shape \(3,\)"),
        (lambda x: robust.fltrust(x, np.zeros(4)), "server_update is zero"),
        (lambda x: robust.mean(x[0]), r"shape \(4,\)"),
        (lambda x: robust.mean(x[:0]), r"shape \(0, 4\)"),
        (lambda x: robust.mean(x.astype(complex)), "complex"),
    ],
)
def test_what_a_rule_cannot_do_is_refused_with_the_limit(call: Callable, named: str) -> None:
    with pytest.raises(TaskError, match=named):
        call(drawn(0, 10, 4))


@pytest.mark.parametrize("name", sorted(set(robust.RULES) - {"fltrust"}))
def test_updates_come_back_in_their_own_precision_and_are_not_changed(name: str) -> None:
    x = drawn(2, 11, 6).astype(np.float32)
    before = x.copy()
    assert robust.RULES[name](x, 2).dtype == np.float32
    np.testing.assert_array_equal(x, before)


def test_rules_agree_on_models_larger_than_one_block() -> None:
    x = drawn(4, 9, 70_000).astype(np.float32)
    np.testing.assert_allclose(robust.trimmed_mean(x, 2)[-5:], robust.trimmed_mean(x[:, -5:], 2))
    order = naive_krum_order(x.astype(np.float64), 5)
    np.testing.assert_array_equal(robust.krum(x, 2), x[order[0]])


def test_colluders_far_from_the_origin_are_still_measured_exactly() -> None:
    """Their distance drowns in rounding when computed from norms and products."""
    rng = np.random.default_rng(0)
    far = 1e9 + rng.normal(size=(8, 50))
    order = naive_krum_order(far, 5)
    np.testing.assert_array_equal(robust.krum(far, 1), far[order[0]])
