"""``edgesec edge``: convert, run, read, measure, seal and sign a model for a device."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from helpers.cli._arrays import load_array
from helpers.errors import EdgeError

if TYPE_CHECKING:
    from helpers.edge.runtimes import Runner

_HELP = {"help_option_names": ["-h", "--help"]}
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_RUNTIMES = ("litert", "tflite", "onnxruntime", "executorch")
_model = click.argument("model", type=_FILE)
_runtime = click.option(
    "--runtime", type=click.Choice(_RUNTIMES), help="Runtime; by default the format's first."
)
_threads = click.option(
    "--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Threads of a run."
)


@click.group(name="edge", context_settings=_HELP)
def command() -> None:
    """Convert, run, read, measure, seal and sign a model for a device.

    Files are checked before they run, and run in a process of their own.
    """


@command.command()
@_model
@click.argument("target", type=_OUT)
@click.option(
    "--precision",
    type=click.Choice(["float32", "float16", "dynamic", "int8"]),
    default="float32",
    show_default=True,
    help="Of a .tflite made from Keras.",
)
@click.option("--representative", type=_FILE, help=".npy of real inputs (n, ...), for int8.")
def convert(model: Path, target: Path, precision: str, representative: Path | None) -> None:
    """Convert MODEL to TARGET; the suffixes say from what to what.

    A Keras model (.h5) becomes .tflite or .onnx; a .tflite becomes .onnx or .pte (ExecuTorch).
    Loading an .h5 can run code in it: convert only your own.
    """
    from helpers.edge import convert as converting
    from helpers.edge.artefact import Artefact

    steps = (model.suffix, target.suffix)
    if model.suffix in (".h5", ".hdf5", ".keras"):
        keras_model = _load_keras(model)
        if target.suffix == ".onnx":
            made = converting.to_onnx(keras_model)
        elif target.suffix == ".tflite":
            rows = None if representative is None else load_array(representative)
            made = converting.to_tflite(keras_model, precision, rows)  # type: ignore[arg-type]
        else:
            raise EdgeError(f"A Keras model becomes .tflite or .onnx, not {target.suffix!r}.")
    elif steps == (".tflite", ".onnx"):
        made = converting.to_onnx(Artefact.read(model))
    elif steps == (".tflite", ".pte"):
        made = converting.to_executorch(Artefact.read(model))
    else:
        raise EdgeError(f"There is no way from {model.suffix!r} to {target.suffix!r}.")
    click.echo(f"{made.save(target)}: {made.num_bytes:,} bytes")


@command.command()
@_model
def inspect(model: Path) -> None:
    """Show the contract, weights and work of a .tflite file; nothing is run."""
    from helpers.edge.artefact import contract_of
    from helpers.edge.macs import count_costs
    from helpers.edge.measure import measure_size
    from helpers.edge.reading import read_weights
    from helpers.edge.tflite.graph import read_graph

    graph = read_graph(model)
    contract, size = contract_of(graph), measure_size(model)
    for side, tensors in (("input", contract.inputs), ("output", contract.outputs)):
        for tensor in tensors:
            scale = f", scale {tensor.scale:.6g}, zero {tensor.zero_point}" if tensor.scale else ""
            click.echo(f"{side:7} {tensor.name}  {tensor.shape} {tensor.dtype}{scale}")
    click.echo(f"state   {'kept between runs' if contract.stateful else 'none'}")
    click.echo(
        f"size    {size.file_bytes:,} bytes: {size.weight_bytes:,} of constants; activations "
        f"{size.arena_bytes:,}, state {size.state_bytes:,}"
    )
    click.echo(f"work    {size.macs:,} multiply-accumulates")
    for kind, macs in count_costs(graph).by_kind().items():
        click.echo(f"          {kind:20} {macs:>14,}")
    click.echo("weights")
    for layer in read_weights(graph):
        click.echo(f"  {layer.op:20} {layer.kernel.shape!s:22} {layer.bits:>2} bits  {layer.name}")


@command.command()
@_model
@click.argument("inputs", type=_FILE)
@click.option("--out", type=_OUT, help="Write the outputs to this .npy file.")
@_runtime
@_threads
def run(model: Path, inputs: Path, out: Path | None, runtime: str | None, threads: int) -> None:
    """Run MODEL on INPUTS, a .npy array (n, ...) of real numbers."""
    import numpy as np

    from helpers._files import write_atomically

    rows = load_array(inputs)
    with _open(model, runtime, threads) as runner:
        answers = runner.predict(rows)
    answer = answers[0] if isinstance(answers, tuple) else answers
    if out is not None:
        write_atomically(out, partial(np.save, arr=answer), EdgeError)
        click.echo(f"{out}: {answer.shape} {answer.dtype}")
        return
    with np.printoptions(precision=4, suppress=True, threshold=200):
        click.echo(str(answer))


@command.command()
@_model
@_runtime
@_threads
@click.option("--repeats", type=click.IntRange(1), default=200, show_default=True, help="Runs.")
@click.option(
    "--warm-up", type=click.IntRange(0), default=20, show_default=True, help="Runs before them."
)
def measure(model: Path, runtime: str | None, threads: int, repeats: int, warm_up: int) -> None:
    """Measure latency and memory of MODEL on this machine, which is not the device."""
    from helpers.edge import measure as measuring

    with _open(model, runtime, threads) as runner:
        latency = measuring.measure_latency(runner, repeats, warm_up)
        chosen: Any = runner.runtime
    memory = measuring.measure_memory(model, chosen, threads)
    click.echo(f"latency  {latency}")
    click.echo(
        f"memory   {memory.peak_bytes / 1e6:.1f} MB for the model, on top of "
        f"{memory.runtime_bytes / 1e6:.0f} MB of runtime"
    )
    click.echo(f"file     {model.stat().st_size:,} bytes")
    if model.suffix == ".tflite":
        size = measuring.measure_size(model)
        click.echo(f"arena    {size.arena_bytes + size.state_bytes:,} bytes, planned")
        click.echo(f"work     {size.macs:,} multiply-accumulates")


@command.command()
@_model
@click.option("--device", help="One device; by default all.")
@click.option(
    "--arithmetic",
    type=click.Choice(["float32", "float16", "int8"]),
    help="Number format; by default every one that the device has figures for.",
)
@click.option("--stack", help="Software to calibrate on; by default all published.")
def estimate(model: Path, device: str | None, arithmetic: str | None, stack: str | None) -> None:
    """Estimate the latency of a .tflite on named devices, with an error bar; not a measurement."""
    from helpers.edge import devices

    work, shown, estimated = devices.work_of(model), 0, 0
    for name in [device] if device else list(devices.DEVICES):
        known = devices.DEVICES.get(name)
        formats = [arithmetic] if arithmetic or known is None else list(known.macs_per_cycle)
        for chosen in formats:
            try:
                found = devices.estimate(work, name, chosen or "int8", stack)  # type: ignore[arg-type]
            except EdgeError:
                if device:
                    raise
                continue
            click.echo(f"{name}: {found.beyond}" if found.beyond else found)
            shown += 1
            estimated += not found.beyond
    if not shown:
        raise EdgeError(f"No device has published figures for {arithmetic}, {stack}.")
    if estimated:
        click.echo("Each range holds four of five latencies like the published ones.")


@command.command()
@_model
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8"]),
    default="fp16",
    show_default=True,
    help="Precision of the engine.",
)
def tensorrt(model: Path, folder: Path, precision: str) -> None:
    """Write FOLDER with an ONNX MODEL and the script that builds its TensorRT engine."""
    from helpers.edge.artefact import Artefact
    from helpers.edge.tensorrt import write_build_script

    script = write_build_script(Artefact.read(model), folder, precision)  # type: ignore[arg-type]
    click.echo(f"Copy {folder} to the NVIDIA device and run {script.name} there.")


@command.command("install")
@click.argument("runtime", type=click.Choice(["executorch"]))
def install_runtime(runtime: str) -> None:
    """Install RUNTIME into an environment of its own: 1.5 GB with PyTorch's CPU build.

    pip decides which build of PyTorch it finds; its own settings (PIP_EXTRA_INDEX_URL,
    PIP_FIND_LINKS) apply.
    """
    from helpers.edge.runtimes.executorch_install import install

    click.echo(f"{runtime} is in {install()}.")


@command.command()
@click.argument("path", type=_OUT)
def secret(path: Path) -> None:
    """Write a fresh secret to PATH, for seal and open."""
    from helpers.edge.sealing import new_secret

    click.echo(f"{new_secret(path)}: 32 random bytes. Who has it can open what it seals.")


_secret = click.option(
    "--secret", "secret_file", type=_FILE, required=True, help="File that `secret` wrote."
)
_name = click.option("--name", required=True, help="What the file is, and for whom.")


@command.command()
@_model
@click.argument("target", type=_OUT)
@_secret
@_name
def seal(model: Path, target: Path, secret_file: Path, name: str) -> None:
    """Encrypt and authenticate MODEL as TARGET, and say what that buys."""
    from helpers.edge import sealing

    sealed = sealing.seal(model.read_bytes(), sealing.read_secret(secret_file), name)
    sealing.write_sealed(target, sealed)
    click.echo(f"{target}: {len(sealed):,} bytes. Does it hold against someone who")
    for line in sealing.PROTECTION:
        click.echo(f"  {line.holds:6} {line.attacker}\n         {line.why}")


@command.command("open")
@click.argument("sealed", type=_FILE)
@click.argument("target", type=_OUT)
@_secret
@_name
def open_command(sealed: Path, target: Path, secret_file: Path, name: str) -> None:
    """Decrypt SEALED to TARGET, if nobody has changed it."""
    from helpers.edge import sealing

    model = sealing.open_sealed(sealed.read_bytes(), sealing.read_secret(secret_file), name)
    sealing.write_sealed(target, model)
    click.echo(f"{target}: {len(model):,} bytes")


@command.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option("--name", default="signing", show_default=True, help="Start of the file names.")
def keys(folder: Path, name: str) -> None:
    """Make a key pair in FOLDER, for sign and verify."""
    from helpers.edge.signing import new_keys

    pair = new_keys(folder, name)
    click.echo(f"{pair.private} stays with you; {pair.public} goes to who verifies.")


_signed = click.argument("model", type=click.Path(exists=True, path_type=Path))
_signature = click.option("--signature", type=_OUT, help="Signature; by default MODEL.sig.")


@command.command()
@_signed
@click.option("--key", type=_FILE, required=True, help="Private key that `keys` wrote.")
@_signature
def sign(model: Path, key: Path, signature: Path | None) -> None:
    """Sign MODEL, a file or a folder, in the format of OpenSSF model-signing."""
    from helpers.edge import signing

    click.echo(str(signing.sign(model, key, signature)))


@command.command()
@_signed
@click.option("--key", type=_FILE, required=True, help="The signer's public key.")
@_signature
def verify(model: Path, key: Path, signature: Path | None) -> None:
    """Check that MODEL is unchanged since the holder of the key signed it."""
    from helpers.edge import signing

    signing.verify(model, key, signature)
    click.echo(f"{model} is as it was signed.")


def _open(model: Path, runtime: str | None, threads: int) -> Runner:
    from helpers.edge.runtimes import open_model

    return open_model(model, runtime, threads=threads)  # type: ignore[arg-type]


def _load_keras(path: Path) -> Any:
    import tensorflow as tf

    try:
        return tf.keras.models.load_model(path, compile=False)
    except (ValueError, OSError) as error:
        raise EdgeError(f"{path} is no Keras model: {error}") from error
