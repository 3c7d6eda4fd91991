"""Poisson sampling of clients, and rounds that are private client by client, in both engines."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_federated as tff

from helpers import models
from helpers.errors import PrivacyError, TaskError
from helpers.federated import (
    Adversary,
    FederatedTask,
    LocalTraining,
    RobustAggregator,
    RoundRecord,
    ServerOptimizer,
    local_updates,
    run,
)
from helpers.federated.byzantine import AttackView
from helpers.federated.history import UpcomingRound
from helpers.federated.private import private_update
from helpers.federated.receiving import Receiver
from helpers.federated.sampling import poisson_clients
from helpers.federated.tff_engine import _dataset, _tff_model
from helpers.federated.vectorised import LocalTrainer, VectorisedEngine
from helpers.privacy import accounting
from helpers.privacy.dp_fedavg import AdaptiveClip, DPFedAvg, split_noise
from helpers.privacy.ledger import PrivacyLedger
from helpers.privacy.rounds import RoundBudget

MakeTask = Callable[..., FederatedTask]
RATE = 0.4
# Of the first three rounds, nobody joins the second.
EMPTY_ROUND_SEED = next(
    seed
    for seed in range(1000)
    if [len(poisson_clients(seed, number, 6, RATE)) > 0 for number in (1, 2, 3)]
    == [True, False, True]
)


def linear() -> Any:
    """650 parameters, which compile in no time."""
    return models.mlp((8, 8, 1), 10, hidden=())


def private(make_task: MakeTask, noise: float = 0.5, **settings: Any) -> FederatedTask:
    """A small private task; noise, clip norm and sampling can be changed."""
    clip = settings.pop("clip", AdaptiveClip(initial=0.3))
    noise_seed = settings.pop("noise_seed", 7)
    rate = settings.pop("sample_rate", RATE)
    expected = 6.0 if rate is None else 6 * rate
    defaults = {
        "sample_rate": rate,
        "weighting": "uniform",
        "private_aggregator": DPFedAvg(noise, expected, clip, seed=noise_seed),
        "model_fn": linear,
    }
    return make_task(**{**defaults, **settings})


def flat(arrays: Any) -> np.ndarray:
    return np.concatenate([np.asarray(array).ravel() for array in arrays])


def trail(
    task: FederatedTask, rounds: int, engine: Any = "vectorised"
) -> tuple[np.ndarray, list[RoundRecord]]:
    """Flat weights before the first and after each round, and the records."""
    seen = [flat(task.initial_weights)]
    keep = [lambda _, weights: seen.append(flat(weights))]
    history = run(
        task, rounds, engine=engine, callbacks=keep, evaluate_every=rounds, progress=False
    )
    return np.array(seen), history.records


@pytest.mark.parametrize(
    "settings",
    [
        {
            "sample_rate": RATE,
            "seed": EMPTY_ROUND_SEED,
            "server": ServerOptimizer.fedadam(),
            "model_fn": linear,
        },
        {"private": True, "seed": EMPTY_ROUND_SEED},
        {
            "private": True,
            "sample_rate": None,
            "clip": AdaptiveClip.fixed(0.2),
            "local": LocalTraining(epochs=2, proximal_mu=0.5),
            "server": ServerOptimizer.fedavgm(0.5, 0.9),
        },
    ],
    ids=["not private, an empty round", "private, an empty round", "private, everyone"],
)
def test_engines_agree_on_weights_and_records(make_task: MakeTask, settings: dict) -> None:
    settings = dict(settings)
    make = private if settings.pop("private", False) else (lambda make, **rest: make(**rest))
    task = make(make_task, **settings)
    (ours, first), (theirs, second) = (trail(task, 4, engine) for engine in ("vectorised", "tff"))
    assert np.abs(ours[1] - theirs[1]).max() < 1e-6
    assert np.abs(ours - theirs).max() < 1e-5
    # A round that nobody joined changes nothing, not even by the server's momentum, unless it is
    # private; in any other the model moves by enough for agreement to say something.
    idle = np.array([not r.clients and r.noise_multiplier is None for r in first])
    for weights in (ours, theirs):
        moved = np.abs(np.diff(weights, axis=0)).max(axis=1)
        assert (moved[idle] == 0).all()
        assert (moved[~idle] > 1e-3).all()
    for a, b in zip(first, second, strict=True):
        assert (a.clients, a.bytes_up, a.num_examples) == (b.clients, b.bytes_up, b.num_examples)
        assert (a.noise_multiplier, a.sample_rate) == (b.noise_multiplier, b.sample_rate)
        assert a.train_loss == pytest.approx(b.train_loss, abs=1e-5, nan_ok=True)
        if a.l2_norm_clip is not None:
            assert a.l2_norm_clip == pytest.approx(b.l2_norm_clip, rel=1e-6)


def test_the_records_tell_how_many_joined_and_what_they_sent(make_task: MakeTask) -> None:
    task = make_task(model_fn=linear, sample_rate=RATE, seed=EMPTY_ROUND_SEED)
    history = run(task, 3, progress=False)
    size = sum(w.size for w in history.weights)
    for record in history.records:
        assert record.clients == tuple(poisson_clients(task.seed, record.round, 6, RATE))
        assert record.bytes_up == record.bytes_down == 4 * size * len(record.clients)
        assert record.num_examples == sum(len(task.clients[c]) for c in record.clients)
        assert record.noise_multiplier is record.l2_norm_clip is record.sample_rate is None
    frame = history.to_frame()
    assert frame["num_clients"].tolist() == [len(r.clients) for r in history.records]
    assert frame["train_loss"].isna().tolist() == [False, True, False]
    assert "l2_norm_clip" not in frame


def test_a_private_round_is_clip_add_up_add_noise_divide(make_task: MakeTask) -> None:
    clip, noise = 0.2, 0.8
    task = private(make_task, noise, clip=AdaptiveClip.fixed(clip), seed=EMPTY_ROUND_SEED)
    weights, records = trail(task, 2)
    sent = np.stack(
        [flat(u) for u in local_updates(task, task.initial_weights, 1, records[0].clients)]
    )
    lengths = np.linalg.norm(sent, axis=1, keepdims=True)
    assert lengths.max() > clip
    total = (sent * np.minimum(1, clip / lengths)).sum(axis=0)
    first, second = np.random.default_rng(7).normal(scale=noise * clip, size=(2, sent.shape[1]))
    np.testing.assert_allclose(weights[1] - weights[0], (total + first) / (6 * RATE), atol=1e-6)
    # Nobody joined the second, which is noise alone.
    assert records[1].clients == ()
    np.testing.assert_allclose(weights[2] - weights[1], second / (6 * RATE), atol=1e-6)
    for record in records:
        released = record.noise_multiplier, record.l2_norm_clip, record.sample_rate
        assert released == (noise, clip, RATE)


def test_without_noise_the_rounds_are_those_of_tffs_own_private_averaging(
    make_task: MakeTask,
) -> None:
    clip = AdaptiveClip(initial=0.2, target_quantile=0.6, learning_rate=0.5)
    task = private(make_task, noise=0.0, clip=clip, sample_rate=None)
    factory = tff.aggregators.DifferentiallyPrivateFactory.gaussian_adaptive(
        0.0, 6, initial_l2_norm_clip=0.2, target_unclipped_quantile=0.6, learning_rate=0.5
    )
    process = tff.learning.algorithms.build_unweighted_fed_avg(
        lambda: _tff_model(task),
        tff.learning.optimizers.build_sgdm(task.local.learning_rate),
        tff.learning.optimizers.build_sgdm(1.0),
        model_aggregator=factory,
    )
    start = tff.learning.models.ModelWeights(list(task.initial_weights), [])
    state = process.set_model_weights(process.initialize(), start)
    ours, records = trail(task, 4)
    clips = [record.l2_norm_clip for record in records]
    for number in range(1, 5):
        clip_norm = factory_clip(state)
        assert clips[number - 1] == pytest.approx(clip_norm, rel=1e-5)
        data = [_dataset(task, number, client) for client in range(6)]
        state = process.next(state, data).state
        theirs = flat(process.get_model_weights(state).trainable)
        np.testing.assert_allclose(ours[number], theirs, atol=1e-5)
    assert len(set(clips)) == 4, "the clip norm did not move"


def factory_clip(state: Any) -> float:
    return float(state.aggregator.query_state.numerator_state.sum_state.l2_norm_clip)


def test_the_count_takes_the_same_share_of_the_noise_as_in_tff() -> None:
    from tensorflow_federated.python.aggregators.differential_privacy import (
        adaptive_clip_noise_params,
    )

    for noise, expected in [(0.7, 100.0), (1.1, 60.0), (3.0, 1000.0)]:
        theirs, deviation = adaptive_clip_noise_params(noise, expected)
        assert deviation == expected / 20
        assert split_noise(noise, deviation) == pytest.approx(theirs)


@pytest.mark.parametrize("engine", ["vectorised", "tff"])
def test_a_resumed_private_run_continues_its_noise_and_clip_norm(
    make_task: MakeTask, tmp_path: Path, engine: Any
) -> None:
    task = private(make_task, seed=EMPTY_ROUND_SEED, server=ServerOptimizer.fedadam())
    whole, records = trail(task, 3, engine)
    run(task, 2, engine=engine, checkpoint_dir=tmp_path, progress=False)
    resumed = run(task, 3, engine=engine, checkpoint_dir=tmp_path, progress=False)
    np.testing.assert_array_equal(flat(resumed.weights), whole[-1])
    assert [r.l2_norm_clip for r in resumed.records] == [r.l2_norm_clip for r in records]


def test_without_a_seed_runs_differ_but_a_repeated_round_repeats_its_noise(
    make_task: MakeTask, tmp_path: Path
) -> None:
    task = private(make_task, noise_seed=None)
    first, second = tmp_path / "first", tmp_path / "second"
    started = run(task, 1, checkpoint_dir=first, progress=False)
    shutil.copytree(first, second)
    one, two = (run(task, 2, checkpoint_dir=folder, progress=False) for folder in (first, second))
    np.testing.assert_array_equal(flat(one.weights), flat(two.weights))
    assert np.abs(flat(started.weights) - trail(task, 1)[0][-1]).max() > 1e-3
    assert task.private_aggregator is not None
    assert task.private_aggregator.l2_norm_clip == 0.3, "the run changed the task"


def test_checkpoints_of_another_noise_are_refused(make_task: MakeTask, tmp_path: Path) -> None:
    run(private(make_task), 1, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(TaskError, match="private_aggregator was"):
        run(private(make_task, noise=0.6), 2, checkpoint_dir=tmp_path, progress=False)


def test_a_private_run_does_not_start_again_when_its_checkpoints_are_lost(
    make_task: MakeTask, tmp_path: Path
) -> None:
    run(private(make_task), 1, checkpoint_dir=tmp_path, progress=False)
    for path in tmp_path.glob("*.npz"):
        path.write_bytes(b"")
    with (
        pytest.warns(UserWarning, match="round-000001"),
        pytest.raises(TaskError, match="released already"),
    ):
        run(private(make_task), 2, checkpoint_dir=tmp_path, progress=False)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weighting": "examples"}, 'use weighting="uniform"'),
        ({"sample_rate": None, "clients_per_round": 3}, r"fixed number .* sample_rate=0\.5"),
        ({"aggregator": RobustAggregator("krum", num_byzantine=1)}, "before the noise"),
        ({"sample_rate": 0.25}, r"expected_clients=2\.4.*set expected_clients=1\.5"),
        ({"private_aggregator": lambda rows: rows.mean(axis=0)}, "cannot make a round private"),
        ({"sample_rate": 0.0}, "sample_rate=0"),
        ({"sample_rate": 1.5}, r"sample_rate=1\.5"),
        ({"clients_per_round": 2}, "give one"),
    ],
)
def test_what_would_break_the_promise_is_refused_with_the_reason(
    make_task: MakeTask, change: dict, named: str
) -> None:
    settings = {
        "sample_rate": RATE,
        "weighting": "uniform",
        "private_aggregator": DPFedAvg(1.0, 6 * RATE),
    }
    with pytest.raises(TaskError, match=named):
        make_task(**{**settings, **change})


def test_rounds_of_varying_size_have_no_fixed_number_of_clients(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="participants"):
        _ = make_task(sample_rate=RATE).num_sampled


def test_an_engine_without_the_runs_aggregator_is_refused(make_task: MakeTask) -> None:
    with pytest.raises(TaskError, match="without the run's private aggregator"):
        VectorisedEngine(private(make_task))


@pytest.mark.parametrize(("separate", "weighting"), [(False, "examples"), (True, "uniform")])
def test_more_clients_than_usual_are_trained_in_several_calls(
    make_task: MakeTask, separate: bool, weighting: str
) -> None:
    task = make_task(model_fn=linear, weighting=weighting)
    clients = [5, 0, 3, 1, 4]
    arguments = task.initial_weights, 2, clients
    whole, loss = LocalTrainer(task, 5, separate=separate)(*arguments)
    parts, other = LocalTrainer(task, 2, separate=separate)(*arguments)
    assert other == pytest.approx(loss, rel=1e-5)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_a_client_that_sends_nan_counts_as_absent(make_task: MakeTask) -> None:
    rows = np.random.default_rng(0).normal(size=(4, 30)).astype(np.float32)
    spoilt = rows.copy()
    spoilt[2, 5], spoilt[0, 0] = np.nan, np.inf
    clean, kept = (private_update(DPFedAvg(1.0, 4, seed=1), r) for r in (rows[[1, 3]], spoilt))
    np.testing.assert_array_equal(clean, kept)


def test_an_adversary_may_try_out_updates_but_never_sees_the_noise(make_task: MakeTask) -> None:
    answers: list[np.ndarray] = []

    def asks(view: AttackView) -> np.ndarray:
        answers.extend(view.response(view.own) for _ in range(3))
        return view.own

    task = private(make_task, sample_rate=None, adversary=Adversary([1], asks))
    rows = np.random.default_rng(1).normal(size=(6, 650)).astype(np.float32)
    used = DPFedAvg(0.5, 6, AdaptiveClip(initial=0.3), seed=7)
    released = Receiver(task, used)(1, np.arange(6), rows, None)
    undisturbed = DPFedAvg(0.5, 6, AdaptiveClip(initial=0.3), seed=7)(rows)
    np.testing.assert_array_equal(released, undisturbed)
    exact = DPFedAvg(0.0, 6, AdaptiveClip(initial=0.3))(rows)
    for answer in answers:
        np.testing.assert_allclose(answer, exact, atol=1e-6)


def test_a_history_says_how_each_round_was_released(make_task: MakeTask) -> None:
    task = private(make_task, noise=1.0, seed=EMPTY_ROUND_SEED)
    history = run(task, 3, progress=False)
    # An empty round costs as much as any other.
    assert [record.noise_multiplier for record in history.records] == [1.0] * 3
    assert [record.sample_rate for record in history.records] == [RATE] * 3
    assert history.to_frame()["l2_norm_clip"].tolist() == [
        record.l2_norm_clip for record in history.records
    ]


def test_a_budget_ends_the_run_before_the_round_that_would_exceed_it(
    make_task: MakeTask,
) -> None:
    task = private(make_task, noise=1.0)
    enough = accounting.epsilon(1.0, RATE, 3, 1e-3) + 1e-6
    ledger = PrivacyLedger(enough, 1e-3)
    history = run(task, 9, before_round=[RoundBudget(ledger)], progress=False)
    assert len(history.records) == 3
    assert ledger.spent == pytest.approx(accounting.epsilon(1.0, RATE, 3, 1e-3))
    with pytest.raises(PrivacyError, match="federated rounds would bring"):
        RoundBudget(PrivacyLedger(0.5, 1e-3))(UpcomingRound(1, "run", 1.0, RATE))


def test_a_killed_and_resumed_run_pays_for_each_round_once(
    make_task: MakeTask, tmp_path: Path
) -> None:
    task, ledger_file = private(make_task, noise=1.0, noise_seed=None), tmp_path / "ledger.json"
    PrivacyLedger(20.0, 1e-3).save(ledger_file)

    def attempt(rounds: int, kill_after: int) -> list[int]:
        budget = RoundBudget(PrivacyLedger.load(ledger_file), path=ledger_file)
        trained: list[int] = []

        def die(record: Any, _: Any) -> None:
            trained.append(record.round)
            if record.round == kill_after:
                raise KeyboardInterrupt

        run(
            task,
            rounds,
            before_round=[budget],
            callbacks=[die],
            checkpoint_dir=tmp_path / "run",
            progress=False,
        )
        return trained

    with pytest.raises(KeyboardInterrupt):
        attempt(4, kill_after=2)
    assert attempt(4, kill_after=99) == [3, 4]
    (charge,) = PrivacyLedger.load(ledger_file).charges
    assert charge.steps == 4


def test_another_run_pays_for_itself_and_a_run_has_one_mechanism() -> None:
    budget = RoundBudget(ledger := PrivacyLedger(20.0, 1e-3))
    for number, run_id in [(1, "a"), (1, "b"), (2, "a"), (2, "a"), (1, "a")]:
        assert budget(UpcomingRound(number, run_id, 1.0, RATE))
    assert [(one.run, one.steps) for one in ledger.charges] == [("a", 2), ("b", 1)]
    with pytest.raises(PrivacyError, match="one run has one mechanism"):
        budget(UpcomingRound(3, "a", 0.9, RATE))
    with pytest.raises(PrivacyError, match="not made private"):
        budget(UpcomingRound(1, "c"))
