"""The loop of a hospital's node, with Flower's own functions and stores and no network."""

import subprocess
import sys

# In a process of its own: a node refuses to start where heavy libraries are loaded.
OVERLOOKED = """
from helpers.federated.deployment.processes.common import Pace
from helpers.federated.deployment.processes.node import Outbox, waiting
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.common.inflatable import get_all_nested_objects, get_object_tree
from flwr.common.typing import Run
from flwr.supercore.object_store import ObjectStoreFactory
from flwr.supernode import start_client_internal as supernode
from flwr.supernode.nodestate import NodeStateFactory

state, store = NodeStateFactory().state(), ObjectStoreFactory().store()
state.set_node_id(1)
state.store_run(Run.create_empty(7))
state.store_context(Context(7, 1, {}, RecordDict(), {}))


def message(number, reply_to=None):
    content = RecordDict({"n": ConfigRecord({"n": number})})
    made = Message(content, reply_to=reply_to) if reply_to else Message(content, 1, "train")
    made.metadata.__dict__["_run_id"] = 7
    made.metadata.__dict__["_message_id"] = made.object_id
    return made


def take(asked, run_ended=False):
    def confirm(run_id, message_id):
        if run_ended:
            raise supernode.RunNotRunningException

    parts = {i: o.deflate() for i, o in get_all_nested_objects(asked).items()}
    return supernode._pull_and_store_message(
        state=state, ffs=None, object_store=store, node_config={},
        receive=lambda: (asked, get_object_tree(asked)), get_run=None, get_fab=None,
        pull_object=lambda run_id, object_id: parts[object_id], confirm_message_received=confirm,
    )


def answer(asked):
    reply = message(0, reply_to=asked)
    store.preregister(7, get_object_tree(reply))
    for i, part in get_all_nested_objects(reply).items():
        store.put(i, part.deflate())
    state.store_message(reply)


def send(reply, tree):
    sent.append(reply.metadata.reply_to_message_id)
    return set()


sent, first, second = [], message(1), message(2)
outbox = Outbox(supernode._push_messages)
sleep = waiting(outbox, Pace(shortest=0.001))
for_work, for_an_answer = 3, 0.5  # Flower's pauses
sleep(for_work)  # nothing is known yet
assert take(first, run_ended=True) is None  # Flower forgets it
answer(first)
assert take(second) == 7
outbox.push(state=state, object_store=store, send=send, push_object=print)
answer(second)
sleep(for_an_answer)
assert sent == [first.metadata.message_id], sent  # the reply to the second waits for a third
sleep(for_work)
assert sent == [one.metadata.message_id for one in (first, second)], sent
sleep(for_work)
assert len(sent) == 2
assert not state.get_messages(is_reply=True)
"""


def test_a_reply_that_flowers_loop_overlooks_is_sent_while_it_waits_for_work() -> None:
    done = subprocess.run(
        [sys.executable, "-c", OVERLOOKED], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr[-3000:]
