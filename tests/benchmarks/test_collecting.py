"""How benchmarks collect: resumable results, peers that are killed, curves read as in the paper."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from common import published_byzantine, published_dp, published_fedavg
from common.figures import command_of, record_path
from common.peers import PeerError, run_peer
from common.store import Store, Unit

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def open_store(path: Path) -> Store:
    return Store(path, {"cpu": "any"}, "command", lambda rows: {"count": len(rows)})


def test_a_stopped_collection_goes_on_where_it_was(tmp_path: Path) -> None:
    done: list[int] = []

    def unit(seed: int, fails: bool = False) -> Unit:
        def work() -> dict[str, Any]:
            if fails:
                raise KeyboardInterrupt
            done.append(seed)
            return {"value": seed}

        return Unit("e", {"seed": seed, "sizes": (1, 2)}, work)

    path, forever = tmp_path / "r.json", time.monotonic() + 1000
    with pytest.raises(KeyboardInterrupt):
        open_store(path).run([unit(0), unit(1, fails=True), unit(2)], forever, again=False)
    assert json.loads(path.read_text())["count"] == 1
    assert open_store(path).run([unit(0), unit(1), unit(2)], forever, again=False) == 0
    assert done == [0, 1, 2]
    rows = json.loads(path.read_text())["rows"]
    assert [row["value"] for row in rows] == [0, 1, 2]
    assert open_store(path).run([unit(1)], forever, again=True) == 0
    assert done == [0, 1, 2, 1]
    assert len(json.loads(path.read_text())["rows"]) == 3


def test_no_unit_starts_after_the_deadline(tmp_path: Path) -> None:
    units = [Unit("e", {"seed": seed}, lambda: {"value": 1}) for seed in range(3)]
    store = open_store(tmp_path / "r.json")
    assert store.run(units, time.monotonic() - 1, again=False) == 3
    assert store.rows == []


def test_a_quick_pass_is_written_apart_from_the_record() -> None:
    assert record_path("benchmarks/pgd.py", quick=False) == RESULTS / "pgd.json"
    assert RESULTS not in record_path("benchmarks/pgd.py", quick=True).parents


def test_a_recorded_command_says_nothing_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["x", "--repeats", "9", "--peers", "/home/me/bin/python"])
    assert command_of("/home/me/benchmarks/pgd.py") == (
        "python benchmarks/pgd.py --repeats 9 --peers PATH"
    )


def test_a_hung_peer_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    script, note = tmp_path / "peer.py", tmp_path / "child"
    script.write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path(sys.argv[1]).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(PeerError, match="hung: not done after 3 s"):
        run_peer(sys.executable, script, [str(note)], timeout=3)
    child = int(note.read_text())
    for _ in range(100):
        if not _is_alive(child):
            return
        time.sleep(0.05)
    raise AssertionError(f"process {child} outlived the peer that started it")


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z" and os.getpgid(pid) != os.getpgid(0)


def test_a_peer_that_fails_says_why(tmp_path: Path) -> None:
    script = tmp_path / "peer.py"
    script.write_text("raise SystemExit('no torch here')\n")
    with pytest.raises(PeerError, match="exit status 1: no torch here"):
        run_peer(sys.executable, script, [], timeout=30)
    script.write_text("print('noise')\nprint('{\"seconds\": [1.5]}')\n")
    assert run_peer(sys.executable, script, [], timeout=30) == {"seconds": [1.5]}


def test_rounds_are_read_from_the_monotone_curve_by_interpolation() -> None:
    # Best so far .95, .95, .96, .98: the target .97 lies half way between rounds 3 and 4.
    assert published_fedavg.crossing({1: 0.95, 2: 0.90, 3: 0.96, 4: 0.98}) == pytest.approx(3.5)
    assert published_fedavg.crossing({1: 0.98}) == 1.0
    assert published_fedavg.crossing({1: 0.5, 2: 0.969}) is None


def test_every_client_of_the_non_iid_split_holds_two_shards() -> None:
    import numpy as np

    class Mnist:
        y_train = np.repeat(np.arange(10), 6000).astype(np.int32)

    parts = published_fedavg.split(published_fedavg.NON_IID, Mnist.y_train, 0)
    assert [len(part) for part in parts] == [600] * 100
    assert sorted(np.concatenate(parts)) == list(range(60000))
    assert max(len(np.unique(Mnist.y_train[part])) for part in parts) <= 2


def test_a_claim_is_judged_by_what_the_table_says() -> None:
    def row(nnm: float, krum_under_ipm: float) -> dict[str, Any]:
        cells = []
        for rule in published_byzantine.RULES:
            for mix in published_byzantine.MIXINGS:
                for attack in ("no attack", "ALIE", "IPM", "sign flip"):
                    value = nnm if mix == "NNM" else 0.6
                    if (rule, mix, attack) == ("krum", "alone", "IPM"):
                        value = krum_under_ipm
                    if attack == "no attack":
                        value = 0.9
                    name = f"{rule} {mix}"
                    cells.append({"aggregator": name, "attack": attack, "accuracy": value})
        return {"cells": cells, "settings": {"seed": 0}}

    found = published_byzantine.summary([row(0.8, 0.2)])["agreement"]
    assert all(rule["holds"] for rule in found["nnm_helps_every_rule"].values())
    assert found["ipm_breaks_krum_and_median"]["krum"]["broken"]
    assert not found["ipm_breaks_krum_and_median"]["coordinate_median"]["broken"]
    found = published_byzantine.summary([row(0.5, 0.6)])["agreement"]
    assert not any(rule["holds"] for rule in found["nnm_helps_every_rule"].values())
    assert not found["ipm_breaks_krum_and_median"]["krum"]["broken"]


def test_a_run_is_compared_only_with_the_row_that_its_network_was_published_with() -> None:
    def row(unit: Unit, accuracy: float) -> dict[str, Any]:
        return {"settings": unit.settings, "test_accuracy": accuracy, "epsilon": {}}

    mixed = "january's settings, february's network"
    accuracies = {"january": 0.953, mixed: 0.941}
    rows = [row(published_dp.unit(study, 0, False), a) for study, a in accuracies.items()]
    studies = published_dp.summary(rows)["studies"]
    assert set(studies) == set(accuracies)
    assert studies["january"]["difference_of_means"] == pytest.approx(0.003)
    assert studies[mixed]["published"] is None
    assert studies[mixed]["ours"]["test_accuracy"] == [0.941]


@pytest.mark.parametrize(
    "name", ["federated_engines", "robust_aggregators", "published_results", "edge_runtimes"]
)
def test_published_files_say_where_they_come_from(name: str) -> None:
    result = json.loads((RESULTS / f"{name}.json").read_text())
    rows = [result] if "command" in result else result["rows"]
    for row in rows:
        assert row["command"].startswith(f"python benchmarks/{name}.py")
        assert row["machine"]["cpu"]
        assert row["date"]
        assert not row.get("quick", False)
