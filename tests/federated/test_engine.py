"""The loop around the engines."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pytest

from helpers.errors import TaskError
from helpers.federated import FederatedTask, LocalTraining, bytes_per_round, local_updates, run

MakeTask = Callable[..., FederatedTask]


def test_training_learns_the_digits(make_task: MakeTask) -> None:
    history = run(make_task(local=LocalTraining(epochs=5)), 12, progress=False)
    assert history.records[-1].test_accuracy is not None
    assert history.records[-1].test_accuracy > 0.75  # ten classes: guessing gives 0.1
    assert history.records[-1].train_loss < history.records[0].train_loss / 2


def test_a_record_tells_who_took_part_and_what_it_cost(make_task: MakeTask) -> None:
    task = make_task(clients_per_round=2)
    history = run(task, 3, progress=False)
    for number, record in enumerate(history.records, start=1):
        assert record.round == number
        assert len(record.clients) == 2
        assert record.num_examples == sum(len(task.clients[c]) for c in record.clients)
        traffic = bytes_per_round([w.shape for w in history.weights], 2)
        assert (record.bytes_up, record.bytes_down) == (traffic.up, traffic.down)
        assert record.client_accuracy is not None
        assert record.client_accuracy.shape == (6,)
        assert record.seconds > 0
    assert len({record.clients for record in history.records}) > 1


def test_evaluation_happens_every_so_many_rounds_and_at_the_end(task: FederatedTask) -> None:
    records = run(task, 5, evaluate_every=2, progress=False).records
    evaluated = [record.round for record in records if record.test_accuracy is not None]
    assert evaluated == [2, 4, 5]


def test_leaving_the_clients_out_of_the_evaluation_changes_nothing_else(
    task: FederatedTask,
) -> None:
    whole = run(task, 2, progress=False)
    short = run(task, 2, evaluate_clients=False, progress=False)
    assert [record.client_accuracy for record in short.records] == [None, None]
    for full, part in zip(whole.records, short.records, strict=True):
        left_out = {"client_accuracy": None, "seconds": part.seconds}
        assert full.to_json() | left_out == part.to_json()
    assert all(np.array_equal(a, b) for a, b in zip(whole.weights, short.weights, strict=True))


def test_a_callback_sees_each_round_and_can_end_the_run(task: FederatedTask) -> None:
    seen: list[list[np.ndarray]] = []

    def stop_at_two(record: object, weights: list[np.ndarray]) -> bool:
        seen.append(weights)
        return len(seen) == 2

    others: list[int] = []
    history = run(
        task,
        9,
        callbacks=[stop_at_two, lambda record, _: others.append(record.round)],
        progress=False,
    )
    assert len(history.records) == len(seen) == 2
    assert others == [1, 2]
    assert all(np.array_equal(a, b) for a, b in zip(seen[-1], history.weights, strict=True))
    assert not np.array_equal(seen[0][0], seen[1][0])


def test_the_progress_bar_shows_the_accuracy_and_can_be_switched_off(
    task: FederatedTask, capfd: pytest.CaptureFixture[str]
) -> None:
    history = run(task, 2, progress=True)
    shown = capfd.readouterr().err
    assert f"accuracy={history.records[-1].test_accuracy:.3f}" in shown
    run(task, 1, progress=False)
    assert "rounds" not in capfd.readouterr().err


def test_divergence_ends_the_run_with_what_to_lower(make_task: MakeTask) -> None:
    task = make_task(local=LocalTraining(learning_rate=1e30, epochs=3))
    with pytest.raises(TaskError, match=r"diverged in round 1 .*learning_rate=1e\+30"):
        run(task, 3, progress=False)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"rounds": 0}, "rounds=0"),
        ({"rounds": 2.5}, "rounds=2.5"),
        ({"rounds": 1, "evaluate_every": 0}, "evaluate_every=0"),
        ({"rounds": 1, "engine": "torch"}, "engine='torch'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    task: FederatedTask, arguments: dict, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        run(task, **arguments)


def test_something_else_than_a_task_is_refused() -> None:
    with pytest.raises(TaskError, match="FederatedTask"):
        run("mnist", 1)  # type: ignore[arg-type]


def test_updates_are_refused_for_clients_or_weights_that_do_not_exist(
    task: FederatedTask,
) -> None:
    with pytest.raises(TaskError, match="client 6 is not one of 0 to 5"):
        local_updates(task, task.initial_weights, 1, [6])
    with pytest.raises(TaskError, match="weights have shapes"):
        local_updates(task, task.initial_weights[:2], 1, [0])


def test_a_history_does_not_change_when_the_task_runs_again(task: FederatedTask) -> None:
    history = run(task, 1, progress=False)
    before = [w.copy() for w in history.weights]
    run(dataclasses.replace(task, seed=5), 2, progress=False)
    assert all(np.array_equal(a, b) for a, b in zip(before, history.weights, strict=True))
