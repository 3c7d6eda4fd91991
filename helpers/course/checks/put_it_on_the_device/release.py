"""What a speaker accepts, and what stopped each attacker: q7 and q8."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from helpers.course.compare import satisfies
from helpers.course.tasks import Case, FunctionTask, ValueTask

# --- q7: the gate of the speaker

_REASONS = ("", "not genuine", "other product", "old", "changed")


def _gate_reference(
    manifest: bytes,
    signature: bytes,
    public_key: bytes,
    sealed: bytes,
    product: str,
    installed: list[int],
) -> str:
    key = load_der_public_key(public_key)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    try:
        key.verify(signature, manifest, ec.ECDSA(SHA256()))
    except InvalidSignature:
        return "not genuine"
    stated = json.loads(manifest)
    if stated["product"] != product:
        return "other product"
    if stated["version"] <= list(installed):
        return "old"
    return "" if stated["sha256"] == hashlib.sha256(sealed).hexdigest() else "changed"


def _gate_cases(rng: np.random.Generator) -> list[Case]:
    """Sign real manifests with two keys: ours, and one of somebody else."""
    ours, other = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    public = ours.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    sealed, installed = rng.bytes(200), [1, 9, int(rng.integers(1, 9))]

    def case(
        label: str,
        version: list[int] | None = None,
        product: str = "speaker",
        key: ec.EllipticCurvePrivateKey = ours,
        delivered: bytes = sealed,
        swap: tuple[bytes, bytes] = (b"", b""),
    ) -> Case:
        stated = {
            "product": product,
            "version": version or [1, 10, 0],
            "sha256": hashlib.sha256(sealed).hexdigest(),
        }
        manifest = json.dumps(stated).encode()
        signature = key.sign(manifest, ec.ECDSA(SHA256()))
        return Case(
            (manifest.replace(*swap), signature, public, delivered, "speaker", installed), label
        )

    older = [1, 9, installed[2] - 1]
    spoilt = bytes([sealed[0] ^ 1]) + sealed[1:]
    garbage = (rng.bytes(40), rng.bytes(70), public, sealed, "speaker", installed)
    return [
        case("the next release: 1.10.0 comes after 1.9"),
        case("a new main version", [2, 0, 0]),
        case("a mend: the last number alone is higher", [1, 9, installed[2] + 1]),
        case("signed by somebody else", key=other),
        case("the version was raised after signing", older, swap=(b"[1, 9", b"[9, 9")),
        Case(garbage, "forty random bytes: no manifest at all, and no signature"),
        case("genuine, for another product", product="doorbell"),
        case("an older release of ours", older),
        case("the very release that is installed", installed),
        case("an older main version with large numbers behind", [0, 99, 99]),
        case("an older main version with numbers beyond a hundred", [0, 999, 999]),
        case("the manifest is ours, the model is not", delivered=spoilt),
        case("the model is cut off", delivered=sealed[:-1]),
        case("signed by somebody else, and the model fits nothing", key=other, delivered=spoilt),
        case("genuine, another product's, older", older, product="doorbell"),
        case("genuine, older, and the model fits nothing", older, delivered=spoilt),
        case("signed by somebody else, for another product", key=other, product="doorbell"),
        case("signed by somebody else, and older", older, key=other),
    ]


_LET_IN = {
    "not genuine": "the signature is not one of our key over this manifest: key.verify(signature, "
    "manifest, ec.ECDSA(hashes.SHA256()))",
    "other product": "it was made for another product, whose releases the same key signs",
    "old": "what is offered is not newer than what is installed, so a mended weakness would "
    "come back",
    "changed": "the manifest names the SHA-256 of another file: compare hashlib.sha256(sealed)"
    ".hexdigest()",
}


_REFUSED_RIGHT = {
    "not genuine": ": the signature is one over the manifest, not over the sealed file",
    "changed": ": the manifest names the hexadecimal SHA-256 of the sealed file as it is delivered",
}


def _gate_problem(args: tuple[Any, ...], got: Any) -> str | None:
    if not isinstance(got, str) or got not in _REASONS:
        return f"return one of {', '.join(map(repr, _REASONS))}"
    expected = _gate_reference(*args)
    if got == expected:
        return None
    if got == "":
        return f"this was installed, and {_LET_IN[expected]}"
    if expected == "" and got == "old":
        return (
            "refused as 'old': compare numbers in their order, all of them, as lists do; in text "
            "'10' < '9'"
        )
    if expected == "":
        return f"refused as {got!r}, and nothing is wrong with it{_REFUSED_RIGHT.get(got, '')}"
    if expected == "not genuine":
        return (
            f"refused as {got!r}, a word read from a manifest that nobody vouches for: verify first"
        )
    return f"refused as {got!r}; the first of the list that applies is another"


# --- q8: what stopped them

#: What may have stopped an attacker, by the letter that the lab asks for.
STOPS = {
    "e": "the encryption",
    "s": "the signature",
    "v": "the rule about versions",
    "n": "nothing that is in this release",
}
_STOPPED_BY = {
    "reads the update": "e",
    "changes a byte": "s",
    "signs a model of their own": "s",
    "brings the old release back": "v",
    "reads the speaker's memory": "n",
    "asks questions": "n",
}


_OR = {"changes a byte": "e"}  # the seal's own tag fails, too


def _stopped_by(seed: int, profile: str = "full") -> dict[str, str]:
    return dict(_STOPPED_BY)


def _same_letters(got: Any, expected: Any, args: tuple[Any, ...]) -> str | None:
    tidy = {str(name): str(letter).strip().lower() for name, letter in got.items()}
    if tidy.keys() != expected.keys():
        return "give one letter for each of the attackers, and for nobody else"
    strange = next((letter for letter in tidy.values() if letter not in STOPS), None)
    if strange is not None:
        return f"{strange[:20]!r} is none of the letters {', '.join(STOPS)}"
    wrong = [
        name for name, letter in expected.items()
        if tidy[name] not in (letter, _OR.get(name, letter))
    ]  # fmt: skip
    return f"think again about: {', '.join(wrong)}" if wrong else None


GATE = FunctionTask(
    "q7", "The gate of the speaker", 3, _gate_reference, _gate_cases, satisfies(_gate_problem),
    "Nothing of a manifest may be read before its signature is verified. json.loads gives the "
    "version as a list of numbers, and lists are compared item by item.",
    show_expected=False,
)  # fmt: skip
STOPPED_BY = ValueTask(
    "q8", "What stopped them", 2, _stopped_by, _same_letters,
    "A dict: each of the six attackers, and a letter. Which check, had it been missing, would have "
    "let this one through? Did reading the memory get the weights?",
    tells=True,
)  # fmt: skip
