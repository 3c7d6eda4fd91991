"""The packages this course names work together, in one process, each doing one real thing."""

from __future__ import annotations

import json
import re
from importlib.metadata import metadata, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from packaging.specifiers import SpecifierSet

from helpers import data

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def digits() -> data.Dataset:
    return data.load("digits")


# Not shared: TFF builds models in a graph, after which Keras refuses those made before it.
@pytest.fixture
def trained(digits: data.Dataset) -> Any:
    """A small dense Keras model that reads 8x8 digits well."""
    import tensorflow as tf

    tf.keras.utils.set_random_seed(0)
    model = tf.keras.Sequential(
        [
            tf.keras.layers.Input(digits.x_train.shape[1:]),
            tf.keras.layers.Flatten(),
            tf.keras.layers.Dense(32, activation="relu"),
            tf.keras.layers.Dense(10),
        ]
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, metrics=["accuracy"])
    model.fit(digits.x_train, digits.y_train, epochs=20, batch_size=32, verbose=0)
    return model


def test_tensorflow_trains_a_classifier(trained: Any, digits: data.Dataset) -> None:
    _, accuracy = trained.evaluate(digits.x_test, digits.y_test, verbose=0)
    assert accuracy > 0.9


def test_tensorflow_federated_averages_two_clients(digits: data.Dataset) -> None:
    import tensorflow as tf
    import tensorflow_federated as tff

    from helpers.federated.tff_engine import stop_worker_at_exit

    stop_worker_at_exit()

    def model_fn() -> tff.learning.models.VariableModel:
        keras_model = tf.keras.Sequential(
            [
                tf.keras.layers.Input(digits.x_train.shape[1:]),
                tf.keras.layers.Flatten(),
                tf.keras.layers.Dense(10, kernel_initializer="zeros"),
            ]
        )
        return tff.learning.models.from_keras_model(
            keras_model,
            loss=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            input_spec=(
                tf.TensorSpec((None, *digits.x_train.shape[1:]), tf.float32),
                tf.TensorSpec((None,), tf.int32),
            ),
        )

    clients = [
        tf.data.Dataset.from_tensor_slices((digits.x_train[i::2], digits.y_train[i::2])).batch(32)
        for i in range(2)
    ]
    process = tff.learning.algorithms.build_weighted_fed_avg(
        model_fn, client_optimizer_fn=tff.learning.optimizers.build_sgdm(0.5)
    )
    state = process.initialize()
    losses = []
    for _ in range(3):
        state, metrics = process.next(state, clients)
        losses.append(float(metrics["client_work"]["train"]["loss"]))
    assert losses[-1] < 0.6 * losses[0]


def test_tensorflow_model_optimization_prunes_to_the_sparsity_asked_for(
    trained: Any,
    digits: data.Dataset,
) -> None:
    import tensorflow_model_optimization as tfmot

    schedule = tfmot.sparsity.keras.ConstantSparsity(0.5, begin_step=0, frequency=1)
    pruned = tfmot.sparsity.keras.prune_low_magnitude(trained, pruning_schedule=schedule)
    pruned.compile("adam", trained.loss)
    step = tfmot.sparsity.keras.UpdatePruningStep()
    pruned.fit(digits.x_train[:64], digits.y_train[:64], epochs=2, verbose=0, callbacks=[step])
    kernel = tfmot.sparsity.keras.strip_pruning(pruned).layers[-1].get_weights()[0]
    assert np.mean(kernel == 0) == pytest.approx(0.5, abs=0.02)


def test_tensorflow_privacy_takes_a_dp_sgd_step(digits: data.Dataset) -> None:
    import tensorflow as tf
    from tensorflow_privacy.privacy.optimizers.dp_optimizer_keras import DPKerasSGDOptimizer

    model = tf.keras.Sequential([tf.keras.layers.Input((64,)), tf.keras.layers.Dense(10)])
    before = model.get_weights()[0]
    optimizer = DPKerasSGDOptimizer(
        l2_norm_clip=0.1, noise_multiplier=0.0, num_microbatches=16, learning_rate=1.0
    )
    loss = tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="none")
    model.compile(optimizer, loss)
    x = digits.x_train[:16].reshape(16, 64)
    model.fit(x, digits.y_train[:16], batch_size=16, epochs=1, verbose=0)
    step = np.linalg.norm(model.get_weights()[0] - before)
    assert 0 < step <= 0.1 + 1e-6  # without noise the mean of clipped gradients obeys the clip


def test_adversarial_robustness_toolbox_fools_the_classifier(
    trained: Any,
    digits: data.Dataset,
) -> None:
    import tensorflow as tf
    from art.attacks.evasion import FastGradientMethod
    from art.estimators.classification import TensorFlowV2Classifier

    classifier = TensorFlowV2Classifier(
        model=trained,
        nb_classes=10,
        input_shape=digits.x_test.shape[1:],
        loss_object=tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        clip_values=(0.0, 1.0),
    )
    adversarial = FastGradientMethod(classifier, eps=0.25).generate(digits.x_test)
    clean = np.mean(trained.predict(digits.x_test, verbose=0).argmax(1) == digits.y_test)
    fooled = np.mean(trained.predict(adversarial, verbose=0).argmax(1) == digits.y_test)
    assert np.abs(adversarial - digits.x_test).max() <= 0.25 + 1e-6
    assert fooled < clean - 0.3


def test_papermill_runs_a_notebook_with_a_parameter(tmp_path: Path) -> None:
    import nbformat
    import papermill

    notebook = nbformat.v4.new_notebook()
    parameters = nbformat.v4.new_code_cell("n = 1", metadata={"tags": ["parameters"]})
    notebook.metadata = {"kernelspec": {"name": "python3", "language": "python"}}
    notebook.cells = [parameters, nbformat.v4.new_code_cell("print(sum(range(n)))")]
    nbformat.write(notebook, tmp_path / "in.ipynb")
    done = papermill.execute_notebook(
        tmp_path / "in.ipynb",
        tmp_path / "out.ipynb",
        {"n": 101},
        kernel_name="python3",
        progress_bar=False,
    )
    assert done.cells[-1].outputs[0].text.strip() == "5050"


def test_jupyter_book_translates_this_books_configuration() -> None:
    from jupyter_book.config import get_final_config

    user = yaml.safe_load((ROOT / "_config.yml").read_text())
    config, _ = get_final_config(
        user_yaml=user, sourcedir=ROOT, cli_config={"latex_individualpages": False}
    )
    assert config["html_theme"] == "sphinx_book_theme"
    assert config["myst_enable_extensions"]


def test_jupyterlab_is_complete() -> None:
    from jupyterlab.commands import get_app_dir

    package = json.loads((Path(get_app_dir()) / "static" / "package.json").read_text())
    assert package["jupyterlab"]["version"] == version("jupyterlab")


def test_pip_takes_every_locked_package_on_this_python() -> None:
    """uv overlooks an upper bound on Python; pip, which Colab and Binder use, does not."""
    lock = (ROOT / "requirements.txt").read_text("utf-8")
    locked = dict(re.findall(r"^([A-Za-z0-9][\w.-]*)==([^\s;\\]+)", lock, re.MULTILINE))
    assert len(locked) > 200
    bounds = {name: str(metadata(name).json.get("requires_python", "")) for name in locked}
    refused = [n for n, bound in bounds.items() if not SpecifierSet(bound).contains("3.11.7")]
    assert not refused, "exclude them in overrides.txt"
