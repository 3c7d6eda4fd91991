# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Deploy it for real
#
# *About two hours. Two CPU cores, no accelerator, no network. Eleven processes, real sockets,
# real certificates.*
#
# You will run a consortium of four hospitals: found its certificate authority, start a server and
# four nodes as processes of their own, decide who gets in and what counts, and then kill them one
# after another and show that no update was counted twice. At the end you attack it, from outside
# and as a member. You keep a deployment report with its evidence, and the run-book that you would
# want in the drawer on the night a hospital is broken into.
#
# You need Python, and the idea of a public and a private key. The chapter
# [Secure transport](../chapters/secure-transport.md) tells the story behind this lab; you can read
# it before or after.
#
# Each exercise asks for one short function. Replace `raise NotImplementedError`, run the cell,
# then run the check below it. **Nothing here is a dead end**: until your function passes, the
# notebook goes on with the course's own.

# %% tags=["parameters"]
profile = "full"  # "fast" is for tests: the same path, fewer rounds and fewer kills
seed = 0  # another seed deals the patients out differently and kills at other moments

# %%
import base64
import io
import json
import os
import shutil
import socket
import struct
import tempfile
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import psutil
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_ssh_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID
from tqdm import tqdm

from helpers import plots
from helpers.course import Lab
from helpers.course.checks.deploy_it_for_real import LAYERS
from helpers.federated import checkpoint, weighted_average
from helpers.federated.deployment import CertificateAuthority, Consortium, Settings, train_locally
from helpers.federated.deployment.founding import plan
from helpers.federated.deployment.lies import APP, BACKWARDS, plan_lies
from helpers.federated.deployment.numpy_training import accuracy
from helpers.federated.deployment.probes import knock
from helpers.federated.deployment.scratch import SweptFolder
from helpers.federated.robust import coordinate_median

lab = Lab("deploy-it-for-real", seed=seed, profile=profile)
plots.use_style()
pd.set_option("display.max_colwidth", 90)

# %% [markdown]
# ## The brief
#
# Four hospitals want to train a model that tells malignant breast tumours from benign ones, each on
# its own patients. A simulation on one laptop has shown that it works. Now it has to run: every
# hospital a machine of its own, a server that all of them can reach, and you are its **operator**.
#
# **What is at stake.** Whoever can slip updates in decides what the model learns. Whoever can stop
# the server stops four hospitals. And a model that silently counted an update twice is wrong in a
# way that no accuracy figure shows.
#
# **Who might attack.** Anyone who can reach the server's port. A thief with a hospital's old
# laptop. And a member: one hospital's machine may be broken into while its keys are in order. What
# we do not defend against here: someone who owns the server.
#
# **What is accepted.**
#
# 1. Nobody gets a word to the training software without a certificate of the consortium that is in
#    force and meant for a client.
# 2. Each update counts at most once, and only in the attempt at the round for which it was made.
#    Proof: the weights can be recomputed from the records, to within 0.00002.
# 3. A hospital that dies, hangs or is cut off stops nobody: every round ends within half a minute.
#    A server that dies loses no round that was saved whole.
# 4. Nothing but the front door listens beyond the server's own machine.
#
# And a run-book for a hospital that has been broken into.

# %%
HOSPITALS = 4
DEADLINE = {"fast": 6.0, "full": 10.0}[profile]  # seconds that a round waits for answers
QUORUM = 2  # fewest answers with which a round goes on
TOLERANCE = 2e-5
LONGEST_ROUND = 30.0  # seconds
SECONDS = 300.0  # patience of this notebook; nothing here takes as long

# %% [markdown]
# ## Your prediction
#
# Commit before you measure. Nobody marks a prediction.
#
# **First.** The server is killed in the middle of a round: three of four updates have arrived. It
# is started again. What becomes of these three?

# %%
lab.predict(
    "server killed",
    # BEGIN SOLUTION
    "b",
    # END SOLUTION
    options={
        "a": "they are counted after the restart; only the fourth is asked again",
        "b": "they are lost: all four are asked again",
        "c": "they are counted twice, unless someone cleans up by hand",
    },
)

# %% [markdown]
# **Second.** A member's machine is broken into. Its certificate is in force, its signature genuine,
# its update has the right shape and holds ordinary numbers. They point the wrong way. What stops
# it?

# %%
lab.predict(
    "the lie in order",
    # BEGIN SOLUTION
    "c",
    # END SOLUTION
    options={
        "a": "mutual TLS with short-lived certificates",
        "b": "the signature over the update, with its check on arrival",
        "c": "nothing that can be checked about one update",
    },
)

# %% [markdown]
# ## Found it
#
# Founding writes one folder a host: what that host gets, and nothing else. The folder of the
# **certificate authority (CA)** goes to nobody. Its key signs new members, so it stays offline.

# %%
if earlier := globals().get("consortium"):  # this cell was run before
    earlier.stop()
office = SweptFolder("consortium-")  # goes when the notebook ends, even if it is killed
consortium = Consortium(
    Path(office.name) / "consortium",
    clients=HOSPITALS,
    rounds={"fast": 3, "full": 6}[profile],
    deadline=DEADLINE,
    quorum=QUORUM,
    seed=seed,
)
layout = consortium.layout

pd.DataFrame(
    {
        folder.name: {
            "private keys": ", ".join(sorted(p.name for p in folder.glob("*.key"))),
            "other files": ", ".join(
                sorted(p.name for p in folder.iterdir() if p.suffix != ".key")
            ),
        }
        for folder in [layout.ca, layout.server, layout.hospital("hospital-1")]
    }
).T.rename_axis("folder")

# %% [markdown]
# A hospital has two keys. `tls.key` belongs to its certificate and opens the front door. `node.key`
# signs its updates. The server knows the public half of each, and no private key lies in two
# places.
#
# Here is a certificate, the one of hospital 1, as far as it matters:


# %%
def read_certificate(path):
    """A certificate, from the text form (PEM) in which it is stored."""
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


certificate = read_certificate(layout.hospital("hospital-1") / "tls.pem")
purposes = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
print("names          ", certificate.subject.rfc4514_string())
print("signed by      ", certificate.issuer.rfc4514_string())
print("in force       ", certificate.not_valid_before_utc, "to", certificate.not_valid_after_utc)
print("for            ", ", ".join(purpose._name for purpose in purposes))
print("serial number  ", certificate.serial_number)

# %% [markdown]
# ### Exercise 1: let in or not
#
# In **mutual TLS** the server shows a certificate, as on the web, and so does the client. The
# library that runs the handshake asks of it what you will ask now. Return the first that applies:
#
# 1. `"other authority"`: the root's key did not sign it. The method `verify_directly_issued_by` of
#    a certificate takes the issuer's; it raises `InvalidSignature`, `ValueError` or `TypeError`
#    then. Do not look at names: anyone can found an authority and call it *consortium root*.
# 2. `"not in force"`: `now` is before `not_valid_before_utc` or after `not_valid_after_utc`.
# 3. `"wrong purpose"`: its purposes do not hold `PURPOSES[purpose]`. Without this check a hospital
#    could pass itself off as the server.
# 4. `"revoked"`: its serial number is on the list that the authority has published.
#
# Else return `""`: let it in. Certificates come as bytes (DER), as they do in a handshake.

# %%
PURPOSES = {"client": ExtendedKeyUsageOID.CLIENT_AUTH, "server": ExtendedKeyUsageOID.SERVER_AUTH}


@lab.task("q1")
def refusal(certificate, root, purpose, now, revoked):
    """Why a certificate is refused, or "" if it is let in.

    certificate, root: bytes. purpose: "client" or "server". now: seconds, as .timestamp() gives
    them. revoked: a list of serial numbers.
    """
    shown = x509.load_der_x509_certificate(certificate)
    ours = x509.load_der_x509_certificate(root)
    # BEGIN SOLUTION
    try:
        shown.verify_directly_issued_by(ours)
    except (InvalidSignature, ValueError, TypeError):
        return "other authority"
    begins, ends = shown.not_valid_before_utc, shown.not_valid_after_utc
    if not begins.timestamp() <= now <= ends.timestamp():
        return "not in force"
    allowed = shown.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    if PURPOSES[purpose] not in allowed:
        return "wrong purpose"
    return "revoked" if shown.serial_number in revoked else ""
    # END SOLUTION


# %%
lab.check("q1")

# %% [markdown]
# Try it on real ones. The thief of a laptop has a certificate that ended; a rogue has founded a CA
# of the same name. We keep theirs for later.

# %%
authority = CertificateAuthority.open(layout.ca)
loot = Path(tempfile.mkdtemp(dir=office.name))
rogue = CertificateAuthority.create(loot / "rogue-ca")
rogue.issue("hospital-1", "client", loot / "rogue authority")
authority.issue("hospital-1", "client", loot / "expired", days=-1)
authority.issue("hospital-1", "server", loot / "a server's certificate")
authority.issue("hospital-9", "client", loot / "not a member")

revoked = [int(line.serial, 16) for line in authority.issued() if line.revoked_at]
root = read_certificate(authority.root_path).public_bytes(Encoding.DER)
pd.DataFrame(
    {
        folder.name: {
            "says it is": read_certificate(folder / "tls.pem").subject.rfc4514_string(),
            "signed by": read_certificate(folder / "tls.pem").issuer.rfc4514_string(),
            "your verdict": refusal(
                read_certificate(folder / "tls.pem").public_bytes(Encoding.DER),
                root,
                "client",
                time.time(),
                revoked,
            )
            or "let in",
        }
        for folder in [layout.hospital("hospital-1"), *sorted(loot.iterdir())]
        if (folder / "tls.pem").exists()
    }
).T

# %% [markdown]
# *hospital-9* is let in: the authority did sign it. Whether it takes part is another question, and
# another layer has to ask it.
#
# ### Exercise 2: the bytes to sign
#
# TLS protects an update between two machines. It does not say *which* update it is: one that was
# recorded in round 3 is still well encrypted when it is sent again in round 9. So the hospital
# signs each update together with what it is for: the run, the round, its own name, and a
# **challenge**, random bytes that the server draws anew for each attempt at a round.
#
# A signature covers bytes, so the parts have to become one string of bytes. The obvious way is to
# join them, and it is wrong:

# %%
print(f"run {1}, round {12}: {str(1) + str(12)!r}     run {11}, round {2}: {str(11) + str(2)!r}")

# %% [markdown]
# Two different updates, one string, and so one signature that is good for both. A separator does
# not help if a part may contain it, and a name or a challenge may contain anything.
#
# Write the parts so that **different updates always give different bytes**. Any way that does is
# right; the same update must give the same bytes each time. `struct.pack("<Q", number)` makes eight
# bytes of a number, however large. Numbers are below 2 to the 64th; a name, a challenge and a
# payload may be of any length.


# %%
@lab.task("q2")
def bytes_to_sign(run, round_number, node, challenge, payload):
    """What a hospital signs. run, round_number: int; node: str; challenge, payload: bytes."""
    # BEGIN SOLUTION
    encoded = struct.pack("<QQ", run, round_number)
    for part in (node.encode(), challenge, payload):
        encoded += struct.pack("<Q", len(part)) + part
    return encoded
    # END SOLUTION


# %%
lab.check("q2")

# %% [markdown]
# Sign an update with the real key of hospital 1, then have a wiretapper change one thing at a time.
# The server verifies with the public half.

# %%


def read_node_key(name):
    """A hospital's signing key, from its folder."""
    return load_ssh_private_key((layout.hospital(name) / "node.key").read_bytes(), None)


node_key = read_node_key("hospital-1")


def sign(update):
    """Hospital 1's signature over an update."""
    return node_key.sign(bytes_to_sign(**update), ec.ECDSA(hashes.SHA256()))


def is_genuine(signature, update):
    """Whether a signature is hospital 1's over exactly this update."""
    try:
        node_key.public_key().verify(signature, bytes_to_sign(**update), ec.ECDSA(hashes.SHA256()))
    except InvalidSignature:
        return False
    return True


values = np.array([0.25, -1.5], np.float32)
sent = {
    "run": 7,
    "round_number": 3,
    "node": "hospital-1",
    "challenge": os.urandom(32),
    "payload": values.tobytes(),
}
signature = sign(sent)


changes: dict[str, dict] = {
    "as it was sent": {},
    "another round": {"round_number": 9},
    "another run": {"run": 8},
    "in another's name": {"node": "hospital-2"},
    "the challenge of a later attempt": {"challenge": os.urandom(32)},
    "other values": {"payload": (-values).tobytes()},
}
for name, change in changes.items():
    print(f"{name:<34} genuine: {is_genuine(signature, {**sent, **change})}")

# %% [markdown]
# Why a signature and not a **MAC**, a code with a key that both sides share? Because whoever can
# verify a MAC can make one. With signatures the server can show later that an update came from
# hospital 1, and could not have made it up.
#
# ### Exercise 3: the gate
#
# A genuine signature says who sent what, not that it is any good. The **gate** stands before the
# average. It gets what arrived in one round, in order, signatures already verified, and gives each
# update a reason not to count it, or `""`. The first of these that applies:
#
# | reason | when |
# |---|---|
# | `"stranger"` | `sender` is not among `members` |
# | `"duplicate"` | an update of this sender has already been **counted** in this round |
# | `"wrong ticket"` | `run`, `round` or `challenge` is not the ticket's |
# | `"wrong count"` | `examples` is not what this member joined with |
# | `"wrong size"` | `values` has another shape than `(size,)` |
# | `"not finite"` | `values` holds NaN or infinity |
#
# The weight of an update is its number of examples. A hospital that could claim a number with each
# update could outvote the others; so it declares the number once, when it joins.


# %%
@lab.task("q3")
def gate(arrivals, ticket, members, size):
    """A list with one reason for each update in arrivals; "" counts it.

    arrivals: dicts with "sender", "run", "round", "challenge", "examples" and "values" (array).
    ticket: dict with "run", "round", "challenge". members: name -> number of examples.
    """
    # BEGIN SOLUTION
    reasons, counted = [], set()
    for update in arrivals:
        sender, reason = update["sender"], ""
        if sender not in members:
            reason = "stranger"
        elif sender in counted:
            reason = "duplicate"
        elif any(update[part] != ticket[part] for part in ("run", "round", "challenge")):
            reason = "wrong ticket"
        elif update["examples"] != members[sender]:
            reason = "wrong count"
        elif update["values"].shape != (size,):
            reason = "wrong size"
        elif not np.isfinite(update["values"]).all():
            reason = "not finite"
        else:
            counted.add(sender)
        reasons.append(reason)
    return reasons
    # END SOLUTION


# %%
lab.check("q3")

# %% [markdown]
# Could a gate do without the challenge, since the round is in the ticket already? Rehearse the
# night on which it matters. The server is killed in round 5 and repeats it. Hospital 2's first
# answer was on its way, and now there are two of them for round 5. Each was signed for what it was
# made for:

# %%
challenges = {"first attempt": os.urandom(32), "second attempt": os.urandom(32)}
ticket = {"run": 7, "round": 5, "challenge": challenges["second attempt"]}
arrivals = [
    {
        "sender": "hospital-2",
        "run": 7,
        "round": 5,
        "challenge": challenges[attempt],
        "examples": 114,
        "values": np.ones(3, np.float32),
    }
    for attempt in ("first attempt", "second attempt", "second attempt")
]
print(gate(arrivals, ticket, {"hospital-2": 114}, 3))

# %% [markdown]
# ### Exercise 4: wait, go on, or repeat
#
# Three of four hospitals have answered. How long do you wait for the fourth? For ever, and one
# broken machine stops everybody. Not at all, and a hospital behind a slow line is never heard, and
# its patients with it. So a round has a **deadline** and a **quorum**:
#
# - everybody who was asked has answered in time: `"go"`;
# - else, before the deadline: `"wait"`;
# - else `"go"` with at least `quorum` answers, and `"repeat"` the round with fewer.
#
# An answer in time came at the deadline or before.


# %%
@lab.task("q4")
def decide(came_at, asked, quorum, deadline, now):
    """Return "wait", "go" or "repeat".

    came_at: when each good answer came, up to now; all times in seconds since the round began.
    """
    # BEGIN SOLUTION
    in_time = sum(moment <= deadline for moment in came_at)
    if in_time == asked:
        return "go"
    if now < deadline:
        return "wait"
    return "go" if in_time >= quorum else "repeat"
    # END SOLUTION


# %%
lab.check("q4")

# %%
moments = [1.0, 3.0, DEADLINE]
for dead, came_at in {"one": [0.3, 0.3, 0.4], "three": [0.3]}.items():
    answers = [decide(came_at, HOSPITALS, QUORUM, DEADLINE, now) for now in moments]
    print(f"{dead} of four dead, after {moments} s: {answers}")

# %% [markdown]
# ## Start it
#
# Now the same rules as processes. They are [Flower](https://flower.ai)'s: a **SuperLink** that
# passes messages on, a **ServerApp** that runs the rounds, and at each hospital a **SuperNode**
# with a **ClientApp**. Flower's server asks no client for a certificate, so a **gateway** of the
# course's own stands in front of it and does the mutual TLS. This starts all of them on this
# machine, looks at them while they train, and waits for the first rounds; give it half a minute.


# %%
def processes():
    """Each process that is running: its memory, and where it listens."""
    sockets = [c for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    rows = []
    for name in ("superlink", "gateway", "serverapp", *consortium.hospitals):
        for pid in consortium.pids(name):
            where = sorted({f"{c.laddr.ip}:{c.laddr.port}" for c in sockets if c.pid == pid})
            megabytes = psutil.Process(pid).memory_info().rss / 1e6
            rows.append(
                {"process": name, "pid": pid, "MB": round(megabytes), "listens": " ".join(where)}
            )
    return pd.DataFrame(rows).set_index("process")


consortium.start()
consortium.wait_for("round started", SECONDS)
started = processes()
consortium.wait(SECONDS)
started

# %% [markdown]
# Each hospital is two processes, its SuperNode and its ClientApp. Everything listens on 127.0.0.1,
# the machine itself (`::ffff:127.0.0.1` is the same, written for IPv6). On real hosts
# the gateway alone would listen to the world, and `consortium.commands()` prints what to copy
# where.

# %%
print(consortium.status())

# %% [markdown]
# The ServerApp ends with its last round; the others stay and wait for the next. What the server
# wrote down is a log of events, one line each, which a kill cannot tear:

# %%
for line in consortium.events()[:7]:
    print(line)

# %% [markdown]
# This is how we shall look at rounds from here on. *Counted* are hospitals by their number.


# %%
def show_rounds(first):
    """The rounds from one on: who was counted, who was not and why, how long it took."""
    refused = {}
    for line in consortium.rejections():
        refused.setdefault(line["round"], []).append(f"{line['node']}: {line['reason']}")
    rows = {
        record.round: {
            "counted": " ".join(str(client + 1) for client in record.clients),
            "not counted": "; ".join(refused.get(record.round, [])),
            "seconds": round(record.seconds, 1),
            "test accuracy": round(record.test_accuracy, 3),
        }
        for record in consortium.history().records[first - 1 :]
    }
    return pd.DataFrame(rows).T.rename_axis("round")


incidents: list[dict] = []


def note(what):
    """Keep what you did for the report."""
    incidents.append({"time": round(time.time(), 3), "what": what})


show_rounds(1)

# %% [markdown]
# ## Kill things
#
# ### A hospital dies in mid-round
#
# A kill takes effect at once (SIGKILL); the process cannot say goodbye. To be sure that it falls
# into the middle of a round we freeze hospital 2 first, let the server ask it, and then kill it.
# What did your `decide` say about three answers out of four?

# %%
number = consortium.round_number + 1
consortium.pause("hospital-2")
consortium.prolong(number)  # train up to this round
consortium.wait_for("round started", SECONDS, round=number)
consortium.kill("hospital-2")
note("hospital 2 killed")
consortium.wait(SECONDS)
consortium.restart("hospital-2")
consortium.wait_for_hospital("hospital-2", SECONDS)
show_rounds(number)

# %% [markdown]
# The round waited until its deadline and went on with the others. Nobody had to do anything. The
# last line but one waits until hospital 2 has signed on again: the server takes a node for online
# until it says goodbye or its heartbeat is overdue, and would ask the dead one once more.
#
# ### A hospital is slow
#
# Worse than dead is slow: hospital 3 hangs until its round is over, comes back, and delivers the
# answer that nobody waits for any more.

# %%
number = consortium.round_number + 1
consortium.pause("hospital-3")
note("hospital 3 hung")
consortium.prolong(number + 1)
consortium.wait_for("update rejected", SECONDS, round=number, node="hospital-3")
consortium.resume("hospital-3")
consortium.wait(SECONDS)
show_rounds(number)

# %% [markdown]
# Look for `late`: the answer did come, in a later round, and was thrown away. (If this
# machine is very busy it comes after the run has ended, and you do not see it.) Counting it would
# be wrong: it was computed from a model that is no longer the current one, and hospital 3 has
# answered the next round too.
#
# ### The server dies, and its disk with it
#
# Keep a round open with a frozen hospital, wait until the updates of the others are there, and kill
# all three processes of the server at once. And since a power cut seldom comes alone, tear the
# newest checkpoint in half.


# %%
def admitted(number):
    """The hospitals whose updates the gate let through in a round, over all its attempts."""
    return [
        line["node"] for line in consortium.events("update admitted") if line["round"] == number
    ]


number = open_round = consortium.round_number + 1
consortium.pause("hospital-4")
consortium.prolong(number + 2)
consortium.wait_for("round started", SECONDS, round=number)
until = time.monotonic() + DEADLINE / 2  # on a busy machine perhaps not all three
while len(admitted(number)) < HOSPITALS - 1 and time.monotonic() < until:
    time.sleep(0.05)
consortium.kill("server")
note("server killed")
consortium.resume("hospital-4")
newest = max(layout.checkpoints.glob("round-*.npz"))
newest.write_bytes(newest.read_bytes()[: newest.stat().st_size // 2])
print(f"round {open_round}, updates that were there:", ", ".join(sorted(admitted(open_round))))
print(consortium.status())

# %% [markdown]
# ### Exercise 5: where to resume
#
# After each round the server writes a checkpoint: the weights, and a note with the number of rounds
# done, the task's fingerprint and the SHA-256 hash of the weights. It keeps the newest two. A
# checkpoint is usable if it is of this `task` and the hash `found` is the one `promised`. Return
# the number of the round to start with; without a usable checkpoint the training begins anew.


# %%
@lab.task("q5")
def first_round(checkpoints, task):
    """The round with which to go on.

    checkpoints: dicts with "rounds_done", "task", "promised" and "found", in any order; there may
    be none.
    """
    # BEGIN SOLUTION
    done = [
        point["rounds_done"]
        for point in checkpoints
        if point["task"] == task and point["promised"] == point["found"]
    ]
    return max(done, default=0) + 1
    # END SOLUTION


# %%
lab.check("q5")


# %%
def examine(path):
    """One checkpoint on the disk, as exercise 5 takes it."""
    content = json.loads(path.read_text())
    try:
        with np.load(path.with_suffix(".npz")) as archive:
            found = checkpoint.hashes([archive[f"a{i}"] for i in range(len(archive.files))])
    except Exception as error:  # a torn archive raises many things
        found = f"{type(error).__name__}"
    return {
        "rounds_done": len(content["records"]),
        "task": content["fingerprint"]["initial weights"],
        "promised": content["arrays"],
        "found": found,
    }


on_disk = [examine(path) for path in sorted(layout.checkpoints.glob("round-*.json"))]
yours = first_round(on_disk, on_disk[0]["task"])
pd.DataFrame(on_disk).map(lambda value: value[:12] if isinstance(value, str) else value)

# %%
consortium.restart("server")
consortium.wait(SECONDS, tend=True)
theirs = consortium.events("run started")[-1]["first_round"]
print(f"you would resume with round {yours}; the server did with round {theirs}")
print(f"round {open_round}, updates in both attempts:", ", ".join(sorted(admitted(open_round))))
show_rounds(theirs)

# %% [markdown]
# The torn checkpoint cost the round that it held, and no other. The updates of the open round that
# had arrived are gone: they carried the challenge of an attempt that no longer exists. These
# hospitals were asked again, which is why the log names them twice for that round, and each counts
# once. Was your first prediction right?
#
# ### A bad night
#
# So far we chose the moments. Now let chance choose. A **supervisor** restarts what dies, as
# systemd or Kubernetes would (`tend=True`).

# %%
rng = np.random.default_rng([seed, 1])
victims = rng.permutation(["superlink", "gateway", "hospital-1"])[: {"fast": 1, "full": 3}[profile]]
first = consortium.round_number + 1
for victim in tqdm(victims, desc="kills", leave=False):
    number = consortium.round_number + 1
    consortium.prolong(number + 3)
    consortium.wait_for("round started", SECONDS, round=number)
    time.sleep(rng.uniform(0, 1))
    consortium.kill(str(victim))
    note(f"{victim} killed".replace("-", " "))
    consortium.wait(SECONDS, tend=True)
print("killed:", ", ".join(victims))
show_rounds(first)

# %% [markdown]
# Nobody was there to help. A hospital or the gateway that dies costs the open round some seconds,
# until it is back or the deadline is over. The SuperLink takes the ServerApp with it: that round
# began anew after the restart, its clock with it, and the table does not show the gap.
#
# ### Exercise 6: what stands
#
# Did any of this count an update twice? The log alone does not say so at a glance: after the torn
# checkpoint it holds one round twice. Only one of the two is in the model.
#
# Read the log in order; each line is a dict as printed above, and its `event` says what happened.
# `run started` says with which round a run begins (`first_round`): whatever was done from that
# round on is no longer part of the model. `round done` says which `clients` were counted in a
# `round`. Other events do not matter. Return what stands at the end.


# %%
@lab.task("q6")
def standing(events):
    """The clients counted in each round that is part of the model: {round: [clients]}."""
    # BEGIN SOLUTION
    counted = {}
    for line in events:
        if line["event"] == "run started":
            counted = {n: who for n, who in counted.items() if n < line["first_round"]}
        elif line["event"] == "round done":
            counted[line["round"]] = line["clients"]
    return counted
    # END SOLUTION


# %%
lab.check("q6")


# %%
def audit():
    """Hold the log against the records in the checkpoint."""
    log = consortium.events("round done")
    stands = {number: list(who) for number, who in standing(consortium.events()).items()}
    records = {record.round: list(record.clients) for record in consortium.history().records}
    numbers = [line["round"] for line in log]
    return {
        "rounds in the log": len(log),
        "of them done more than once": sorted({n for n in numbers if numbers.count(n) > 1}),
        "rounds that stand": len(stands),
        "they are those of the checkpoint": stands == records,
        "a hospital twice in a round": any(len(who) > len(set(who)) for who in stands.values()),
    }


pd.Series(audit(), dtype=object).to_frame("")

# %% [markdown]
# ### The proof
#
# A log can be wrong. The weights cannot: they are what they are. Training is deterministic given
# who took part in which round, so compute it again, here, without network or processes: start with
# the same weights, train the hospitals that were counted, average, and go on. If any update had
# been counted twice, late, or in another round, the weights would differ.
#
# A test that never fails proves nothing. So do it once more with one update too many.

# %%
patients, task = plan(Settings(clients=HOSPITALS, seed=seed))


def recompute(records, twice=None):
    """The weights that the records should give. twice: (round, client) to count twice."""
    weights = list(task.initial_weights)
    for record in records:
        counted = [*record.clients, *([twice[1]] if twice and twice[0] == record.round else [])]
        trained = [
            train_locally(weights, patients.clients[c], task.local, seed, record.round, c).weights
            for c in counted
        ]
        weights = weighted_average(trained, [task.num_examples[c] for c in counted])
    return weights


def difference(history, **change):
    """The largest difference between a deployment's weights and the recomputed ones."""
    again = recompute(history.records, **change)
    return max(float(np.abs(a - b).max()) for a, b in zip(history.weights, again))


history = consortium.history()
last = history.records[-1]
proof = {
    "as recorded": difference(history),
    "hospital 1 twice in the last round": difference(history, twice=(last.round, 0)),
    "hospital 1 twice in round 1": difference(history, twice=(1, 0)),
}
for name, value in proof.items():
    print(f"{name:<36} differs by {value:.1e}; within {TOLERANCE:g}: {value <= TOLERANCE}")

# %% [markdown]
# The first line is rounding. The others are not: a single update counted twice is visible, even
# many rounds later.
#
# ## Attack it
#
# ### From outside
#
# You are on the network and can reach the gateway's port. You have what you took along in
# exercise 1. `knock` opens a connection with the certificate in a folder and asks for work.


# %%
def plain_text():
    """Speak HTTP instead of TLS."""
    host, port = consortium.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as raw:
        raw.sendall(b"POST /flwr.proto.Fleet/PullMessages HTTP/1.1\r\n\r\n")
        return f"hung up after {len(raw.recv(4096))} bytes"


def knocking(folder=None, node_key=None):
    """Knock with what is in a folder."""
    return lambda: knock(consortium.address, layout.ca / "root.pem", folder, node_key)


members = layout.server / "members"
outside = {
    "plain text": plain_text,
    "no certificate": knocking(),
    "rogue authority": knocking(loot / "rogue authority"),
    "expired": knocking(loot / "expired"),
    "a server's certificate": knocking(loot / "a server's certificate"),
    "not a member": knocking(loot / "not a member", members / "hospital-2.pem"),
    "another's node key": knocking(layout.hospital("hospital-1"), members / "hospital-2.pem"),
}


def attempt(attack):
    """Run an attack; return what the attacker was told, and what the gateway noted."""
    before, told = len(consortium.refusals()), attack()
    until = time.monotonic() + 30
    while len(consortium.refusals()) == before and time.monotonic() < until:
        time.sleep(0.1)
    noted = consortium.refusals()[before:]
    time.sleep(0.5)  # let what this attack has left behind arrive
    return {
        "the attacker is told": told.split(":")[0],
        "the gateway notes": "; ".join(f"{line['node']}: {line['reason']}" for line in noted[:1]),
    }


from_outside = pd.DataFrame({name: attempt(attack) for name, attack in outside.items()}).T
note("attacked from outside")
from_outside

# %% [markdown]
# Two kinds of refusal. Where the gateway notes `?`, the handshake failed before anyone had a name:
# not one byte reached the code behind it. Where it notes a name, the certificate was good, and the
# gateway refused *that* caller: hospital 9 was never enrolled, and hospital 1 does not get to speak
# with hospital 2's key. This is what **zero trust** means in one line: being inside the door is no
# permission.
#
# The attacker learns less. `UNAVAILABLE` is what gRPC, the protocol inside TLS, reports where no
# connection came about; `UNAUTHENTICATED` is an answer of the gateway.
#
# ### As a member
#
# Now take over hospital 4. You have its certificate, its keys, its place in every round. You run
# your own program instead of its ClientApp, and lie differently in each round.

# %%
lies = [
    "",  # an honest round, so that there is something to send again
    "replay",  # its update of the first round, signature and all
    "not a number",  # NaN for every weight
    "another round",  # signed for round 99
    "oversized",  # 50,000 bytes for one array of the model
    "garbage",  # bytes that are no array
    "heavy weight",  # a billion patients
]
number = consortium.round_number + 1
plan_lies(layout.hospital("hospital-4"), dict(enumerate(lies, start=number)))
consortium.restart("hospital-4", app=APP)
consortium.wait_for_hospital("hospital-4", SECONDS)
note("hospital 4 lies")
consortium.prolong(number + len(lies) - 1)
consortium.wait(SECONDS)

from_inside = show_rounds(number)
from_inside.insert(0, "lie", [lie or "(honest)" for lie in lies])
from_inside

# %% [markdown]
# Each was refused for what it is, and the round went on with the three others. In the round of
# `heavy weight` everything was in order but the claim to have a billion patients. (The deployed
# gate tells more reasons apart than yours: *replayed* and *wrong round* are both your
# `"wrong ticket"`.)
#
# ### The lie that is in order
#
# One is left. Train honestly, then send the global model minus forty times your own step: signed,
# fresh, the right shape, ordinary numbers. Before you do, take a copy of the server's checkpoints:
# you are the operator, too.

# %%
copy = Path(office.name) / "copy of the checkpoints"
if not copy.exists():  # a second run of this cell must not copy what the lie has spoilt by then
    shutil.copytree(layout.checkpoints, copy)
    good = consortium.history()
    last_good = len(good.records)

# %%
BAD_ROUNDS = {"fast": 2, "full": 3}[profile]
plan_lies(
    layout.hospital("hospital-4"), {last_good + 1 + i: "backwards" for i in range(BAD_ROUNDS)}
)
note("hospital 4 pulls backwards")
consortium.prolong(last_good + BAD_ROUNDS)
consortium.wait(SECONDS)
poisoned = show_rounds(last_good)
poisoned

# %% [markdown]
# Counted, every time. The accuracy says what it did. It is not always so loud: a member that turns
# the model by a little in each round would be counted too, and nothing here would show it.
#
# What could have? No check of *one* update. But the updates of one round can be held against each
# other: that is what the rules of [Byzantine robustness](../chapters/byzantine-robustness.md) do.
# Replay these rounds in this process, once with the average and once with the median of each
# coordinate:


# %%
def replay(rule, rounds=BAD_ROUNDS):
    """Test accuracy after each bad round under an aggregation rule, from the last good model."""
    weights, scores = list(good.weights), []
    for number in range(last_good + 1, last_good + 1 + rounds):
        updates = []
        for client, data in enumerate(patients.clients):
            trained = train_locally(weights, data, task.local, seed, number, client).weights
            factor = -BACKWARDS if client == 3 else 1.0
            updates.append([factor * (new - old) for new, old in zip(trained, weights)])
        change = [rule(np.stack(parts)) for parts in zip(*updates)]
        weights = [np.float32(old + step) for old, step in zip(weights, change)]
        scores.append(accuracy(weights, patients.test))
    return scores


def by_size(updates):
    """The average that the deployment takes, weighted by the number of examples."""
    return np.average(updates, axis=0, weights=task.num_examples)


def by_median(updates):
    """The median of each coordinate over the hospitals."""
    return coordinate_median(updates.reshape(len(updates), -1)).reshape(updates.shape[1:])


deployed = [record.test_accuracy for record in consortium.history().records[last_good:]]
replays = pd.DataFrame(
    {"deployed": deployed, "average, replayed": replay(by_size), "median": replay(by_median)},
    index=pd.Index(range(last_good + 1, last_good + 1 + BAD_ROUNDS), name="round"),
)
replays.round(3)

# %% [markdown]
# `Consortium(..., aggregator=...)` deploys such a rule. It has a price and limits of its own, above
# all when hospitals honestly differ.
#
# ### The emergency
#
# Somebody has noticed. Cut hospital 4 off, go back, go on:
#
# 1. **Revoke** its certificate. The gateway reads the new list at once.
# 2. **Strike it off** the server's list of members. The gateway keeps it out by now, but Flower
#    behind it takes a node for online until its heartbeat is overdue, and every round would wait
#    for an answer that cannot come. What revokes access does not tell everybody else.
# 3. **Go back**: stop the ServerApp, put the copy of the checkpoints in place of the poisoned ones.
#    Revoking alone would not heal the model, since what was counted stays counted.
# 4. **Go on** with three.

# %%
consortium.revoke("hospital-4")
note("hospital 4 revoked, rolled back")

# %%
consortium.kill("serverapp")

listed = layout.server / "members.json"
remaining = [m for m in json.loads(listed.read_text()) if m["name"] != "hospital-4"]
listed.write_text(json.dumps(remaining))

shutil.rmtree(layout.checkpoints)
shutil.copytree(copy, layout.checkpoints)
consortium.restart("serverapp")
consortium.wait(SECONDS)
show_rounds(last_good)

# %%
print(consortium.status())
print([line for line in consortium.refusals() if line["reason"] == "certificate revoked"][:1])
answer = knocking(layout.hospital("hospital-4"), members / "hospital-4.pem")()
print("hospital 4 knocks again, and is told:", answer.split(":")[0])

# %% [markdown]
# The first round after the restart still waited until its deadline: it was drawn for four, and a
# run that begins gives everybody the time to come back. The later ones did not wait.
#
# And the proof once more, over everything that has happened:

# %%
final = consortium.history()
proof["at the end, as recorded"] = difference(final)
print(f"differs by {proof['at the end, as recorded']:.1e}")
pd.Series(audit(), dtype=object).to_frame("")

# %% [markdown]
# The poisoned rounds are in the log and not in the model. Here is the whole life of this
# deployment. Each dot is a round that was done; hollow ones are not part of the model any more.

# %%
done = consortium.events("round done")
final_time = {line["round"]: line["time"] for line in done}
stands = [final_time[line["round"]] == line["time"] for line in done]
order = np.arange(1, len(done) + 1)
scores = [line["test_accuracy"] for line in done]

figure, axis = plt.subplots(figsize=(9, 4.2), layout="constrained")
axis.plot(order, scores, color="0.8", zorder=1)
axis.scatter(
    order,
    scores,
    facecolors=[plots.COLOURS[0] if ok else "white" for ok in stands],
    edgecolors=plots.COLOURS[0],
    zorder=2,
)
happened: dict[int, list[str]] = {}
for incident in incidents:
    before = sum(line["time"] < incident["time"] for line in done)
    happened.setdefault(before, []).append(incident["what"])
for before, what in happened.items():
    axis.axvline(before + 0.5, color=plots.COLOURS[1], linewidth=0.8, linestyle=":")
    axis.text(before + 0.6, 0.02, "\n".join(what), rotation=90, fontsize=8)
axis.set(
    xlabel="rounds, in the order in which they were done", ylabel="test accuracy", ylim=(0, 1.05)
)
plt.show()

# %% [markdown]
# Is the brief met? The four criteria, from what was measured:

# %%
strangers = ["plain text", "no certificate", "rogue authority", "expired", "a server's certificate"]
nameless = from_outside.loc[strangers, "the gateway notes"].str.startswith("?")
slowest = max(record.seconds for record in final.records)
inner = started.drop("gateway")["listens"].str.split().explode().dropna()
facts = audit()
criteria = {
    "1 strangers stopped in the handshake": (
        f"{nameless.sum()} of {len(strangers)}",
        nameless.all(),
    ),
    "2 counted at most once": (
        f"weights differ by {proof['at the end, as recorded']:.0e}",
        proof["at the end, as recorded"] <= TOLERANCE
        and facts["they are those of the checkpoint"]
        and not facts["a hospital twice in a round"],
    ),
    "3 slowest round": (f"{slowest:.1f} s", slowest <= LONGEST_ROUND),
    "3 resumed after the torn checkpoint": (f"with round {theirs}", theirs == yours),
    "4 ports open beyond this machine": (
        f"{(~inner.str.contains('127.0.0.1')).sum()} of {len(inner)}",
        inner.str.contains("127.0.0.1").all(),
    ),
}
accepted = pd.DataFrame(criteria, index=["measured", "met"]).T
accepted

# %% [markdown]
# All of this held while a member destroyed the model. The brief asked who gets in and what is
# counted how often; it did not ask whether what is counted is *true*.
#
# ### Exercise 7: who stopped it
#
# Who stopped each attack? Give a dict such as `{"plain text": "a", "no certificate": "b", ...}`.

# %%
for letter, meaning in LAYERS.items():
    print(f"{letter}: {meaning}")
print([*outside, "replay", "not a number", "oversized", "heavy weight", "backwards"])

# %%
stopped_by = lab.answer(
    "q7",
    # BEGIN SOLUTION
    {
        **{
            name: "a" if noted.startswith("?") else "b"
            for name, noted in from_outside["the gateway notes"].items()
        },
        **dict.fromkeys(["replay", "not a number", "oversized", "heavy weight"], "c"),
        "backwards": "d",
    },
    # END SOLUTION
)

# %%
lab.check("q7")

# %% [markdown]
# ## Decide
#
# End the processes first. (They would also end with this notebook, whatever becomes of it: the
# system kills them with the process that started them, and a small process beside it then deletes
# the folder with their keys.)

# %%
consortium.stop()
running = [p.info["cmdline"] or [] for p in psutil.process_iter(["cmdline"])]
left = [line for line in running if any(office.name in part for part in line)]
print("processes of this consortium that are still running:", len(left))

# %% [markdown]
# Write the run-book for the night on which a hospital has been broken into, in 150 to 300 words,
# for the colleague who is on duty and has not read this notebook. And say in it how far your
# evidence reaches. This is what it will be read against:

# %%
lab.memo("memo")

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """
    1. Cut off (operator on duty, at once): revoke the hospital's certificate and publish the list.
    The gateway refuses its next request. This does not heal the model, and Flower takes the node
    for online until its heartbeat is overdue, so strike it off members.json too, or every round
    waits out its deadline.

    2. Find the first bad round (operator and statistician). Rejections show the clumsy lies only.
    The lie that is in order is counted and leaves nothing but falling accuracy. Unless the night of
    the break-in is known, distrust every round since the hospital was last known to be sound.

    3. Go back (operator): end the ServerApp, put back a copy of the checkpoints from before that
    round, start it again. The server keeps only its newest two, so the copy must have been made
    before: daily, stored elsewhere. Restarting without the copy keeps the poison.

    4. Go on with three. Recompute the weights from the records: ours agree within 0.000001, and one
    update counted twice shows as a thousand times that. This proves what was counted, and how
    often. It does not prove that the hospitals' data were honest.

    5. Let it back (CA's keeper, offline): clean machine, new keys, new certificate. Never the old
    key.

    Zero trust, hospital to average: certificate at the handshake (a week), the list at every
    request, node key bound to the name, signature with a challenge for one attempt, shape, count
    and finite values at the gate. What goes through: a member's well-formed lie. Deploy the
    coordinate-wise median next, and measure what it costs the hospital whose patients differ.
    """,
    # END SOLUTION
)

# %% [markdown]
# Keep what you made: the model, the record of this deployment, and a report that you can hand to a
# reviewer. Every figure in it was measured above.

# %%
lab.save("model", {f"weight_{i}": weight for i, weight in enumerate(final.weights)})
record = {
    "hospitals": HOSPITALS,
    "examples": list(task.num_examples),
    "deadline in s": DEADLINE,
    "quorum": QUORUM,
    "rounds": len(final.records),
    "test accuracy": round(accuracy(final.weights, patients.test), 4),
    "audit": audit(),
    "largest difference to the recomputed weights": proof,
    "stopped by": {name: LAYERS[letter.strip().lower()] for name, letter in stopped_by.items()},
    "incidents": incidents,
    "not covered": [
        "a member whose update is well-formed and wrong",
        "whoever controls the server",
        "more than one machine: all processes ran on this one",
    ],
}
lab.save("deployment_record", record)

picture = io.BytesIO()
figure.savefig(picture, format="png", dpi=120)
encoded = base64.b64encode(picture.getvalue()).decode()
tables = {
    "The brief": accepted,
    "Attacks from outside": from_outside,
    "Lies of a member": from_inside,
    "Recomputed from the records": pd.Series(proof, name="largest difference").to_frame(),
    "Who stopped what": pd.Series(record["stopped by"], name="stopped by").to_frame(),
}
report = [
    "<!doctype html><html lang='en'><meta charset='utf-8'><title>Deployment report</title>",
    "<style>body{font:16px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em}"
    "table{border-collapse:collapse}td,th{border:1px solid #ccc;padding:.2em .6em}</style>",
    f"<h1>Deployment report: {HOSPITALS} hospitals, {len(final.records)} rounds</h1>",
    f"<p>Test accuracy {record['test accuracy']:.3f}. Quorum {QUORUM}, deadline {DEADLINE:g} s. "
    f"{len(incidents)} incidents, all caused on purpose.</p>",
    f"<img style='max-width:100%' src='data:image/png;base64,{encoded}' "
    "alt='Test accuracy of every round, with the incidents between the rounds'>",
    "<p>Hollow dots: rounds that were done and are not part of the model any more. Where the "
    "gateway notes a question mark, the handshake failed before anyone had a name.</p>",
    *(f"<h2>{title}</h2>{table.to_html()}" for title, table in tables.items()),
    "<h2>Not covered</h2><ul>",
    *(f"<li>{item}</li>" for item in record["not covered"]),
    "</ul></html>",
]
lab.save("deployment_report.html", "\n".join(report))

# %% [markdown]
# Last, put on record what you measured, in the form that all labs share. `lab.report()` writes it
# to `measurements.json`. In a terminal, `edgesec results list artefacts` puts those of all your
# labs into one table, and `edgesec threats` takes them in place of guesses.

# %%
unnoticed = from_outside["the gateway notes"] == ""
lied = from_inside[from_inside["lie"] != "(honest)"]
for name, attack, defence, subject, got_through, threat in (
    (
        "strangers-let-in", "network-attack", "mutual-tls",
        "plain text, and no, a foreign, an old or a server's certificate",
        unnoticed[strangers], "process-spoofed",
    ),
    (
        "wrong-names-let-in", "stolen-identity", "mutual-tls",
        "a certificate of the authority, used in a wrong name",
        unnoticed.drop(strangers), "process-spoofed",
    ),
    (
        "revoked-let-in", "stolen-identity", "revocation",
        "a member's genuine certificate and keys, after they were revoked",
        [answer == "OK"], "process-spoofed",
    ),
    (
        "clumsy-lies-counted", "byzantine-clients", "signed-updates",
        "a member's updates: replayed, malformed, too large, too heavy",
        lied["counted"].str.contains("4"), "",
    ),
    (
        "fine-lies-counted", "byzantine-clients", "signed-updates",
        "a member's update, in order and pointing backwards",
        poisoned["counted"].iloc[1:].str.contains("4"), "",
    ),
):  # fmt: skip
    lab.record(
        name,
        attack=attack,
        defence=defence,
        subject=subject,
        metric="bypass-rate",
        successes=sum(got_through),
        trials=len(got_through),
        evidence="attack",
        setting="real processes and sockets on one machine, a try each; hospital 4 is the member",
        threat=threat,
    )
too_long = [one.seconds > LONGEST_ROUND for one in final.records]
lab.record(
    "rounds-too-long",
    attack="denial-of-service",
    defence="deadline-and-quorum",
    subject=f"rounds that took longer than {LONGEST_ROUND:g} s",
    metric="bypass-rate",
    successes=sum(too_long),
    trials=len(too_long),
    evidence="attack",
    setting="all rounds of the deployment, few of them with a process killed or frozen; a restart "
    "of the server begins its round, and its clock, anew",
)
before_the_lie = accuracy(good.weights, patients.test)
for name, defence, how, was_left in (
    ("gate", "signed-updates", "as deployed", replays["deployed"].iloc[-1]),
    ("median", "robust-aggregation", "replayed with the median", replays["median"].iloc[-1]),
):
    lab.record(
        f"accuracy-lost-{name}",
        attack="byzantine-clients",
        defence=defence,
        subject=f"{BAD_ROUNDS} rounds, one member of {HOSPITALS} pulls backwards, {how}",
        metric="accuracy-loss",
        value=before_the_lie - was_left,
        trials=len(patients.test),
        evidence="attack",
        setting=f"it sends minus {BACKWARDS:g} times its step; test patients, before less after",
        threat="update-poisoning",
    )
for name, model in {"before": good, "recovered": final}.items():
    lab.record(
        f"accuracy-{name}",
        attack="none",
        defence="signed-updates",
        subject=f"the deployed model, {name}",
        metric="accuracy",
        value=model.records[-1].test_accuracy,
        trials=len(patients.test),
        setting="test patients; recovered: rolled back to a copy, and on without the liar",
    )
twice = [value > TOLERANCE for name, value in proof.items() if "twice" in name]
once = [value > TOLERANCE for name, value in proof.items() if "twice" not in name]
for name, metric, differs in (
    ("found", "detection-rate", twice),
    ("falsely-found", "false-alarm-rate", once),
):
    lab.record(
        f"double-count-{name}",
        attack="none",
        defence="none",
        subject="an update counted twice, by recomputing the weights",
        metric=metric,
        successes=sum(differs),
        trials=len(differs),
        setting="weights recomputed from the records of who was counted, after all the kills",
    )

# %%
lab.report()

# %% [markdown]
# **Where to go next.** Deploy the median,
# `Consortium(..., aggregator=RobustAggregator("coordinate_median"))`, and repeat the lie that is in
# order. Or leave the notebook: `edgesec federate up` runs the same consortium from a terminal,
# `edgesec federate status` watches it from another one, and `kill -9` works there too.
