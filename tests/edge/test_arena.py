from __future__ import annotations

import json
from itertools import combinations

import pytest

from helpers.edge.arena import _lives, _meet, plan_arena
from helpers.edge.artefact import Artefact
from tests.edge.conftest import WAKE_WORDS, wake_word


def test_nothing_alive_at_once_overlaps(artefacts: dict[str, Artefact]) -> None:
    for artefact in artefacts.values():
        graph = artefact.graph()
        arena, lives = plan_arena(graph), _lives(graph)
        for one, other in combinations(lives, 2):
            if _meet(lives[one], lives[other]):
                start, end = arena.offsets[one], arena.offsets[one] + graph.tensors[one].num_bytes
                other_start = arena.offsets[other]
                other_end = other_start + graph.tensors[other].num_bytes
                assert end <= other_start or other_end <= start
        assert arena.lower_bound_bytes <= arena.planned_bytes < 2 * arena.lower_bound_bytes


def test_the_plan_of_a_chain_is_its_two_largest_neighbours(
    artefacts: dict[str, Artefact],
) -> None:
    # While the first convolution's output (8x8x8) feeds pooling and the depthwise layer, their
    # outputs (4x4x8 each) live beside it.
    assert plan_arena(artefacts["int8"].data).planned_bytes == 512 + 2 * 128
    assert plan_arena(artefacts["float32"].data).planned_bytes == 4 * (512 + 2 * 128)


@pytest.mark.parametrize("name", WAKE_WORDS)
def test_the_plan_fits_the_arena_its_makers_reserve(name: str) -> None:
    path = wake_word(name)
    published = json.loads(path.with_suffix(".json").read_text())["micro"]["tensor_arena_size"]
    arena = plan_arena(path)
    assert 0 < arena.planned_bytes + arena.state_bytes < published
