"""Checkpoints survive kills and damage, and refuse to mix tasks."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from helpers.errors import TaskError
from helpers.federated import (
    ClientData,
    FederatedTask,
    History,
    LocalTraining,
    ServerOptimizer,
    run,
)

MakeTask = Callable[..., FederatedTask]
ROUNDS = 5

# The victim runs in a process of its own and reports each round, so that it can be killed.
VICTIM = """
    import sys, time
    from helpers.federated import run
    from tests.federated.test_checkpoint import killable_task

    def report(record, weights):
        print(record.round, flush=True)
        time.sleep(0.2)

    run(killable_task(), 200, callbacks=[report], checkpoint_dir=sys.argv[1], progress=False)
"""


def killable_task() -> FederatedTask:
    from helpers import models
    from tests.federated.conftest import digits_clients

    clients, test = digits_clients()
    return FederatedTask(
        lambda: models.mlp((8, 8, 1), 10, hidden=(16,)),
        clients,
        test,
        server=ServerOptimizer.fedadam(),
        clients_per_round=3,
    )


def same(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "server",
    [ServerOptimizer.fedavg(), ServerOptimizer.fedavgm(), ServerOptimizer.fedadam()],
    ids=lambda server: server.name,
)
def test_a_resumed_run_ends_with_the_same_bits(
    make_task: MakeTask, tmp_path: Path, server: ServerOptimizer
) -> None:
    task = make_task(server=server, clients_per_round=3)
    run(task, 2, checkpoint_dir=tmp_path, progress=False)
    seen: list[int] = []
    resumed = run(
        task,
        ROUNDS,
        checkpoint_dir=tmp_path,
        callbacks=[lambda record, _: seen.append(record.round)],
        progress=False,
    )
    whole = run(task, ROUNDS, progress=False)
    assert seen == [3, 4, 5]
    assert same(resumed.weights, whole.weights)
    assert [r.clients for r in resumed.records] == [r.clients for r in whole.records]
    assert [r.train_loss for r in resumed.records] == [r.train_loss for r in whole.records]


def test_a_run_killed_with_sigkill_resumes_to_the_same_bits(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    victim = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(VICTIM), str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    reported = 0
    for line in victim.stdout:
        reported = int(line)
        if reported == 3:
            victim.send_signal(signal.SIGKILL)
            break
    victim.stdout.close()
    assert victim.wait() == -signal.SIGKILL
    assert reported == 3
    seen: list[int] = []
    resumed = run(
        killable_task(),
        8,
        checkpoint_dir=tmp_path,
        callbacks=[lambda record, _: seen.append(record.round)],
        progress=False,
    )
    assert 4 <= seen[0] <= 8, "the killed run's work was lost"
    assert same(resumed.weights, run(killable_task(), 8, progress=False).weights)


def test_a_finished_run_is_read_back_without_training(task: FederatedTask, tmp_path: Path) -> None:
    first = run(task, 2, checkpoint_dir=tmp_path, progress=False)
    again = run(task, 2, checkpoint_dir=tmp_path, callbacks=[lambda *_: pytest.fail("trained")])
    assert same(first.weights, again.weights)
    assert [r.to_json() for r in first.records] == [r.to_json() for r in again.records]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"local": LocalTraining(learning_rate=0.2)}, "learning_rate was 0.1, is now 0.2"),
        ({"seed": 4}, "seed was 0, is now 4"),
        ({"server": ServerOptimizer.fedavgm()}, "server was .*fedavg.*fedavgm"),
        ({"weighting": "uniform"}, "weighting was 'examples', is now 'uniform'"),
        ({"clients_per_round": 2}, "clients_per_round was 6, is now 2"),
        ({"test": ClientData(np.zeros((1, 8, 8, 1)), np.zeros(1))}, "test was .*SHA-256"),
    ],
)
def test_checkpoints_of_another_task_are_refused_with_what_differs(
    task: FederatedTask, finished: Path, change: dict, named: str
) -> None:
    with pytest.raises(TaskError, match=named):
        run(dataclasses.replace(task, **change), 3, checkpoint_dir=finished, progress=False)


def test_checkpoints_of_another_engine_are_refused(task: FederatedTask, finished: Path) -> None:
    with pytest.raises(TaskError, match="engine was 'vectorised', is now 'tff'"):
        run(task, 3, engine="tff", checkpoint_dir=finished, progress=False)


def test_another_activation_with_the_same_weights_is_another_task(
    make_task: MakeTask, tmp_path: Path
) -> None:
    def network(activation: str) -> Callable:
        def model_fn() -> tf.keras.Model:
            hidden = tf.keras.layers.Dense(4, activation, kernel_initializer="ones")
            last = tf.keras.layers.Dense(10, kernel_initializer="ones")
            flat = tf.keras.layers.Flatten(input_shape=(8, 8, 1))
            return tf.keras.Sequential([flat, hidden, last])

        return model_fn

    run(make_task(model_fn=network("relu")), 1, checkpoint_dir=tmp_path, progress=False)
    with pytest.raises(TaskError, match=r"layers was .*relu.*tanh"):
        run(make_task(model_fn=network("tanh")), 2, checkpoint_dir=tmp_path, progress=False)


@pytest.fixture(scope="module")
def finished(task: FederatedTask, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the checkpoints of a run of three rounds."""
    folder = tmp_path_factory.mktemp("checkpoints")
    run(task, 3, checkpoint_dir=folder, progress=False)
    return folder


@pytest.fixture(scope="module")
def four_rounds(task: FederatedTask) -> History:
    """What an uninterrupted run of four rounds ends with."""
    return run(task, 4, progress=False)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def deleted(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("damage", [truncated, flipped, emptied, deleted])
@pytest.mark.parametrize("suffix", [".npz", ".json"])
def test_a_damaged_newest_checkpoint_falls_back_to_the_one_before(
    task: FederatedTask,
    finished: Path,
    four_rounds: History,
    tmp_path: Path,
    damage: Callable[[Path], None],
    suffix: str,
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    damage(folder / f"round-000003{suffix}")
    seen: list[int] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        history = run(
            task,
            4,
            checkpoint_dir=folder,
            callbacks=[lambda record, _: seen.append(record.round)],
            progress=False,
        )
    # Without its JSON file a checkpoint does not exist yet: a kill between the two files.
    never_finished = damage is deleted and suffix == ".json"
    assert any("round-000003" in str(w.message) for w in caught) != never_finished
    assert seen == [3, 4]
    assert same(history.weights, four_rounds.weights)


def test_when_every_checkpoint_is_damaged_the_run_starts_again_and_says_so(
    task: FederatedTask, finished: Path, four_rounds: History, tmp_path: Path
) -> None:
    folder = shutil.copytree(finished, tmp_path / "copy")
    for path in folder.glob("*.npz"):
        emptied(path)
    with pytest.warns(UserWarning, match="round-000002"):
        history = run(task, 4, checkpoint_dir=folder, progress=False)
    assert same(history.weights, four_rounds.weights)


def test_fewer_rounds_than_the_checkpoints_hold_are_refused(
    task: FederatedTask, finished: Path
) -> None:
    with pytest.raises(TaskError, match="already hold 3 rounds, more than rounds=1"):
        run(task, 1, checkpoint_dir=finished, progress=False)


def test_only_the_two_newest_checkpoints_are_kept(task: FederatedTask, tmp_path: Path) -> None:
    run(task, 4, checkpoint_dir=tmp_path, progress=False)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [f"round-00000{n}.{kind}" for n in (3, 4) for kind in ("json", "npz")]


def test_a_folder_that_cannot_be_made_is_refused_before_training(
    task: FederatedTask, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(TaskError, match="cannot be written"):
        run(task, 1, checkpoint_dir=tmp_path / "file" / "folder", progress=False)
