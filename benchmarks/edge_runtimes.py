"""The keyword spotter on every runtime, in every format: latency, agreement, accuracy.

Run from the repository root:

    python benchmarks/edge_runtimes.py              # what is missing, for 5 minutes
    python benchmarks/edge_runtimes.py --minutes 60 # longer
    python benchmarks/edge_runtimes.py --quick      # a small pass over every part, apart

* Latency: the same network, one thread, each file on each runtime that reads it, in turns; int8
  as a multiple of float32 on the same runtime in the same turn, so that a slow moment hits both.
* Agreement: scores of one file on each runtime against LiteRT's.
* Instructions: how often a runtime's library holds ``vpdpbusd``, the processor's instruction for
  dot products of 8-bit integers. Needs ``objdump``.
* Delegates: whether a build of TensorFlow Lite hands the whole network over to XNNPACK.
* Keywords: accuracy on synthetic voices that training never heard, three seeds of data and network.
* Stretched keywords: the same with clips at several speeds and more epochs, five seeds, and the
  processor time of training.
* Digits: a network trained on synthetic digits, tried on human ones. Needs the Free Spoken Digit
  Dataset in a folder named in EDGESEC_DATA; left out without it.

ExecuTorch takes part if it is installed (``edgesec edge install executorch``). Every finished run
is written at once and is not done again, so the command can be stopped and repeated.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import numpy as np
from common.figures import command_of, machine, record_path, spread
from common.store import Row, Store, Unit

from helpers import data, models
from helpers.data import audio
from helpers.edge import convert
from helpers.edge.artefact import Artefact
from helpers.edge.measure import measure_latency
from helpers.edge.runtimes import Runtime, executorch_install, open_model
from helpers.errors import DataError

EXPERIMENTS = (
    "instructions", "delegates", "latency", "agreement", "keywords", "stretched", "digits",
)  # fmt: skip
SEEDS, QUICK_SEEDS = (0, 1, 2), (0,)
MORE_SEEDS = (0, 1, 2, 3, 4)
# Package, and the library in it that holds the kernels.
LIBRARIES = {
    "tflite": ("tensorflow", "lite/python/interpreter_wrapper/_pywrap_tensorflow_interpreter_*.so"),
    "litert": ("ai_edge_litert", "libpywrap_litert_common.so"),
}
KINDS = ("float32", "int8", "float32, inputs clipped")
RUNTIMES: dict[Runtime, tuple[str, ...]] = {
    "tflite": ("float32", "float16", "dynamic", "int8"),
    "litert": ("float32", "float16", "dynamic", "int8"),
    "onnxruntime": ("onnx float32", "onnx int8"),
    "executorch": ("executorch float32",),
}


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    out = options.out or record_path(__file__, options.quick)
    command = command_of(__file__)
    versions = machine("tensorflow-cpu", "ai-edge-litert", "onnxruntime", "tf2onnx", "numpy")
    store = Store(out, versions, command, summarise)
    left, deadline = 0, time.monotonic() + 60 * options.minutes
    for name in options.only or EXPERIMENTS:
        left += store.run(planned(name, options.quick), deadline, options.again)
    store.write()
    print(report(summarise(store.rows)))
    print(f"written to {out}" + (f"; {left} runs left, repeat to go on" if left else ""))


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="a small pass over every part")
    parser.add_argument("--only", nargs="+", choices=EXPERIMENTS, help="some experiments only")
    parser.add_argument(
        "--minutes", type=float, default=5.0, help="start no run later than this (default: 5)"
    )
    parser.add_argument("--again", action="store_true", help="repeat what was done before")
    parser.add_argument("--out", type=Path, help="JSON file to write")
    return parser.parse_args(arguments)


def planned(name: str, quick: bool) -> list[Unit]:
    """Return the runs of one experiment; what is missing on this machine is left out, and said."""
    epochs = 1 if quick else 10
    if name == "instructions":
        if shutil.which("objdump") is None:
            print("instructions are left out: objdump, from binutils, is not installed.")
            return []
        return [Unit(name, {}, count_dot_products)]
    if name == "delegates":
        return [Unit(name, {}, find_delegates)]
    if name == "latency":
        turns, repeats = (2, 50) if quick else (9, 1000)
        settings = {"turns": turns, "repeats": repeats, "warm_up": 100, "epochs": epochs}
        return [Unit(name, settings, functools.partial(time_in_turns, turns, repeats, 100, epochs))]
    if name == "agreement":
        return [Unit(name, {"epochs": epochs}, functools.partial(compare_runtimes, epochs))]
    if name == "digits" and not has_human_digits():
        return []
    if name == "stretched":
        epochs, copies = (1, 1) if quick else (15, 3)
        return [
            Unit(
                name,
                {"seed": s, "epochs": epochs, "versions": copies},
                functools.partial(unseen_voices_after_stretching, s, epochs, copies),
            )
            for s in (QUICK_SEEDS if quick else MORE_SEEDS)
        ]
    works = {"keywords": unseen_voices, "digits": human_digits}
    return [
        Unit(name, {"seed": s, "epochs": epochs}, functools.partial(works[name], s, epochs))
        for s in (QUICK_SEEDS if quick else SEEDS)
    ]


def has_human_digits() -> bool:
    try:
        return data.load("spoken_digits", source="full", progress=False).source == "local"
    except DataError as missing:
        print(f"digits are left out: {missing}")
        return False


@functools.cache
def trained(dataset: str, seed: int, epochs: int) -> tuple[Any, data.Dataset]:
    """Train the course's keyword spotter on synthetic speech; the seed is of clips and network."""
    clips = data.load(dataset, source="offline", seed=seed)
    network = models.ds_cnn(num_classes=len(clips.class_names), seed=seed)
    models.fit_keywords(network, audio.mfcc(clips.x_train), clips.y_train, epochs=epochs, seed=seed)
    return network, clips


@functools.cache
def files(epochs: int) -> dict[str, Artefact]:
    """Convert the keyword spotter of seed 0 to every format."""
    network, clips = trained("speech_commands", 0, epochs)
    made = {
        "float32": convert.to_tflite(network),
        "float16": convert.to_tflite(network, "float16"),
        "dynamic": convert.to_tflite(network, "dynamic"),
        "int8": convert.to_tflite(network, "int8", audio.mfcc(clips.x_train[:100])),
        "onnx float32": convert.to_onnx(network),
    }
    made["onnx int8"] = convert.to_onnx(made["int8"])
    if executorch_install.is_installed():
        made["executorch float32"] = convert.to_executorch(made["float32"])
    return made


def cells(epochs: int) -> list[tuple[Runtime, str]]:
    """Pairs of a runtime and a file that exist on this machine."""
    made = files(epochs)
    return [
        (runtime, name) for runtime, names in RUNTIMES.items() for name in names if name in made
    ]


def count_dot_products() -> Row:
    """Count an instruction in the disassembly of each runtime's library."""
    counts = {}
    for runtime, (package, pattern) in LIBRARIES.items():
        spec = find_spec(package)
        assert spec is not None
        assert spec.origin is not None
        library = next(Path(spec.origin).parent.glob(pattern))
        found = 0
        with subprocess.Popen(
            ["objdump", "--disassemble", "--no-show-raw-insn", library],
            stdout=subprocess.PIPE,
            text=True,
        ) as disassembly:
            assert disassembly.stdout is not None
            found = sum("vpdpbusd" in line for line in disassembly.stdout)
        if disassembly.returncode:
            raise RuntimeError(f"objdump failed on {library} with status {disassembly.returncode}.")
        counts[runtime] = found
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return {"vpdpbusd": counts, "processor_has_it": "avx512_vnni" in flags or "avx_vnni" in flags}


def find_delegates() -> Row:
    """Say for each build and format whether one delegate runs the network from end to end."""
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    network = models.ds_cnn()
    noise = np.random.default_rng(0).standard_normal((100, *network.input_shape[1:]))
    made = {
        "float32": convert.to_tflite(network),
        "int8": convert.to_tflite(network, "int8", noise),
    }
    found = {}
    for runtime, interpreter in (("tflite", tf.lite.Interpreter), ("litert", Interpreter)):
        for name, artefact in made.items():
            engine = interpreter(model_content=artefact.data, num_threads=1)
            engine.allocate_tensors()
            wanted = [engine.get_output_details()[0]["index"]]
            # What a delegate took over stays in this list; the delegate stands at its end.
            delegates = [o for o in engine._get_ops_details() if o["op_name"] == "DELEGATE"]
            found[f"{runtime}, {name}"] = [list(o["outputs"]) for o in delegates] == [wanted]
    return {"whole_network": found}


def time_in_turns(turns: int, repeats: int, warm_up: int, epochs: int) -> Row:
    """Open each file anew in each turn; a turn's figure is its median, in milliseconds."""
    medians: dict[str, list[float]] = {}
    for _ in range(turns):
        for runtime, name in cells(epochs):
            # TensorFlow is loaded in this process already.
            with open_model(files(epochs)[name], runtime, isolated=runtime != "tflite") as runner:
                latency = measure_latency(runner, repeats, warm_up)
            medians.setdefault(f"{runtime}, {name}", []).append(latency.percentile(50))
    ratios = {}
    for runtime, names in RUNTIMES.items():
        pair = [f"{runtime}, {name}" for name in names if name.endswith(("float32", "int8"))]
        if len(pair) == 2:
            slow = zip(medians[pair[1]], medians[pair[0]], strict=True)
            ratios[runtime] = spread([int8 / float32 for int8, float32 in slow])
    return {
        "milliseconds": {key: spread(values) for key, values in medians.items()},
        "int8_over_float32": ratios,
        "load_average": os.getloadavg()[0],
    }


def compare_runtimes(epochs: int) -> Row:
    """Compare scores of all test clips with LiteRT's on the same file."""
    _, clips = trained("speech_commands", 0, epochs)
    features = audio.mfcc(clips.x_test)
    scores, scale = {}, 0.0
    for runtime, name in cells(epochs):
        with open_model(files(epochs)[name], runtime, isolated=runtime != "tflite") as runner:
            scores[runtime, name] = runner.predict(features)
            scale = runner.contract.outputs[0].scale or scale
    compared = {}
    for (runtime, name), found in scores.items():
        kind = name.split()[-1]
        ours = scores["litert", kind]
        gap = float(np.abs(found - ours).max())
        compared[f"{runtime}, {name}"] = {
            "largest_difference": gap,
            "codes": round(gap / scale) if kind == "int8" else None,
            "same_answer": float(np.mean(found.argmax(axis=1) == ours.argmax(axis=1))),
        }
    return {"against_litert": compared, "clips": len(features)}


def unseen_voices(seed: int, epochs: int) -> Row:
    """Accuracy on voices of the test part."""
    network, clips = trained("speech_commands", seed, epochs)
    return scores_on(network, clips, {"unseen_voices": (clips.x_test, clips.y_test)})


def unseen_voices_after_stretching(seed: int, epochs: int, copies: int) -> Row:
    """Accuracy on voices of the test part, of a network that heard each clip at several speeds."""
    clips = data.load("speech_commands", source="offline", seed=seed)
    features = audio.mfcc(clips.x_train)
    rng = np.random.default_rng(seed)
    started = time.process_time()
    versions = [
        audio.mfcc(audio.stretch(clips.x_train, rng.uniform(0.88, 1.14, len(features))))
        for _ in range(copies)
    ]
    prepared = time.process_time()
    network = models.ds_cnn(num_classes=len(clips.class_names), seed=seed)
    models.fit_keywords(
        network, features, clips.y_train, epochs=epochs, seed=seed, versions=versions
    )
    return {
        "stretching_cpu_seconds": prepared - started,
        "training_cpu_seconds": time.process_time() - prepared,
        **scores_on(network, clips, {"unseen_voices": (clips.x_test, clips.y_test)}),
    }


def human_digits(seed: int, epochs: int) -> Row:
    """Accuracy of a network of synthetic digits on synthetic and on human ones."""
    network, clips = trained("spoken_digits", seed, epochs)
    human = data.load("spoken_digits", source="full", progress=False)
    everybody = (
        np.concatenate([human.x_train, human.x_test]),
        np.concatenate([human.y_train, human.y_test]),
    )
    return scores_on(
        network, clips, {"unseen_voices": (clips.x_test, clips.y_test), "humans": everybody}
    )


def scores_on(
    network: Any, clips: data.Dataset, parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> Row:
    """Accuracy of the network, of its int8 file, and of the network on inputs that are clipped.

    An int8 file clips its inputs to the range of its representative set. Where the two differ much,
    the third figure says whether that is why.
    """
    int8 = convert.to_tflite(network, "int8", audio.mfcc(clips.x_train[:100]))
    found: Row = {}
    with open_model(int8) as runner:
        ruler = runner.contract.inputs[0]
        for name, (sounds, labels) in parts.items():
            features = audio.mfcc(sounds)
            kept = ruler.decode(ruler.encode(features))
            low, high = kept.min(), kept.max()
            answers = {
                "float32": network.predict(features, verbose=0),
                "int8": runner.predict(features),
                "float32, inputs clipped": network.predict(features.clip(low, high), verbose=0),
            }
            found[name] = {
                kind: float(np.mean(scores.argmax(axis=1) == labels))
                for kind, scores in answers.items()
            } | {
                "clips": len(labels),
                "lowest_input": float(features.min()),
                "clipped_at": float(low),
            }
    return found


def summarise(rows: list[Row]) -> Row:
    """Return what is known of each experiment that has a run."""
    found: Row = {}
    for row in rows:
        name = row["experiment"]
        if name in ("keywords", "stretched", "digits"):
            parts = ("unseen_voices", "humans") if name == "digits" else ("unseen_voices",)
            mine = [r for r in rows if r["experiment"] == name]
            found[name] = {
                part: {
                    kind: spread([r[part][kind] for r in mine])
                    for kind in KINDS
                    if all(kind in r[part] for r in mine)
                }
                for part in parts
            } | {"seeds": [r["settings"]["seed"] for r in mine]}
        else:
            stamp = ("experiment", "seconds", "cpu_seconds", "date", "command", "machine")
            found[name] = {key: value for key, value in row.items() if key not in stamp}
            found["machine"] = row["machine"]
    return found


def report(result: Row) -> str:
    """Lay the figures out as text."""
    lines = []
    for runtime, count in result.get("instructions", {}).get("vpdpbusd", {}).items():
        lines.append(f"{runtime:<12} {count:>6} x vpdpbusd")
    for key, value in result.get("delegates", {}).get("whole_network", {}).items():
        lines.append(f"{key:<32}{'one delegate runs all' if value else 'only parts delegated'}")
    for key, value in result.get("latency", {}).get("milliseconds", {}).items():
        lines.append(
            f"{key:<32}{value['median']:.4f} ms ({value['min']:.4f} to {value['max']:.4f})"
        )
    for runtime, value in result.get("latency", {}).get("int8_over_float32", {}).items():
        lines.append(
            f"{runtime:<12} int8 takes {value['median']:.2f} times float32 "
            f"({value['min']:.2f} to {value['max']:.2f})"
        )
    for key, value in result.get("agreement", {}).get("against_litert", {}).items():
        codes = "" if value["codes"] is None else f", {value['codes']} codes"
        lines.append(
            f"{key:<32}{value['largest_difference']:.1e}{codes}, {value['same_answer']:.4f}"
        )
    for name in ("keywords", "stretched", "digits"):
        for part in ("unseen_voices", "humans"):
            for kind, value in result.get(name, {}).get(part, {}).items():
                lines.append(
                    f"{name}, {part}, {kind}: {value['median']:.3f} "
                    f"({value['min']:.3f} to {value['max']:.3f})"
                )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
