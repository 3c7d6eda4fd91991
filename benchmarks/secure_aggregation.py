"""Secure aggregation: ours beside Flower's primitives and CKKS, in CPU time, bytes and error.

Run from the repository root:

    python benchmarks/secure_aggregation.py                  # the figures of the book
    python benchmarks/secure_aggregation.py --full-search    # and all 2^28 seeds of a Flower mask
    python benchmarks/secure_aggregation.py --quick          # a small pass over every part

Five parts: primitives, where ours and Flower's do the same work in turns; one client of a whole
round, ours and Flower's client mod; the growth of a client's and the server's cost with the number
of clients and of parameters; CKKS presets; and the search for the seed of a Flower mask. Times are
CPU seconds, which neighbours on the machine disturb less than the clock.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from common.figures import record_path, save, spread, stamp
from tqdm import tqdm

from helpers.federated.secure import (
    SecureSettings,
    audit,
    audit_round,
    choose_graph,
    ckks,
    keys,
    quantise,
    secure_sum,
    shamir,
)

MODEL = 50_890  # the MLP of the book
NUM_CLIENTS = 10
Work = Callable[[], Any]


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    before = os.getloadavg()[0]
    repeats = 3 if options.quick else options.repeats
    sizes = (1000, 10_000) if options.quick else (10_000, 100_000, 1_000_000)
    counts = (10, 20) if options.quick else (10, 30, 100, 300, 1000)
    result: dict[str, Any] = {
        "repeats": repeats,
        "primitives": primitives(sizes, repeats),
        "client_round": client_round(1000 if options.quick else MODEL, repeats),
        "growth": growth(counts, sizes),
        "ckks": homomorphic(2000 if options.quick else MODEL, repeats),
        "search": search(options.quick, options.full_search),
        "quick": options.quick,
        **stamp(__file__, before, "flwr", "tenseal", "cryptography", "pycryptodome", "numpy"),
    }
    save(options.out or record_path(__file__, options.quick), result, report(result))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--repeats", type=int, default=15, help="timed turns (default: 15)")
    parser.add_argument("--full-search", action="store_true", help="search all 2^28 seeds")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def primitives(sizes: Sequence[int], repeats: int) -> dict[str, Any]:
    """Time the same work by our primitives and by Flower's."""
    flower = audit.flower()
    own, other = keys.KeyPair.new(), keys.KeyPair.new()
    (private, _), (_, public) = flower.generate_key_pairs(), flower.generate_key_pairs()
    flower_key = flower.generate_shared_key(private, public)
    secret, points = os.urandom(32), range(1, 31)
    ours = shamir.split(secret, 20, points, os.urandom)
    theirs = flower.create_shares(secret, 20, 30)
    chosen = {x: ours[x] for x in range(6, 26)}
    context: tuple[keys.Purpose, int, int, int] = ("pairwise mask", 1, 0, 1)
    pairs: dict[str, tuple[Work, Work]] = {
        "key pair": (keys.KeyPair.new, flower.generate_key_pairs),
        "key agreement and derivation": (
            lambda: keys.shared_key(own, other.public, *context),
            lambda: flower.generate_shared_key(private, public),
        ),
        "Shamir split, 20 of 30": (
            lambda: shamir.split(secret, 20, points, os.urandom),
            lambda: flower.create_shares(secret, 20, 30),
        ),
        # The weights of a group of neighbours are kept; here they are computed each time.
        "Shamir combine, 20 shares": (
            lambda: _combine_anew(chosen),
            lambda: flower.combine_shares(theirs[5:25]),
        ),
        "seal and open two shares": (
            lambda: keys.unseal(secret, keys.seal(secret, bytes(66), 1, 0, 1), 1, 0, 1),
            lambda: flower.decrypt(flower_key, flower.encrypt(flower_key, bytes(66))),
        ),
    }
    for size in sizes:
        pairs[f"mask of {size:,}"] = (_our_mask(size), _flower_mask(flower_key, size))
        pairs[f"stochastic rounding of {size:,}"] = _rounding(size)
    return {name: compare(pair, repeats, name) for name, pair in pairs.items()}


def _combine_anew(shares: dict[int, bytes]) -> bytes:
    shamir._lagrange_at_zero.cache_clear()
    return shamir.combine(shares)


def _our_mask(size: int) -> Work:
    return lambda: keys.expand(b"k" * 32, size, 32)


def _flower_mask(key: bytes, size: int) -> Work:
    return lambda: audit.flower().pseudo_rand_gen(key, 1 << 32, [(size,)])


def _rounding(size: int) -> tuple[Work, Work]:
    settings = SecureSettings(clip=8.0, value_bits=22, rounding="stochastic")
    vector, rng = np.random.default_rng(0).normal(0, 0.1, size), np.random.default_rng(0)
    return (
        lambda: quantise(vector, settings, rng),
        lambda: audit.flower().quantize([vector], 8.0, 1 << 22),
    )


def compare(pair: tuple[Work, Work], repeats: int, label: str) -> dict[str, Any]:
    """Time two ways to do one work in turns; the ratio is Flower's time over ours, turn by turn."""
    inner = [max(1, round(0.02 / max(cpu(work), 1e-6))) for work in pair]
    seconds: list[list[float]] = [[], []]
    for _ in tqdm(range(repeats), desc=label, leave=False):
        for at, work in enumerate(pair):
            seconds[at].append(cpu(work, inner[at]))
    ratios = [b / a for a, b in zip(*seconds, strict=True)]
    return {
        "ours_seconds": spread(seconds[0]),
        "flower_seconds": spread(seconds[1]),
        "ratio": spread(ratios),
    }


def cpu(work: Work, times: int = 1) -> float:
    start = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - start) / times


def client_round(size: int, repeats: int) -> dict[str, Any]:
    """Time one client of a round of ten, all pairs: ours, and Flower's client mod."""
    rows = np.random.default_rng(0).normal(0, 0.1, (NUM_CLIENTS, size))
    settings = SecureSettings(clip=8.0, value_bits=22, rounding="stochastic", threshold=0.6)
    ours, theirs, sizes = [], [], {}
    for _ in tqdm(range(max(3, repeats // 3)), desc="whole rounds", leave=False):
        finished = secure_sum(rows, settings, keep_view=False)
        stages = finished.client_seconds.values()
        ours.append(sum(statistics.mean(seconds.values()) for seconds in stages))
        sizes["ours"] = sum(finished.bytes_per_client().values())
        start = time.process_time()
        other = audit_round.flower_round(dict(enumerate(rows)), threshold=6)
        # Nothing of it is the server's: it rebuilds secrets when they are asked for.
        theirs.append((time.process_time() - start) / NUM_CLIENTS)
        # As Flower sends it: one array of int64 for the weight and one for the values.
        sizes["flower_vector"] = other.masked[0].nbytes
    return {
        "clients": NUM_CLIENTS,
        "parameters": size,
        "ours_seconds": spread(ours),
        "flower_seconds": spread(theirs),
        "ratio": spread([b / a for a, b in zip(ours, theirs, strict=True)]),
        "ours_bytes_up": sizes["ours"],
        "flower_vector_bytes": sizes["flower_vector"],
        "float32_bytes": 4 * size,
    }


def growth(counts: Sequence[int], sizes: Sequence[int]) -> list[dict[str, Any]]:
    """Measure rounds in which 5 % drop out after sharing, over clients and over parameters."""
    cells = [(count, sizes[0], True) for count in counts]
    cells += [(count, sizes[0], False) for count in counts if 10 < count <= 100]
    cells += [(counts[0], size, True) for size in sizes[1:]]
    cells += [(100, sizes[-1], True)] if counts[-1] >= 100 else []
    rows = []
    for count, size, sparse in tqdm(cells, desc="growth", leave=False):
        rng = np.random.default_rng([count, size])
        vectors = rng.uniform(-1, 1, (count, size)).astype(np.float32)
        chosen = choose_graph(count) if sparse else SecureSettings()
        gone = rng.choice(count, max(1, count // 20), replace=False)
        finished = secure_sum(
            vectors, chosen, dropouts={int(c): "mask" for c in gone}, keep_view=False
        )
        error = finished.mean - vectors[list(finished.survivors)].mean(axis=0, dtype=np.float64)
        client = [
            statistics.median(seconds.values()) for seconds in finished.client_seconds.values()
        ]
        rows.append(
            {
                "clients": count,
                "parameters": size,
                "neighbours": finished.plan.num_neighbours,
                "dropped": len(gone),
                "client_seconds": sum(client),
                "server_seconds": sum(finished.server_seconds.values()),
                "client_bytes_up": sum(finished.bytes_per_client().values()),
                "largest_error": float(np.abs(error).max()),
                "error_bound": chosen.error_bound,
            }
        )
    return rows


def homomorphic(size: int, repeats: int) -> dict[str, Any]:
    """Measure CKKS presets, the copied parameters, and masking on the same vectors."""
    rows = np.random.default_rng(1).uniform(-1, 1, (NUM_CLIENTS, size))
    named = {**ckks.PRESETS, "often copied (refused)": ckks.OFTEN_COPIED}
    public = replace(ckks.PRESETS["compact"], public_key=True)
    named["compact, public key"] = public
    found: dict[str, Any] = {}
    for name, parameters in tqdm(named.items(), desc="CKKS", leave=False):
        rounds = [
            ckks.ckks_sum(rows, parameters, allow_unsound=True) for _ in range(max(3, repeats // 5))
        ]
        found[name] = {
            "parameters": str(parameters),
            "problems": parameters.problems(NUM_CLIENTS, 1.0),
            "client_seconds": spread([r.encrypt_seconds + r.decrypt_seconds for r in rounds]),
            "server_seconds": spread([r.add_seconds for r in rounds]),
            "client_bytes_up": rounds[0].bytes_up,
            "multiple_of_float32": rounds[0].bytes_up / (4 * size),
            "largest_error": max(r.largest_error for r in rounds),
            "typical_error": statistics.median(r.typical_error for r in rounds),
            "expected_typical_error": parameters.expected_error / math.sqrt(NUM_CLIENTS),
        }
    for bits in (16, 24):
        rounds_of_masking = [
            secure_sum(rows, SecureSettings(value_bits=bits), keep_view=False)
            for _ in range(max(3, repeats // 5))
        ]
        error = rounds_of_masking[0].mean - rows.mean(axis=0)
        up = sum(rounds_of_masking[0].bytes_per_client().values())
        found[f"masking, {bits} bits"] = {
            "client_seconds": spread(
                [
                    sum(statistics.mean(s.values()) for s in r.client_seconds.values())
                    for r in rounds_of_masking
                ]
            ),
            "server_seconds": spread([sum(r.server_seconds.values()) for r in rounds_of_masking]),
            "client_bytes_up": up,
            "multiple_of_float32": up / (4 * size),
            "largest_error": float(np.abs(error).max()),
            "typical_error": float(np.sqrt((error**2).mean())),
        }
    return found


def search(quick: bool, full: bool) -> dict[str, Any]:
    """Measure how fast the seed of a Flower mask is found, on a real round with one dropout."""
    vectors = {n: np.random.default_rng(n).normal(0, 0.1, 2000) for n in (1, 2, 3)}
    finished = audit_round.flower_round(vectors, dropped=[3])
    residue = finished.residue(1)
    part = 1 << (18 if quick else 22)
    some = audit.search_seed(residue, audit_round.LARGEST, added=False, stop=part)
    known = audit_round.known_quantised(vectors[1], np.arange(2000) < 640)
    start = time.process_time()
    seed = audit.seed_from_known_values(residue, known, audit_round.LARGEST, added=False)
    structural = time.process_time() - start
    assert seed is not None, "the structural attack always finds the seed of a real round"
    result: dict[str, Any] = {
        "seeds_tried": some.tried,
        "seeds_a_second": some.rate,
        "extrapolated_seconds_for_28_bits": some.cpu_hours(28) * 3600,
        "extrapolated_seconds_for_32_bits": some.cpu_hours(32) * 3600,
        "structural_seconds": structural,
        "structural_error": float(np.abs(finished.unmasked(1, 2, seed) - vectors[1]).max()),
    }
    if full:
        found = audit.search_seed(residue, audit_round.LARGEST, added=False, progress=True)
        result["full_search"] = {
            "found": found.seed == seed,
            "seeds_tried": found.tried,
            "seconds": found.seconds,
        }
    made = audit.random_keys(1 << (12 if quick else 17), base64=True)
    plain = audit.random_keys(len(made), base64=False)
    result["key_bits"] = {
        "flower, pairwise key": vars(audit.key_bits(audit.flower_seeds(made))),
        "flower, self-mask seed": vars(audit.key_bits(audit.flower_seeds(plain))),
        "ours": vars(audit.key_bits(audit.our_fingerprints(plain))),
    }
    return result


def report(result: dict[str, Any]) -> str:
    """Lay the main figures out as text."""
    lines = [f"{'CPU time':<34} {'ours':>10} {'Flower':>10}  Flower / ours (lowest to highest)"]
    parts = dict(result["primitives"])
    part = result["client_round"]
    parts[f"client, {part['clients']} clients, {part['parameters']:,}"] = part
    for name, row in parts.items():
        ours, theirs = row["ours_seconds"]["median"], row["flower_seconds"]["median"]
        ratio = row["ratio"]
        lines.append(
            f"{name:<34} {1e3 * ours:7.3f} ms {1e3 * theirs:7.3f} ms  "
            f"{ratio['median']:.1f} ({ratio['min']:.1f} to {ratio['max']:.1f})"
        )
    lines.append("clients parameters neighbours  client ms  server ms   KB up  error (bound)")
    for row in result["growth"]:
        lines.append(
            f"{row['clients']:7d} {row['parameters']:10,d} {row['neighbours']:10d} "
            f"{1e3 * row['client_seconds']:10.1f} {1e3 * row['server_seconds']:10.1f} "
            f"{row['client_bytes_up'] / 1e3:7.1f}  {row['largest_error']:.1e} "
            f"({row['error_bound']:.1e})"
        )
    lines.append(f"{'sum of ten':<24} client ms  server ms  MB up  x float32  largest error")
    for name, row in result["ckks"].items():
        lines.append(
            f"{name:<24} {1e3 * row['client_seconds']['median']:9.1f} "
            f"{1e3 * row['server_seconds']['median']:10.1f} {row['client_bytes_up'] / 1e6:6.2f} "
            f"{row['multiple_of_float32']:10.2f}  {row['largest_error']:.1e}"
        )
    found = result["search"]
    lines.append(
        f"a Flower mask: {found['seeds_a_second'] / 1e6:.2f} million seeds a second, 2^28 in "
        f"{found['extrapolated_seconds_for_28_bits']:.0f} s; from known values in "
        f"{1e3 * found['structural_seconds']:.1f} ms"
    )
    if "full_search" in found:
        full = found["full_search"]
        lines.append(
            f"full search: found={full['found']} after {full['seeds_tried']:,} seeds, "
            f"{full['seconds']:.0f} s"
        )
    for name, bits in found["key_bits"].items():
        relation = ">" if bits["is_lower_bound"] else "~"
        lines.append(
            f"key bits that reach the mask, {name}: {relation} {bits['bits']:.1f} "
            f"({bits['collisions']} collisions of {bits['num_keys']:,} keys)"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
