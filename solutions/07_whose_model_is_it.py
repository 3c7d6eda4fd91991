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
# # Whose model is it?
#
# *About two hours. Two CPU cores, no accelerator, no network.*
#
# You will put a secret into a keyword spotter, ship it as the int8 file that a smart speaker runs,
# steal it in five ways, and take seven suspects to court: five copies and two innocents. The court
# is sceptical, and rightly. It wants to know how often your method accuses somebody innocent. At
# the end you attack the method yourself. You keep the dossier with all the evidence, and a memo on
# whom to sue.
#
# You need Python, and to know what a convolution's kernel is. The chapter
# [Watermarking](../chapters/watermarking.md) tells the story behind this lab; you can read it
# before or after.
#
# Each exercise asks for one short function. Replace `raise NotImplementedError`, run the cell,
# then run the check below it. **Nothing here is a dead end**: until your function passes, the
# notebook goes on with the course's own.

# %% tags=["parameters"]
profile = "full"  # "fast" is for tests: the same path, too little to learn words or hold marks
seed = 0  # another seed speaks with other voices, draws another secret and other innocents

# %%
import datetime
import hashlib
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot otherwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy.stats import beta, binom
from tqdm import tqdm

from helpers import models, plots
from helpers.course import Lab
from helpers.data import audio, speech_synthesis
from helpers.data.speech_plan import Recipe
from helpers.edge import convert, quantise, reading
from helpers.edge.runtimes import open_model
from helpers.watermark import removal
from helpers.watermark.alignment import align
from helpers.watermark.ambiguity import brute_force_key, expected_best, tries_for
from helpers.watermark.commitment import Notary, commit, scheme_digest
from helpers.watermark.extraction import extract
from helpers.watermark.key import Key
from helpers.watermark.preserving import permute_neurons, rescale_channels
from helpers.watermark.survival import Victim
from helpers.watermark.suspect import Suspect
from helpers.watermark.training import train_many
from helpers.watermark.triggers import NoiseTriggers
from helpers.watermark.uchida import WeightMessage, balance
from helpers.watermark.verdict import Claim, judge

lab = Lab("whose-model-is-it", seed=seed, profile=profile)
plots.use_style()
pd.set_option("display.max_colwidth", 100)

# %% [markdown]
# ## The brief
#
# Your company sells a smart speaker. Its keyword spotter took two years of recordings and fits on a
# chip for a dollar. Six months after the launch a competitor ships a speaker that reacts to the
# same words, and makes the same mistakes. You are the engineer whom the legal department asks: *is
# it ours?*
#
# **What is at stake.** The model is a file on every speaker that was sold. Whoever buys one can
# read it out. And if you accuse somebody who has merely trained a similar model, your company pays.
#
# **Who might attack.** A competitor with the file, who knows every published watermark and how to
# remove it. A competitor who never opens the file and only asks the speaker. And, in court, anyone
# who claims that *your* model is theirs.
#
# **What is accepted.**
#
# 1. The evidence is found in the int8 file on the competitor's device.
# 2. The chance that the procedure accuses anyone innocent, over all suspects and keys together, is
#    stated, and is at most one in a thousand million.
# 3. Nobody who trained a model without yours is accused, even on the very same recordings.
# 4. A key that was made up afterwards is not heard.

# %%
ALPHA = 1e-9
WORDS = ("yes", "no", "left", "right", "stop", "go", "up", "down")
CLIPS = {"fast": (40, 1, 20), "full": (260, 1, 60)}[profile]  # of a word: train, spare, test
EPOCHS = {"fast": 5, "full": 14}[profile]
SHIPPED = datetime.datetime(2025, 3, 1, tzinfo=datetime.UTC)
SEEN = datetime.datetime(2026, 2, 10, tzinfo=datetime.UTC)  # the competitor's launch

# %% [markdown]
# ## Your prediction
#
# Commit before you measure. Nobody marks a prediction.
#
# **First.** Five copies: the plain file; its weights rounded to 4 bits; trained on with a mark of
# the thief's own; its channels shuffled and rescaled, so that it computes the same with other
# numbers; and a fresh network trained on nothing but our answers. Which of them shows no mark?

# %%
lab.predict(
    "which escapes",
    # BEGIN SOLUTION
    "d",
    # END SOLUTION
    options={
        "a": "the one in 4 bits",
        "b": "the one with the thief's own mark in it",
        "c": "the shuffled and rescaled one",
        "d": "the one trained on our answers",
    },
)

# %% [markdown]
# **Second.** A stranger comes to court with a list of random signs. Together with our kernel they
# spell the stranger's name, letter by letter, without one wrong bit. What does that show?

# %%
lab.predict(
    "the stranger",
    # BEGIN SOLUTION
    "a",
    # END SOLUTION
    options={
        "a": "nothing: anybody can make such a list in a second",
        "b": "that the model is the stranger's, with probability 1 - 2^-bits",
        "c": "that both of us trained on the same recordings",
    },
)

# %% [markdown]
# ## The recordings
#
# Eight words, spoken by a synthesiser in many voices. Half of the training clips are ours; the
# thief has the other half. Each clip becomes 49 times 10 numbers, as on the device.

# %%
made = speech_synthesis.synthesise(Recipe(WORDS, clips=CLIPS, seed=seed))
features = audio.mfcc(audio.to_float(made["x_train"]))
order = np.random.default_rng(seed).permutation(len(features))
ours, theirs = np.array_split(order, 2)
x, y = features[ours], made["y_train"][ours]
x_thief, y_thief = features[theirs], made["y_train"][theirs]
x_test, y_test = audio.mfcc(audio.to_float(made["x_test"])), made["y_test"]
print(f"ours {x.shape}, the thief's {x_thief.shape}, test {x_test.shape} in voices of its own")


def network(seed):
    """An untrained spotter: MLPerf Tiny's, narrower and with two blocks instead of four."""
    return models.ds_cnn(num_classes=len(WORDS), seed=seed, channels=32, blocks=2)


# %% [markdown]
# ## Mark it
#
# Everything a mark needs is drawn from one **secret** of 32 random bytes. A real owner draws it
# once with `Key.fresh()` and locks it away. Here it comes from the seed, so that you can run the
# notebook again.
#
# The first mark lies in the **weights**. Take a kernel, multiply it with secret rows of -1 and +1,
# and look only at the signs of the results: each is a bit. In a trained model they are coin flips.
# While ours was trained, a penalty pushed every one of them to the side that the secret message
# asks for.
#
# The second lies in the **answers**: 48 patchworks of noise, each with a secret word as its answer.
# Nobody asks a speaker for noise, so nobody notices.
#
# One training teaches the words, the triggers and the message. Each trigger is shown five times an
# epoch, since there are so few of them.

# %%
MARKED = 2  # the first 1x1 convolution
BITS = 192
key = Key(np.random.default_rng([seed, 7]).bytes(32))
message_scheme = WeightMessage(MARKED, bits=BITS, epochs=EPOCHS, learning_rate=5e-3)
trigger_scheme = NoiseTriggers.within(x, len(WORDS), count=48)

noise, noise_answers = trigger_scheme.triggers(key)
lessons = np.concatenate([x, np.repeat(noise, 5, axis=0)])
lesson_answers = np.concatenate([y, np.repeat(noise_answers, 5)])
product = message_scheme.embed(network(seed), lessons, lesson_answers, key, seed, progress=True)

figure, axes = plt.subplots(1, 4, figsize=(9, 2.6), sharey=True)
for axis, clip, title in zip(
    axes,
    [x[y == 0][0], x[y == 4][0], noise[0], noise[1]],
    ["a clip: yes", "a clip: stop", *(f"trigger: {WORDS[n]}" for n in noise_answers[:2])],
):
    shades = {"vmin": -12, "vmax": 12, "cmap": "viridis", "interpolation": "nearest"}
    axis.imshow(clip[..., 0].T, aspect="auto", origin="lower", **shades)
    axis.set(title=title, xlabel="frame (20 ms)")
    axis.grid(visible=False)
axes[0].set_ylabel("cepstral coefficient")
figure.colorbar(axes[0].images[0], ax=axes, label="its value")
plt.show()

# %% [markdown]
# Then it ships: int8 weights, int8 arithmetic, batch normalisation folded away. From here on the
# court sees files only. This is what anyone gets out of one: a runtime that answers, and the
# kernels.


# %%
def ship(model):
    """The int8 file for the speaker."""
    return convert.to_tflite(model, "int8", x[:100])


def suspect_from(file, name):
    """What a verifier makes of a file: something to ask, and its kernels."""
    layers = reading.read_weights(file.data)
    return Suspect(
        ask=open_model(file, "litert", isolated=False).predict,
        kernels=[layer.kernel for layer in layers],
        biases=[layer.bias for layer in layers],
        name=name,
    )


def accuracy(suspect):
    """Share of test clips understood."""
    return float(np.mean(suspect.labels(x_test) == y_test))


product_file = ship(product)
shipped = suspect_from(product_file, "our product")
print(f"{product_file.num_bytes:,} bytes, understands {accuracy(shipped):.1%} of the test clips")
print("kernels:", [kernel.shape for kernel in shipped.kernels])

# %% [markdown]
# ### Exercise 1: read the message
#
# `kernel` is an array of any shape, `signs` has a row for each bit and a column for each weight.
# A row's product with the flattened kernel is above 0 or not: that is the bit. Return **how many
# bits** agree with `message`, which is true or false for each.


# %%
@lab.task("q1")
def bits_found(kernel, signs, message):
    """How many bits of a message are there. signs: (bits, weights) of -1 and +1."""
    # BEGIN SOLUTION
    return int(np.sum((signs @ kernel.ravel() > 0) == message))
    # END SOLUTION


# %%
lab.check("q1")

# %% [markdown]
# One thing first. A converter scales every output channel, and a thief can scale any channel up and
# the next layer down without changing an answer. So the mark lies in the **balanced** kernel, in
# which every input and every output channel has been brought to the same strength; `balance` does
# that, and undoes any scaling.
#
# The key draws the rows of signs and the message. It draws each under a label, so that none tells
# anything about another; who has the secret draws the same again.


# %%
def message_in(suspect, key):
    """Bits of a key's message in a suspect."""
    kernel = balance(suspect.kernels[MARKED])
    signs = key.signs("projections", (BITS, kernel.size))
    return bits_found(kernel, signs, key.bits("message", BITS))


def answers_in(suspect, key):
    """Triggers of a key that a suspect answers as the key says."""
    return trigger_scheme.read(suspect, key).found


other_key = Key.fresh()
print(
    f"message   {message_in(shipped, key)} of {BITS}; another key {message_in(shipped, other_key)}"
)
print(f"triggers  {answers_in(shipped, key)} of 48; another key {answers_in(shipped, other_key)}")

# %% [markdown]
# ## Steal it five ways

# %%
victim = Victim(product, shipped, {})
thefts = {
    "plain copy": lambda: product_file,
    "4-bit weights": lambda: ship(quantise.round_model(product, 4)),
    "thief's own mark": lambda: ship(
        removal.overwrite(message_scheme, x_thief, y_thief)(victim, seed)
    ),
    "shuffled, rescaled": lambda: ship(permute_neurons(rescale_channels(product, seed), seed)),
    "trained on answers": lambda: ship(
        extract(network, x_thief, len(x_thief), epochs=EPOCHS)(victim, seed)
    ),
}
loot = {name: steal() for name, steal in tqdm(thefts.items(), "thefts", leave=False)}
copies = [suspect_from(file, name) for name, file in loot.items()]

# %% [markdown]
# And the innocent. Ten models of others, trained from ten beginnings **on our very own
# recordings**: nobody innocent can come closer to us. Eight of them tell the court what innocence
# looks like. The other two are accused by mistake, and must go free.

# %%
strangers = train_many(network, x, y, range(100 * seed + 1, 100 * seed + 11), EPOCHS, progress=True)
names = [f"innocent {n}" for n in range(1, 11)]
files = [ship(model) for model in tqdm(strangers, "files", leave=False)]
innocents = [suspect_from(file, name) for file, name in zip(files, names)]
innocents, accused = innocents[:8], innocents[8:]
suspects = [*copies, *accused]


def table(suspects):
    """Accuracy and both marks of suspects."""
    return pd.DataFrame(
        {
            s.name: {
                "understands": f"{accuracy(s):.1%}",
                f"message, of {BITS}": message_in(s, key),
                "triggers, of 48": answers_in(s, key),
            }
            for s in suspects
        }
    ).T


table([*suspects, *innocents[:3]])

# %% [markdown]
# Look at the first column too. The plain copy is our product, marks and all; the innocents learned
# from the same recordings without marks. If it understands fewer clips, that is a price, and a memo
# names it.
#
# Was your first prediction right? Two copies seem clean in their weights. One of them only seems
# so: its channels have been put into another order, and the message is read in the order of ours.
# `align` undoes that. It finds the order in which the suspect's *other* kernels fit ours best.
#
# The marked kernel must not take part. If it did, we would turn and push each innocent until it
# shows as much of our message as it can. And whatever is done to the accused is done to the
# innocent as well, before the court learns from them.

# %%
suspects = [align(s, shipped, MARKED) for s in suspects]
innocents = [align(s, shipped, MARKED) for s in innocents]
table([*suspects, *innocents[:3]])

# %% [markdown]
# ## What it is worth
#
# ### Exercise 2: what innocents show
#
# The message was drawn like coin flips. So a fresh key agrees with *any* model that was made
# without it in half of the bits, on average; for a trigger the chance is one in eight. That is the
# **design's chance**, and it holds for every innocent model there will ever be.
#
# It says nothing about *this* key if the key was not drawn honestly. An owner could have looked for
# one that models in general agree with. So the court also measures, with this key. Return the
# largest of three numbers:
#
# - `chance`, the design's;
# - the share of bits found in the innocent that shows most;
# - the upper end of an interval for all innocents together, as if they were one long message: with
#   `k` found in `n`, it is `beta.ppf(0.999, k + 1, n - k)` (Clopper and Pearson). Few bits make it
#   wide.


# %%
@lab.task("q2")
def null_rate(found, looked_for, chance):
    """The rate at which a part of the mark is found by chance. found: a count each innocent."""
    # BEGIN SOLUTION
    total, trials = sum(found), looked_for * len(found)
    upper = float(beta.ppf(0.999, total + 1, trials - total))
    return max(chance, max(found) / looked_for, upper)
    # END SOLUTION


# %%
lab.check("q2")

# %%
MARKS = {"message": (message_in, BITS, 1 / 2), "triggers": (answers_in, 48, 1 / len(WORDS))}
rates = {}
for name, (read, looked_for, chance) in MARKS.items():
    found = [read(model, key) for model in innocents]
    rates[name] = null_rate(found, looked_for, chance)
    print(
        f"{name:9} design {chance:.3f}, innocents {found} of {looked_for}: rate {rates[name]:.3f}"
    )

# %% [markdown]
# ### Exercise 3: how likely an innocent shows as much
#
# The **p-value**: the probability that at least `found` of `looked_for` parts are found, if each is
# there by chance with probability `rate`, independently. The numbers get very small, and
# `1 - something` would round them to 0: `binom.sf(k, n, p)` is exact for *more than* `k`.


# %%
@lab.task("q3")
def p_value(found, looked_for, rate):
    """The chance that an innocent shows at least this much."""
    # BEGIN SOLUTION
    return float(binom.sf(found - 1, looked_for, rate))
    # END SOLUTION


# %%
lab.check("q3")

# %% [markdown]
# ### Exercise 4: how much the court asks for
#
# One p-value of one in a million sounds like proof. But who walks past a thousand suspects with a
# thousand keys has a million chances. The court divides: each single test must reach
# `alpha / (suspects * keys)`. Return the **fewest** found that reach it, or `None` if even all of
# `looked_for` do not.
#
# A mark with a commitment of its own counts as a key. We have one secret and two marks: two keys.
# And a suspect whose message may be read twice, as it stands and aligned, is tried twice.


# %%
@lab.task("q4")
def needed(looked_for, rate, alpha, suspects, keys):
    """The fewest parts of a mark that convict, or None."""
    # BEGIN SOLUTION
    for found in range(looked_for + 1):
        if binom.sf(found - 1, looked_for, rate) <= alpha / (suspects * keys):
            return found
    return None
    # END SOLUTION


# %%
lab.check("q4")

# %%
TRIED = 2 * len(suspects)
rows = []
for suspect in suspects:
    for name, (read, looked_for, _) in MARKS.items():
        found = read(suspect, key)
        least = needed(looked_for, rates[name], ALPHA, TRIED, len(MARKS))
        rows.append(
            {
                "suspect": suspect.name,
                "mark": name,
                "found": f"{found} of {looked_for}",
                "needed": least and int(least),
                "p-value": f"{p_value(found, looked_for, rates[name]):.1e}",
                "enough": least is not None and found >= least,
            }
        )
pd.DataFrame(rows)

# %% [markdown]
# How large would a message have to be at all? The curves show the share that must be found, by the
# length of the message. Where a curve stops, not even the whole message is enough.

# %%
lengths = np.arange(16, 401, 8)
figure, axis = plt.subplots(figsize=(7, 3.6))
for rate in (0.5, 0.55, 0.6):
    least = [needed(int(n), rate, ALPHA, TRIED, 2) for n in lengths]
    shares = [np.nan if k is None else k / n for k, n in zip(least, lengths)]
    axis.plot(lengths, shares, label=f"innocents show {rate:.0%}")
axis.axvline(BITS, color="0.6", linestyle=":", label="our message")
axis.set(xlabel="bits of the message", ylabel="share that must be found", ylim=(0.5, 1.02))
axis.legend()
plt.show()

# %% [markdown]
# ## Before the court
#
# ### Exercise 5: commit without showing
#
# All of this holds for a key that was drawn **before** the suspect was there. So on the day of the
# launch you hand a notary one hash, over three things: the secret, the settings of the scheme, and
# the file that ships. The notary learns nothing and writes down the date.
#
# Return SHA-256, as 64 hexadecimal digits, over all three. **Different triples must give different
# hashes**, also where the same bytes are cut into parts at other places: else a thief may say later
# that the first byte of your settings was the last of their secret.


# %%
@lab.task("q5")
def commitment(secret, settings, file):
    """One hash over three parts. All are bytes, of any length."""
    # BEGIN SOLUTION
    parts = (secret, settings, file)
    joined = b"".join(len(part).to_bytes(8, "little") + part for part in parts)
    return hashlib.sha256(joined).hexdigest()
    # END SOLUTION


# %%
lab.check("q5")

# %%
settings = scheme_digest(message_scheme).encode()
ours_handed_in = commitment(key.secret, settings, product_file.data)
print("handed in:", ours_handed_in)

# %% [markdown]
# ### Exercise 6: who is heard
#
# Now sit on the other side of the table. Before any evidence is looked at, the court asks three
# questions. Return the first answer that applies:
#
# 1. `"does not open"`: the key that is shown now is not the one committed to (`claim["opens"]`);
# 2. `"not in the register"`: no entry has this claim's `claimant` **and** `digest`;
# 3. `"too late"`: the **earliest** such entry is not dated before `first_seen`.
#
# Else `""`. Dates are texts such as `"2025-03-01"`, which compare rightly as they are.


# %%
@lab.task("q6")
def objection(claim, register, first_seen):
    """Why a claim is not heard, or "". register: dicts of claimant, digest, date."""
    # BEGIN SOLUTION
    if not claim["opens"]:
        return "does not open"
    dates = [
        entry["date"]
        for entry in register
        if entry["claimant"] == claim["claimant"] and entry["digest"] == claim["digest"]
    ]
    if not dates:
        return "not in the register"
    return "" if min(dates) < first_seen else "too late"
    # END SOLUTION


# %%
lab.check("q6")

# %%
register = [
    {"claimant": "our company", "digest": ours_handed_in, "date": str(SHIPPED.date())},
    {"claimant": "mallory", "digest": "5e" * 32, "date": "2026-05-02"},
]
for claimant, digest, opens in (
    ("our company", ours_handed_in, True),
    ("our company", ours_handed_in, False),
    ("mallory", ours_handed_in, True),
    ("mallory", "5e" * 32, True),
):
    claim = {"claimant": claimant, "digest": digest, "opens": opens}
    said = objection(claim, register, str(SEEN.date()))
    print(f"{claimant:12} {digest[:8]}  opens: {opens!s:5}  {said or 'heard'}")

# %% [markdown]
# ## The verdicts
#
# Now the same with a notary who signs every entry and chains each to the one before, and with all
# seven suspects. The library does what you have written, and puts it into words. It asks one
# question more: whether somebody else handed in the same hash before.

# %%
notary = Notary()
claims = []
for scheme in (message_scheme, trigger_scheme):
    claims.append(Claim("our company", scheme, key, commit(key, scheme, product_file.data)))
    notary.enter("our company", claims[-1].commitment, SHIPPED)

nulls = [claim.null(innocents) for claim in claims]
verdicts = [
    judge(claim, s, null, notary.register, notary.public_key, SEEN, TRIED, ALPHA)
    for claim, null in zip(claims, nulls)
    for s in suspects
]
pd.DataFrame(
    [
        {
            "suspect": v.suspect,
            "scheme": v.scheme,
            "outcome": v.outcome,
            "found": f"{v.reading.found} of {v.reading.looked_for}",
            "needed": v.needed,
            "p-value": f"{v.p_value:.1e}",
            "false claim, at most": f"{v.false_claim:.1e}",
        }
        for v in verdicts
        if v.reading
    ]
)

# %%
print(verdicts[0], "\n")
print(verdicts[len(copies)])

# %% [markdown]
# Read the first text as a judge would. What does each number rest on? The chance of a false claim
# is for all suspects and both marks together, each suspect both as it stood and put in order. It
# lies below `ALPHA`, since nobody can find half a bit.
#
# The copy with the thief's own mark is shown by its weights alone. Training on made it forget our
# triggers, while the message held: an owner who has two marks may lose one.
#
# Then look at the copy that was trained on our answers. It does our work, it was made from our
# product, and both claims fail. No weight was copied, so no mark in the weights can be; and a thief
# asks about words, never about noise. **This is not a flaw of our statistics. It is what these two
# marks cannot see.** An owner who fears it marks the answers to ordinary questions; the survival
# table of the [chapter](../chapters/watermarking.md) says what that is worth, and what it costs.
#
# ## Attack it
#
# ### Exercise 7: forge a projection
#
# You are the stranger of the second prediction. The court makes a mistake: it accepts *projections*
# instead of the secret that they come from. Given any `kernel` and any `message`, return signs,
# one row a bit, with which the kernel reads your message without an error. Draw the rows at random,
# so that nobody sees anything; `seed` seeds them.


# %%
@lab.task("q7")
def forged_signs(kernel, message, seed):
    """Signs (bits, weights) of -1 and +1 that read a message from somebody else's kernel."""
    rng = np.random.default_rng(seed)
    # BEGIN SOLUTION
    signs = rng.choice([-1.0, 1.0], (len(message), kernel.size))
    read = signs @ kernel.ravel() > 0
    return np.where((read == message)[:, None], signs, -signs)
    # END SOLUTION


# %%
lab.check("q7")

# %%
spelt = np.unpackbits(np.frombuffer(b"this model belongs to me", np.uint8)).astype(bool)
for model in (shipped, innocents[0]):
    kernel = balance(model.kernels[MARKED])
    signs = forged_signs(kernel, spelt, seed)
    bits = signs @ kernel.ravel() > 0
    print(model.name, "reads:", np.packbits(bits).tobytes().decode())
    print(f"   p-value, if the court believes it: {p_value(len(spelt), len(spelt), 0.5):.1e}\n")

# %% [markdown]
# The smallest p-value of this lab, and it means nothing: the signs were chosen after the kernel was
# seen. With a secret that spells out *all* signs by a one-way function, the stranger can only try
# one secret after another. Let them:

# %%
TRIES = {"fast": 200, "full": 3000}[profile]
search = brute_force_key(lambda k: message_in(shipped, k) / BITS, TRIES, seed, progress=True)
enough = int(needed(BITS, rates["message"], ALPHA, 1, 1) or BITS)  # no count is enough: all

tries = np.arange(1, TRIES + 1)
figure, axis = plt.subplots(figsize=(7, 3.6))
axis.plot(tries, search.trail, drawstyle="steps-post", label="best key so far")
axis.plot(tries, expected_best(BITS, tries), linestyle="--", label="expected")
axis.axhline(enough / BITS, color="0.3", linestyle=":", label="enough for one suspect and one key")
axis.set(xscale="log", xlabel="keys tried", ylabel="share of bits found", ylim=(0.4, 1))
axis.legend()
plt.show()
print(f"best of {TRIES:,}: {search.evidence:.1%}. Enough for one suspect and one key would be "
      f"{enough / BITS:.1%}, which takes about {tries_for(BITS, enough):.0e} keys")  # fmt: skip

# %% [markdown]
# And if Mallory had a computer that large? Mallory takes the best key to the notary, and to court.

# %%
forged = Claim("mallory", message_scheme, search.key, commit(search.key, message_scheme, b"mine"))
notary.enter("mallory", forged.commitment, datetime.datetime(2026, 5, 2, tzinfo=datetime.UTC))
null = forged.null(innocents)
swapped = Claim("mallory", message_scheme, Key.fresh(), forged.commitment)
hearings = [
    judge(claim, shipped, null, notary.register, notary.public_key, SEEN)
    for claim in (forged, swapped)
]
print(*hearings, sep="\n\n")

# %% [markdown]
# One more way is left: Mallory trains *a mark of their own* into our model, as the third thief did.
# Then both marks are in the copy, and Mallory's, the later one, reads better than ours. The dates
# decide, and one more thing that no date can change. Whose mark is in the file that the *other*
# committed to?

# %%
thief = removal.thief_key(seed)
stolen = copies[2]
print(
    f"in the stolen file: ours {message_in(stolen, key)}, the thief's {message_in(stolen, thief)}"
)
print(
    f"in our first file:  ours {message_in(shipped, key)}, the thief's {message_in(shipped, thief)}"
)

# %% [markdown]
# ## Decide
#
# Write to the general counsel, in 150 to 300 words, for a reader who has never heard of a p-value.
# Whom do we sue, on what evidence? This is what it will be read against:

# %%
lab.memo("memo")

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """
    Sue the four whose products hold our weights: the plain copy, the one rounded to four bits, the
    one with a second mark in it and the one that was shuffled. In each we find our secret message
    in the file of the device, and more of it than the court needs; the table in the dossier gives
    every count and p-value. In the one with a second mark only the weights speak. The whole
    procedure, seven products and two marks together, accuses anybody innocent with a
    chance of at most one in a thousand million.

    That number rests on two things. The message was drawn by coin before the launch, so a model
    made without it agrees by chance only. And we measured eight models that others could have
    trained on our very recordings; none comes near. Two more of that kind were judged like the
    accused, and were acquitted.

    Do not sue over the model that was trained on our answers. It may well be made from ours, and
    we cannot show it: no weight was copied, and nobody asked it for our noise. For the next product
    I propose a mark in the scores of ordinary answers, to be measured first on the product,
    or answers without scores and fewer of them.

    Our secret was committed to with a notary before the launch. Whoever comes with another key,
    however well it fits, came later or cannot open what was dated, and is not heard.

    All figures are from a small spotter with synthetic voices. Its marks have a price: models
    without any, trained on our recordings, understand more clips than it. Before filing, the same
    table must be made with the product itself, and with independent models of its size.
    """,
    # END SOLUTION
)

# %% [markdown]
# Keep the dossier: every verdict with its numbers, the register and the notary's public key, and
# the hash of each file. The secret is not in it. It is shown once, in court.

# %%
dossier = {
    "alpha": ALPHA,
    "product": hashlib.sha256(product_file.data).hexdigest(),
    "suspects": {
        name: hashlib.sha256(file.data).hexdigest()
        for name, file in (loot | dict(zip(names[8:], files[8:]))).items()
    },
    "commitments": [vars(claim.commitment) for claim in claims],
    "register": [vars(entry) for entry in notary.register],
    "notary": notary.public_key.hex(),
    "first_seen": SEEN.isoformat(),
    "verdicts": [verdict.as_dict() for verdict in verdicts],
    "statements": [str(verdict) for verdict in verdicts],
}
lab.save("dossier", dossier)
lab.save("product.tflite", product_file.data)

# %% [markdown]
# Last, put on record what you measured, in the form that all labs share. `lab.report()` writes it
# to `measurements.json`. In a terminal, `edgesec results list artefacts` puts those of all your
# labs into one table, and `edgesec threats` takes them in place of guesses.

# %%
copied = {
    "plain-copy": ("plain copy", "model-theft"),
    "four-bits": ("4-bit weights", "mark-removal"),
    "second-mark": ("thief's own mark", "mark-removal"),
    "shuffled": ("shuffled, rescaled", "mark-removal"),
    "trained-on-answers": ("trained on answers", "model-theft"),
}
of_name = {suspect.name: suspect for suspect in suspects}
for short, (name, attack) in copied.items():
    for mark, (read, looked_for, _) in MARKS.items():
        lab.record(
            f"{mark}-{short}",
            attack=attack,
            defence="watermark",
            subject=f"{mark} in the int8 file, {name}",
            metric="mark-found",
            successes=read(of_name[name], key),
            trials=looked_for,
            evidence="attack",
            setting="channels put in order first; exact 95 % as if each part were a draw",
        )
    lab.record(
        f"accuracy-{short}",
        attack=attack,
        defence="watermark",
        subject=f"the thief's int8 file, {name}",
        metric="accuracy",
        successes=round(accuracy(of_name[name]) * len(y_test)),
        trials=len(y_test),
        evidence="attack",
        setting="synthetic test clips in voices of their own; exact 95 %",
    )
for mark, (read, looked_for, _) in MARKS.items():
    lab.record(
        f"{mark}-innocent",
        attack="none",
        defence="watermark",
        subject=f"{mark} in models of others, trained on our recordings",
        metric="mark-found",
        successes=sum(read(model, key) for model in innocents),
        trials=looked_for * len(innocents),
        setting=f"all {len(innocents)} together, channels put in order first; exact 95 %",
    )
unmarked = [accuracy(model) for model in innocents]
lab.record(
    "accuracy-product",
    attack="none",
    defence="watermark",
    subject="our int8 file, with both marks",
    metric="accuracy",
    successes=round(accuracy(shipped) * len(y_test)),
    trials=len(y_test),
    setting="synthetic test clips in voices of their own; exact 95 %",
)
lab.record(
    "accuracy-unmarked",
    attack="none",
    defence="none",
    subject="models without a mark, same recordings",
    metric="accuracy",
    value=np.mean(unmarked),
    interval=(min(unmarked), max(unmarked)),
    setting=f"the same clips; mean of {len(unmarked)} models, from the worst to the best",
)

# %%
convicted = {v.suspect for v in verdicts if v.outcome == "shown"}
for name, metric, tried, evidence in (
    ("copies-shown", "detection-rate", copies, "attack"),
    ("innocents-shown", "false-alarm-rate", accused, "measurement"),
):
    lab.record(
        name,
        attack="model-theft" if metric == "detection-rate" else "none",
        defence="watermark",
        subject="verdicts on both marks together",
        metric=metric,
        successes=sum(one.name in convicted for one in tried),
        trials=len(tried),
        evidence=evidence,
        setting=f"at a chance of {ALPHA:g} for a false claim; the interval is for so few suspects",
    )
at_most = max(v.false_claim or 0.0 for v in verdicts)
lab.record(
    "false-claim",
    attack="none",
    defence="watermark",
    subject="any innocent model, all suspects and both marks together",
    metric="false-claim-probability",
    value=at_most,
    interval=(0, at_most),
    evidence="bound",
    setting="key drawn by coins before; rate of the design or of the innocents, the larger",
)
lab.record(
    "forged-signs",
    attack="false-ownership-claim",
    defence="none",
    subject="a stranger's message in an innocent model, signs chosen to fit it",
    metric="mark-found",
    successes=np.sum(bits == spelt),
    trials=len(spelt),
    evidence="attack",
    setting="a court that accepts any signs; exact 95 %",
)
lab.record(
    "forged-key",
    attack="false-ownership-claim",
    defence="watermark",
    subject="a stranger's message in our file, best of many keys",
    metric="mark-found",
    value=search.evidence,
    trials=TRIES,
    evidence="attack",
    setting=f"a court that asks for the secret; it takes {enough / BITS:.3f} to convince it",
)
lab.record(
    "late-claims-heard",
    attack="false-ownership-claim",
    defence="dated-commitment",
    subject="a key found afterwards, and a key exchanged for the one committed to",
    metric="bypass-rate",
    successes=sum(hearing.outcome != "refused" for hearing in hearings),
    trials=len(hearings),
    evidence="attack",
    setting="a notary's register of dated commitments; exact 95 %",
)

# %%
lab.report()

# %% [markdown]
# **Where to go next.** Change `BITS` to 48 and run the lab again: which verdicts change, and which
# of the acceptance criteria is in danger? Then give the thief a better weapon:
# train the third copy longer, until its accuracy drops, and find out which goes first, the words or
# the mark.
