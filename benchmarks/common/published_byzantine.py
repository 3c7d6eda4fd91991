"""Claims of the papers on Byzantine robustness, tried with our grid of rules and attacks.

The claims are statements of an order ("mixing helps every rule", "this attack breaks that rule"),
and an order is what is compared: the papers train other networks for longer, so that their figures
are not ours to match.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from common.store import Row, Unit

NAME = "byzantine_rankings"
CLIENTS, BYZANTINE, ALPHA, MOMENTUM = 17, 4, 0.5, 0.9
RULES = ("krum", "geometric_median", "coordinate_median", "trimmed_mean")
MIXINGS = {"alone": "none", "bucketing": "bucketing", "NNM": "nearest-neighbour"}
BUILD = Path(__file__).parents[2] / "build" / "published_results" / NAME
# A rule counts as broken below this share of the plain average's accuracy without an attack.
BROKEN = 0.5

PUBLISHED: dict[str, Any] = {
    "nnm_helps_every_rule": {
        "claim": "nearest-neighbour mixing boosts any standard robust rule under heterogeneity and "
        "outperforms the state of the art before it (bucketing)",
        "source": "Allouah et al., Fixing by mixing, AISTATS 2023, abstract",
        "url": "https://proceedings.mlr.press/v206/allouah23a.html",
    },
    "ipm_breaks_krum_and_median": {
        "claim": "inner product manipulation breaks coordinate-wise median and Krum",
        "source": "Xie, Koyejo and Gupta, Fall of empires, UAI 2019, abstract",
        "url": "https://proceedings.mlr.press/v115/xie20a.html",
    },
    "alie_defeats_every_rule": {
        "claim": "a little is enough: small changes, a fifth of the workers corrupted, go "
        "undetected by every defence and cost a model half its accuracy (there CIFAR-10)",
        "source": "Baruch, Baruch and Goldberg, A little is enough, NeurIPS 2019, abstract",
        "url": "https://arxiv.org/abs/1902.06156",
    },
}
DIFFERS = [
    "the order of the rules is compared, not figures: a multilayer perceptron of 25,450 parameters "
    "on 5,100 images of MNIST instead of a convolutional network on all of it",
    "rounds of one local epoch (FedAvg) with worker momentum 0.9 instead of single gradient steps",
    "the factor of ALIE and IPM is searched anew each round against the server's very rule, as "
    "Allouah et al. do, and not the fixed one of Baruch et al. and Xie et al.",
]


def units(seeds: int, quick: bool) -> list[Unit]:
    """Return one unit a seed: a grid of rules, mixings and attacks."""
    found = []
    for seed in range(seeds):
        settings = {
            "clients": CLIENTS,
            "num_byzantine": BYZANTINE,
            "dirichlet_alpha": ALPHA,
            "worker_momentum": MOMENTUM,
            "examples_per_client": 60 if quick else 300,
            "batch_size": 25,
            "learning_rate": 0.2,
            "rounds": 1 if quick else 20,
            "hidden": 32,
            "search_evaluations": 6,
            "seed": seed,
        }
        found.append(Unit(NAME, settings, partial(train, settings)))
    return found


def train(settings: Row) -> Row:
    """Train every cell; cells that a stopped call finished are read from the build folder."""
    from helpers import data
    from helpers.federated.grid import robustness_grid

    mnist = data.load("mnist", source="full")
    grid = robustness_grid(
        lambda alpha, seed: make_task(settings, mnist, alpha, seed),
        {f"{rule} {mix}": partial(aggregator, rule, mix) for rule in RULES for mix in MIXINGS},
        scenarios(settings["search_evaluations"]),
        [settings["dirichlet_alpha"]],
        [0, settings["num_byzantine"]],
        settings["rounds"],
        seeds=[settings["seed"]],
        folder=BUILD,
    )
    cells = grid[["aggregator", "attack", "accuracy", "diverged"]]
    return {"cells": cells.to_dict("records"), "refused": int((grid["refused"] != "").sum())}


def make_task(settings: Row, mnist: Any, alpha: float, seed: int) -> Any:
    """Split some of MNIST over the clients by a Dirichlet law."""
    from helpers import data, models
    from helpers.federated import ClientData, FederatedTask, LocalTraining

    rng = np.random.default_rng(seed)
    rows = rng.choice(
        len(mnist.y_train), settings["clients"] * settings["examples_per_client"], replace=False
    )
    x, y = mnist.x_train[rows], mnist.y_train[rows]
    parts = data.partition.dirichlet(y, settings["clients"], alpha, rng, equal_sizes=True)
    return FederatedTask(
        lambda: models.mlp((28, 28, 1), 10, (settings["hidden"],), seed),
        [ClientData(x[part], y[part]) for part in parts],
        ClientData(mnist.x_test, mnist.y_test),
        local=LocalTraining(1, settings["batch_size"], settings["learning_rate"]),
        weighting="uniform",
        worker_momentum=settings["worker_momentum"],
        seed=seed,
    )


def aggregator(rule: str, mix: str, num_byzantine: int) -> Any:
    """Make a rule; Krum with the n - f - 1 neighbours of Allouah et al.

    Eight iterations of the geometric median are more than the three its authors find enough.
    """
    from helpers.federated import RobustAggregator

    received = -(-CLIENTS // 2) if mix == "bucketing" else CLIENTS
    options: dict[str, Any] = {}
    if rule == "krum":
        options = {"num_neighbours": received - num_byzantine - 1}
    if rule == "geometric_median":
        options = {"max_iterations": 8}
    return RobustAggregator(rule, num_byzantine, mixing=MIXINGS[mix], options=options)  # type: ignore[arg-type]


def scenarios(evaluations: int) -> dict[str, Any]:
    """Return the attacks, their factors searched against the rule."""
    from helpers.federated.byzantine import (
        ALittleIsEnough,
        InnerProductManipulation,
        Optimised,
        SignFlip,
    )
    from helpers.federated.grid import Scenario

    return {
        "ALIE": Scenario(Optimised(ALittleIsEnough(), evaluations=evaluations)),
        "IPM": Scenario(Optimised(InnerProductManipulation(0.5), evaluations=evaluations)),
        "sign flip": Scenario(SignFlip()),
    }


def summary(rows: list[Row]) -> Row:
    """Return accuracies by rule, mixing and attack, the orders, and whether the claims hold."""
    table = accuracies(rows)
    means = {
        rule: {
            mix: {attack: float(np.mean(v)) for attack, v in attacks.items()}
            for mix, attacks in mixes.items()
        }
        for rule, mixes in table.items()
    }
    worst = {
        rule: {
            mix: min(v for attack, v in attacks.items() if attack != "no attack")
            for mix, attacks in mixes.items()
        }
        for rule, mixes in means.items()
    }
    return {
        "published": {"claims": PUBLISHED, "differs": DIFFERS},
        "ours": {
            "accuracy": table,
            "worst_case": worst,
            "order_under": {
                attack: order({rule: means[rule]["alone"][attack] for rule in RULES})
                for attack in ("ALIE", "IPM", "sign flip")
            },
            "order_worst_case": order(
                {f"{rule} {mix}": v for rule, mixes in worst.items() for mix, v in mixes.items()}
            ),
            "seeds": [row["settings"]["seed"] for row in rows],
        },
        "agreement": agreement(means, worst),
    }


def accuracies(rows: list[Row]) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return ``{rule: {mixing: {attack: one accuracy a seed}}}``."""
    table: dict[str, dict[str, dict[str, list[float]]]] = {
        rule: {mix: {} for mix in MIXINGS} for rule in RULES
    }
    for row in rows:
        for cell in row["cells"]:
            rule, mix = cell["aggregator"].split(" ", 1)
            table[rule][mix].setdefault(cell["attack"], []).append(cell["accuracy"])
    return table


def order(scores: dict[str, float]) -> list[str]:
    """Return names from the best score to the worst."""
    return sorted(scores, key=lambda name: -scores[name])


def agreement(means: Row, worst: Row) -> Row:
    """Say of each claim where it holds here."""
    # With nobody to trim, the trimmed mean is the plain average.
    limit = BROKEN * means["trimmed_mean"]["alone"]["no attack"]

    def broken(rule: str, attack: str) -> Row:
        found = means[rule]["alone"]
        return {
            "broken": bool(found[attack] < limit),
            "broken_without_an_attack": bool(found["no attack"] < limit),
        }

    return {
        "nnm_helps_every_rule": {
            rule: {
                "gain_over_the_rule_alone": worst[rule]["NNM"] - worst[rule]["alone"],
                "gain_over_bucketing": worst[rule]["NNM"] - worst[rule]["bucketing"],
                "holds": bool(
                    worst[rule]["NNM"] > worst[rule]["alone"]
                    and worst[rule]["NNM"] > worst[rule]["bucketing"]
                ),
            }
            for rule in RULES
        },
        "ipm_breaks_krum_and_median": {
            rule: broken(rule, "IPM") for rule in ("krum", "coordinate_median")
        },
        "alie_defeats_every_rule": {rule: broken(rule, "ALIE") for rule in RULES},
        "broken_means": f"accuracy below {limit:.3f}, {BROKEN} of the plain average's without an "
        "attack",
    }


def lines(part: Row) -> list[str]:
    """Lay the summary out as text."""
    ours = part["ours"]
    text = [f"Byzantine rules, mean accuracy of {len(ours['seeds'])} seeds (least to most):"]
    for rule, mixes in ours["accuracy"].items():
        for mix, attacks in mixes.items():
            cells = "  ".join(
                f"{attack} {np.mean(v):.3f} ({min(v):.3f}-{max(v):.3f})"
                for attack, v in attacks.items()
            )
            text.append(f"  {rule + ' ' + mix:<28} {cells}")
    agreement = part["agreement"]
    for rule, found in agreement["nnm_helps_every_rule"].items():
        text.append(
            f"  worst case of {rule} with NNM: {found['gain_over_the_rule_alone']:+.3f} over the "
            f"rule alone, {found['gain_over_bucketing']:+.3f} over bucketing"
        )
    for claim in ("ipm_breaks_krum_and_median", "alie_defeats_every_rule"):
        verdicts = (
            f"{rule} {'broken' if found['broken'] else 'not broken'}"
            + (" (so it is without an attack)" if found["broken_without_an_attack"] else "")
            for rule, found in agreement[claim].items()
        )
        text.append(f"  {claim}: {', '.join(verdicts)}")
    text.append(f"  broken: {agreement['broken_means']}")
    return text
