"""What the options of ``edgesec audit`` mean, each checked before any work is done."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import AuditError

if TYPE_CHECKING:
    from helpers.audit.bench import Bench, Settings
    from helpers.audit.model import UntrustedModel


def settings_of(options: dict[str, Any]) -> Settings:
    """Return how the audit is to be done."""
    from helpers.audit.bench import Settings
    from helpers.cli.assess import fraction
    from helpers.edge.devices import DEVICES
    from helpers.edge.signing import require_public_key

    unknown = set(options["devices"]) - set(DEVICES)
    if unknown:
        raise AuditError(f"device {sorted(unknown)[0]!r} is not known: choose one of "
                         f"{', '.join(DEVICES)}.")  # fmt: skip
    if options["public_key"] is not None:
        require_public_key(options["public_key"])
    return Settings(
        options["seed"], fraction(options["epsilon"]), options["images"], options["queries"],
        options["devices"], options["public_key"], options["signature"], options["answers"] or "",
        _mark(options),
    )  # fmt: skip


def opening_of(budget: float, options: dict[str, Any]) -> Callable[[Path], UntrustedModel]:
    """Return what opens a file in a sandbox of its own."""
    from helpers.audit.cage import Budget
    from helpers.audit.model import open_untrusted

    # A file that hangs holds up a short audit by one answer of a minute, a long one by two.
    usual = Budget()
    seconds = min(usual.seconds, max(60.0, budget))
    allowed = Budget(seconds, max(usual.total_seconds, 2 * budget))
    shape = _sizes(options["input_shape"])
    return partial(open_untrusted, input_shape=shape, budget=allowed, unsafe=options["unsafe"])


def bench_of(
    stack: ExitStack,
    model: Path,
    opened: UntrustedModel,
    settings: Settings,
    opening: Callable[[Path], UntrustedModel],
    options: dict[str, Any],
) -> Bench:
    """Open the other files in sandboxes and check the data, before any work is done."""
    from helpers.audit.answers import NO_CLASSES
    from helpers.audit.bench import Bench
    from helpers.audit.data import load_data

    if options["float_model"] is not None:
        opened.attach_float(opening(options["float_model"]))
    innocents = tuple(stack.enter_context(opening(path)) for path in options["innocents"])
    source, stated, data, no_answers = options["source"], settings.answers, None, ""
    if opened.task.kind != "classifier":
        no_answers = f"the answers cannot be judged: {opened.task.reason}"
    elif stated in NO_CLASSES:
        no_answers = f"its answers were stated to be {NO_CLASSES[stated]}: no class is right"
    elif source is not None:
        given = opened.contract.inputs[0].stated
        offset = options["label_offset"]
        data = load_data(source, given, opened.task.classes, _span(options["span"]), offset)
    return Bench(model, opened, data, settings, innocents, no_answers)


def _mark(options: dict[str, Any]) -> Any:
    """Return the mark in the weights to look for, or None; the key's file is read here."""
    from helpers.audit.bench import WeightMark
    from helpers.watermark.key import SECRET_BYTES, Key

    path, layer = options["mark_key"], options["mark_layer"]
    if path is None and layer is None:
        return None
    if path is None or layer is None:
        raise AuditError(
            "--mark-key and --mark-layer come together: the secret, and where to look."
        )
    with path.open("rb") as file:
        content = file.read(4 * SECRET_BYTES)
    if len(content) != SECRET_BYTES:
        try:
            content = bytes.fromhex(content.decode("ascii"))
        except ValueError:
            content = b""
    if len(content) != SECRET_BYTES:
        raise AuditError(
            f"--mark-key {path} is no key: it takes {SECRET_BYTES} bytes as they are, or as "
            f"{2 * SECRET_BYTES} hexadecimal digits."
        )
    return WeightMark(Key(content), layer, options["mark_bits"])


def _sizes(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        sizes = tuple(int(size) for size in text.split(","))
        if min(sizes) >= 1:
            return sizes
    except ValueError:
        pass
    raise AuditError(
        f"--input-shape {text!r} must be whole numbers from 1, without the batch, such as "
        "224,224,3."
    )


def _span(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    try:
        low, high = (float(end) for end in text.split(","))
        if low < high < float("inf") and low > -float("inf"):
            return low, high
    except ValueError:
        pass
    raise AuditError(f"--range {text!r} must be two numbers, the smaller first, such as 0,1.")
