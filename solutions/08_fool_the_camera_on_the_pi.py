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
# # Fool the camera on the Pi
#
# *About two hours. Two CPU cores, no accelerator, no network.*
#
# You will take the int8 file of a camera apart before it ships, and find out how little it takes to
# fool it. First with the file in your hands: one step uphill, then twenty. Then as a stranger who
# may only ask. Two of the numbers that you get will be wrong, and you will find out how to tell.
# You keep an assessment report and a memo on whether the camera ships.
#
# You need Python, NumPy, and to know what a gradient is. The chapter
# [Attacks on edge models](../chapters/attacks-on-edge-models.md) tells the story behind this lab;
# you can read it before or after.
#
# Each exercise asks for one short function. Replace `raise NotImplementedError`, run the cell,
# then run the check below it. **Nothing here is a dead end**: until your function passes, the
# notebook goes on with the course's own.

# %% tags=["parameters"]
profile = "full"  # "fast" is for tests: the same path with few images, so the intervals are wide
seed = 0  # another seed takes other images and draws other attacks

# %%
import hashlib
import math
import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot otherwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.stats import beta

from helpers import data, models, plots
from helpers.course import Lab
from helpers.edge import convert
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.robustness import assessment, assessment_report, losses, patch
from helpers.robustness.budget import Budget, as_stored, round_to_stored
from helpers.robustness.curves import robust_accuracy_curve
from helpers.robustness.masking import loss_landscape
from helpers.robustness.queries import square
from helpers.robustness.target import Target
from helpers.robustness.transfer import overshoot, transfer

lab = Lab("fool-the-camera-on-the-pi", seed=seed, profile=profile)
plots.use_style()
pd.set_option("display.max_colwidth", None)

# %% [markdown]
# ## The brief
#
# Your company is about to ship a camera: a Raspberry Pi 4 with a MobileNetV2 that says what passes
# the gate. The model has been shrunk to 8-bit integers, so that it runs on the Pi's four small
# cores. The team is proud of the speed, and somebody has read that rounding makes a model harder to
# attack. You assess it. The head of product wants one number and one sentence.
#
# **What is at stake.** The gate opens on what the camera says.
#
# **Who might attack.** Somebody who buys one camera and reads the file off its SD card. Somebody
# who may only ask the camera and see its scores. Somebody with a printer.
#
# **What is accepted.**
#
# 1. The deployed int8 file judges every attack, and nothing else does.
# 2. The number is what is left when an attacker may change each pixel by **4 of its 255 levels**,
#    which nobody sees, with its interval, its attacks and its number of images.
# 3. The camera may decide alone only if at least half of the images survive that.
# 4. No number is signed before you have looked for signs that the attack behind it was blind.

# %%
EPSILON = 4 / 255
IMAGES = {"fast": 32, "full": 160}[profile]
STEPS = {"fast": 8, "full": 20}[profile]
QUESTIONS = {"fast": 60, "full": 300}[profile]
FEW = {"fast": 12, "full": 40}[profile]  # images for what is slow
EXAMPLES = {"fast": 20, "full": 100}[profile]  # for the converter

# %% [markdown]
# ## Your prediction
#
# Commit before you measure. Nobody marks a prediction.
#
# **First.** Compare the int8 file with the float model that it was made from, each attacked by
# somebody who has it. What does rounding do to **robust accuracy**, the share of images that is
# still right under attack?

# %%
lab.predict(
    "what int8 does",
    # BEGIN SOLUTION
    "c",
    # END SOLUTION
    options={
        "a": "it helps: small changes are rounded away",
        "b": "it harms: rounding errors add to the attack",
        "c": "it hardly matters",
    },
)

# %% [markdown]
# **Second.** A good black-box attack asks the camera hundreds of questions about each image, and
# leaves a third or more of the images right. What does that show?

# %%
lab.predict(
    "what a black box shows",
    # BEGIN SOLUTION
    "b",
    # END SOLUTION
    options={
        "a": "that so many images withstand whoever does not have the file",
        "b": "that this attack with so many questions did not find a way",
        "c": "that the camera withstands small changes better than a float model",
    },
)

# %% [markdown]
# ## The camera
#
# The network is a MobileNetV2 at about a third of its width. It was trained once on the 50,000
# training photographs of CIFAR-10, which takes too long for a lab, and ships with this package.
# You attack photographs that it has never seen.
#
# CIFAR-10 may not be handed on, so it is not in this package. **If it is not on your machine, drawn
# shapes stand in**, and the network's last layer is taught their names; everything below stays the
# same. The next line says which of them you have. For the photographs run `edgesec data fetch
# cifar10` once (about 170 MB), or name a folder with a copy in `EDGESEC_DATA`, and start again.

# %%
pictures = data.cifar10(seed=seed)
print(pictures.describe())

network = models.pretrained_mobilenet_v2()
if pictures.source == "synthetic":
    taught = {"fast": 400, "full": 1600}[profile]
    network = models.with_new_head(
        network, pictures.x_train[:taught], pictures.y_train[:taught], len(pictures.class_names)
    )

order = np.random.default_rng(seed).permutation(len(pictures.x_test))
spare, chosen = order[:300], order[300 : 300 + IMAGES]
x = as_stored(pictures.x_test[chosen])  # as an 8-bit file keeps them
y = pictures.y_test[chosen].astype(np.int64)
print(f"{network.count_params():,} parameters; {len(x)} images to attack")

# %% [markdown]
# It ends in a softmax, which turns the last layer's ten numbers, the **logits**, into scores that
# add up to 1. The scores are calibrated: meant to say how often the camera is right. One number is
# fitted for that on spare images, the **temperature** by which the logits are divided. Then comes
# the conversion, with images that show TensorFlow Lite the range of every layer.

# %%
product = models.calibrated(network, pictures.x_test[spare], pictures.y_test[spare])
camera_file = convert.to_tflite(product, "int8", pictures.x_train[:EXAMPLES])
camera = open_model(camera_file, isolated=False)
print(f"{camera_file.num_bytes:,} bytes, run by {camera.runtime}")
for side in (*camera.contract.inputs, *camera.contract.outputs):
    print(f"{side.shape} {side.dtype}, a step is {side.scale:.7f}, zero is {side.zero_point}")

# %% [markdown]
# The file takes pixels and gives scores in 256 steps each. It has no gradient, and integers have
# none to give. But everything that it computes with is in it. So the attacker who has the file
# reads the weights back and builds the same network again, in TensorFlow: the **replica**.
# Activations are rounded in it as the file rounds them, and the gradient is passed *straight
# through* each rounding, as if it were not there.

# %%
replica = build_replica(camera_file, logits=True)
target = Target(camera.predict, replica, name="camera.tflite")


@tf.function(input_signature=[tf.TensorSpec([None, *x.shape[1:]], tf.float32)])
def answer(images):
    """The float model, compiled: layer by layer it takes several times as long."""
    return product(images)


def ask_product(images):
    """The float model's scores."""
    chunks = [tf.constant(images[i : i + 256], tf.float32) for i in range(0, len(images), 256)]
    return np.concatenate([answer(chunk).numpy() for chunk in chunks])


original = Target(ask_product, network, name="float model")

says = target.labels(x)
print(f"right: file {np.mean(says == y):.3f}, float model {np.mean(original.labels(x) == y):.3f}")
print(f"the same label from both: {np.mean(says == original.labels(x)):.1%} of the images")
print(f"the replica's labels are the file's: {np.mean(np.argmax(replica(x), axis=1) == says):.1%}")

# %% [markdown]
# The replica need not give every label of the file. It rounds what it has computed in float32,
# where the file computes in integers; a code that is off by one grows through fifty layers. What an
# attacker needs of it is the direction.
#
# ## With the file in hand
#
# ### Exercise 1: how many steps of the file
#
# The radius is a length on a scale from black = 0 to white = 1. The file knows only its own steps
# of length `scale`. Return **how many whole steps** the radius `epsilon` allows. Mind that the file
# keeps its scale in float32, to about seven digits: what should be 4 may come out as 3.9999998. A
# ten-thousandth of a step is tolerance enough.


# %%
@lab.task("q1")
def steps_allowed(epsilon, scale):
    """How many whole steps of the file's input lie within a radius."""
    # BEGIN SOLUTION
    return math.floor(epsilon / scale + 1e-4)
    # END SOLUTION


# %%
lab.check("q1")

# %%
print("steps allowed:", steps_allowed(EPSILON, camera.contract.inputs[0].scale), "of 255")

# %% [markdown]
# ### Exercise 2: one step uphill
#
# The **loss** says how wrong the replica is. Its gradient says for each pixel whether lighter or
# darker makes it more wrong. With one step for the whole radius, the best is to move every pixel by
# `epsilon` in that direction, however small the slope, and to leave it where there is none: the
# *fast gradient sign method* (Goodfellow, Shlens and Szegedy 2015). Return the changed images, with
# every pixel between 0 and 1.


# %%
@lab.task("q2")
def one_step(images, gradient, epsilon):
    """Move each pixel by epsilon in the direction that raises the loss."""
    # BEGIN SOLUTION
    return np.clip(images + epsilon * np.sign(gradient), 0, 1)
    # END SOLUTION


# %%
lab.check("q2")


# %%
@tf.function
def slope(model_input, labels):
    """The gradient of the replica's loss at each pixel."""
    with tf.GradientTape() as tape:
        tape.watch(model_input)
        wrongness = losses.cross_entropy(replica(model_input), labels)
    return tape.gradient(wrongness, model_input)


def gradient_at(images):
    return slope(tf.constant(images, tf.float32), tf.constant(y)).numpy()


stepped = one_step(x, gradient_at(x), EPSILON)
after_one = target.labels(stepped)
print(f"right before {np.mean(says == y):.3f}, after one step {np.mean(after_one == y):.3f}")

# %% [markdown]
# ### Exercise 3: one of many steps
#
# The loss is no plane, so the direction is right only nearby. *Projected gradient descent* (Madry
# and others 2018) takes many small steps and asks for the direction anew at each. It may never
# leave the budget: a box of `epsilon` to either side of the **clean** pixel, and between 0 and 1.
# Write one step: from `current` go `size` in the direction of the gradient's sign, then go back
# into the box.


# %%
@lab.task("q3")
def small_step(clean, current, gradient, size, epsilon):
    """One step of projected gradient descent."""
    # BEGIN SOLUTION
    wanted = current + size * np.sign(gradient)
    return np.clip(np.clip(wanted, clean - epsilon, clean + epsilon), 0, 1)
    # END SOLUTION


# %%
lab.check("q3")

# %%
current = x
for _ in range(STEPS):
    current = small_step(x, current, gradient_at(current), 2.5 * EPSILON / STEPS, EPSILON)

fooled = round_to_stored(x, current, Budget(EPSILON))  # as it can be saved: whole pixel levels
after_many = target.labels(fooled)
print(f"right after {STEPS} steps: {np.mean(after_many == y):.3f}")

# %% [markdown]
# Look at them. The third row shows the change, fifteen times as strong and around grey.

# %%
names = [name.removeprefix("synthetic ") for name in pictures.class_names]  # room for two
fell = np.flatnonzero((says == y) & (after_many != y))[:6]
plots.compare_images(
    x[fell],
    {"attacked": fooled[fell], "the change": 0.5 + 30 * (fooled[fell] - x[fell]) / 2},
    {"attacked": [f"{names[y[i]]} →\n{names[after_many[i]]}" for i in fell]},
)
plt.show()

# %% [markdown]
# ### Exercise 4: what is left
#
# You have two attacks now, and more will come. An attacker takes, **for each image**, whichever
# works. Return the share of *all* images that were right before (`clean` holds the labels given to
# the clean images) and that stayed right under every attack. `attacked` has a row of labels for
# each attack.


# %%
@lab.task("q4")
def robust_accuracy(truth, clean, attacked):
    """Share of images right before and after every attack. attacked: (attacks, images)."""
    # BEGIN SOLUTION
    return float(np.mean((clean == truth) & np.all(attacked == truth, axis=0)))
    # END SOLUTION


# %%
lab.check("q4")

# %%
left = robust_accuracy(y, says, np.stack([after_one, after_many]))
print(f"robust accuracy within {EPSILON * 255:.0f}/255: {left:.3f}")

# %% [markdown]
# Whatever you try, this number is an **upper bound** of what the file withstands. An attack that
# fails proves nothing; the next one may not.
#
# ### Exercise 5: how sure
#
# You tried some images, not all there are. With `left` of `images` still right, the exact 95 %
# interval (Clopper and Pearson 1934) goes from `beta.ppf(0.025, left, images - left + 1)` to
# `beta.ppf(0.975, left + 1, images - left)`. At the ends those formulas fail: with nothing left the
# lower end is 0, with everything left the upper end is 1. Return both ends.


# %%
@lab.task("q5")
def interval(left, images):
    """Both ends of the exact 95 % interval of left / images."""
    # BEGIN SOLUTION
    low = float(beta.ppf(0.025, left, images - left + 1)) if left else 0.0
    high = float(beta.ppf(0.975, left + 1, images - left)) if left < images else 1.0
    return low, high
    # END SOLUTION


# %%
lab.check("q5")

# %%
count = round(left * len(x))
print(
    f"{count} of {len(x)}: {left:.3f}, from {{:.3f}} to {{:.3f}}".format(*interval(count, len(x)))
)

# %% [markdown]
# Now the comparison that you predicted. The library does what you wrote, at five radii, on the file
# with its replica and on the float model with its own gradients. Each model judges itself.


# %%
def by_pgd(held, images, labels, budget):
    return transfer(held, images, labels, budget, steps=STEPS, seed=seed)


LEVELS = [0, 1, 2, 3, 4]
both = {
    held.name: robust_accuracy_curve(
        held, x, y, [level / 255 for level in LEVELS], by_pgd, progress=True
    )
    for held in (target, original)
}
plots.curves(
    {name: (LEVELS, curve.y) for name, curve in both.items()},
    "radius, in pixel levels",
    "robust accuracy",
    bands={name: (curve.low, curve.high) for name, curve in both.items()},
    ylim=(0, 1),
)
plt.show()
pd.DataFrame(
    {
        name: [f"{left} of {curve.trials}" for left in curve.successes]
        for name, curve in both.items()
    },
    index=[f"{level:g}/255" for level in LEVELS],
)

# %% [markdown]
# Look for a radius at which one band leaves the other. Where they overlap, **rounding did nothing
# that this many images could show**, neither as a defence nor as a weakness. If they overlap all
# along, the first answer was *c*, as far as these images go. (Both models got the same images, so
# a test on pairs is sharper than two bands. The assessment below makes one.)
#
# ## Without the file
#
# The second attacker may only ask. *Square Attack* (Andriushchenko and others 2020) paints squares
# at random, asks for the scores, and keeps a square that does not help the right class. It needs no
# gradient at all.

# %%
asked = square(target, x, y, EPSILON, queries=QUESTIONS, seed=seed)
claimed = asked.robust_accuracy
claim_low, claim_high = interval(int(asked.robust.sum()), len(x))
print(f"Square, {QUESTIONS} questions an image: robust accuracy {claimed:.3f}, "
      f"from {claim_low:.3f} to {claim_high:.3f}")  # fmt: skip

# %% [markdown]
# Compare that with your own attack above, and with what the brief asks for. A report with this line
# in it would read well: a published attack, the deployed file, an exact interval. Keep it in mind.
# We come back to it.
#
# ### Exercise 6: what so many questions buy
#
# A camera can limit questions, so how many does it take? For each image you have whether it was
# `correct` to begin with, whether it was `fooled` in the end, and how many questions were `asked`
# about it; one that held was asked until the limit. Of the images once correct, return the share
# that was fooled with **at most** `most` questions.


# %%
@lab.task("q6")
def fooled_within(correct, fooled, asked, most):
    """Share of the once correct images that fall to at most so many questions."""
    # BEGIN SOLUTION
    return float(np.mean((fooled & (asked <= most))[correct]))
    # END SOLUTION


# %%
lab.check("q6")

# %%
questions = np.unique(np.geomspace(2, QUESTIONS, 20).astype(int))
shares = [fooled_within(asked.correct, asked.fooled, asked.queries, n) for n in questions]
plots.curves(
    {"Square on the file": (questions, shares)}, "questions an image", "share fooled", ylim=(0, 1)
)
plt.show()

# %% [markdown]
# ### Exercise 7: steps that change nothing
#
# Whoever asks learns from *differences*: I changed this, and the right class lost that much. The
# **margin** is the right class's score less the best of the others. But the file answers in steps
# of 1/256. Return the share of small changes that leave the margin **exactly** as it was. `at_rest`
# has the scores of the clean images, one row an image; `moved` has such a table for each change.


# %%
@lab.task("q7")
def flat_share(at_rest, moved, truth):
    """Share of changes that move no margin. at_rest: (n, classes), moved: (changes, n, classes)."""

    # BEGIN SOLUTION
    def margin(scores):
        right = scores[np.arange(len(truth)), truth]
        others = scores.copy()
        others[np.arange(len(truth)), truth] = -np.inf
        return right - others.max(axis=1)

    return float(np.mean([margin(scores) == margin(at_rest) for scores in moved]))
    # END SOLUTION


# %%
lab.check("q7")

# %%
rng = np.random.default_rng(seed)
nudges = [np.clip(x + rng.choice([-1, 1], x.shape) / 255, 0, 1) for _ in range(4)]
for held in (target, original):
    rest = held.scores(x)
    share = flat_share(rest, np.stack([held.scores(rows) for rows in nudges]), y)
    print(f"{held.name:14} flat steps {share:.1%}")

# %% [markdown]
# The float model has a slope everywhere. The file has **plateaus**: a small change often moves its
# scores by less than one of their 256 steps, and then makes no difference at all. Below is the
# margin around the image that it is surest of, along two random directions.

# %%
surest = int(np.argmax(np.where(says == y, target.scores(x).max(axis=1), 0)))
figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for axis, held in zip(axes, (target, original)):
    offsets, margins = loss_landscape(held.ask, x[surest], int(y[surest]), EPSILON, points=15)
    reach = [offsets[0] * 255, offsets[-1] * 255] * 2
    drawn = axis.imshow(margins, extent=reach, origin="lower", cmap="viridis")
    axis.set(title=held.name, xlabel="one direction, levels", ylabel="another direction, levels")
    axis.grid(visible=False)
    figure.colorbar(drawn, ax=axis, label="margin")
    print(f"{held.name}: {len(np.unique(margins))} different margins at {margins.size} points")
plt.show()

# %% [markdown]
# Does that explain the number? Let the same attack ask three: the float model, the file, and the
# same camera behind **an app that shows sharpened scores in whole percent**. The app changes no
# label. It only makes the camera sound sure.


# %%
def ask_app(images):
    """The camera's scores, sharpened and in whole percent."""
    sharp = camera.predict(images) ** 8
    return np.round(sharp / sharp.sum(axis=1, keepdims=True), 2)


some, by_asking = slice(FEW), {}
for held in (original, target, Target(ask_app, name="behind the app")):
    outcome = square(held, x[some], y[some], EPSILON, queries=QUESTIONS // 2, seed=seed)
    by_asking[held.name] = outcome
    nudged = [held.scores(rows[some]) for rows in nudges]
    flat = flat_share(held.scores(x[some]), np.stack(nudged), y[some])
    print(f"{held.name:14} flat steps {flat:.0%}; Square leaves {outcome.robust.sum()} of "
          f"{outcome.correct.sum()} right images")  # fmt: skip

yours = target.labels(fooled[some]) == y[some]
print(f"your own attack, shown to the camera: {yours.sum()} left, with the app or without")

# %% [markdown]
# It is one network in all three lines, rounded in two of them, and the images are few: read the
# counts, not the last digit. What the first line leaves cannot come from rounding, since there is
# none in it. It is left because the attack has few questions for an image of 3,072 numbers. What
# the others leave beyond that, if it is more than chance, is the work of flat steps: the less a
# camera says, the blinder is whoever asks. Now the last line, of somebody who has the file: all
# that lies above it is **not strength of the model**. Whoever sharpens the scores could report a
# fine number, and would have changed nothing. So to the second prediction the answer is *b*.
#
# ## The shortest change
#
# Some attacks look for the *smallest* change that fools a model, such as DeepFool and the attack of
# Carlini and Wagner. They stop on the boundary between two classes of the model that they
# differentiate. Make such a change from your own, which points where the replica said: take a
# sixtieth of it, and lengthen that until the **float model** only just changes its mind. Then show
# it to the file.

# %%
tiny = x[some] + (current[some] - x[some]) / 60
stopped = overshoot(
    original, x[some], y[some], tiny, norm="linf", furthest=60, points=40, refinements=8
)
hit = stopped.fooled & (says == y)[some]
survived = hit & (target.labels(stopped.adversarial) == y[some])
print(f"{hit.sum()} images stand just beyond the float model's boundary, by changes of "
      f"{255 * np.median(stopped.distances[hit]):.2f} levels (median)")  # fmt: skip
print(f"the file is still right on {survived.sum()} of them")

# %% [markdown]
# ### Exercise 8: how far to go on
#
# So go on along the same line: `lengths` are multiples of the shrunk change, from 1 upwards, and
# `right` has for each length a row that says which images the file still gets right. Return for
# each image the **first length at which it is wrong**, or `nan` if there is none.


# %%
@lab.task("q8")
def first_fall(lengths, right):
    """The first length that fools each image. right: (lengths, images)."""
    # BEGIN SOLUTION
    wrong = ~right
    return np.where(wrong.any(axis=0), lengths[np.argmax(wrong, axis=0)], np.nan)
    # END SOLUTION


# %%
lab.check("q8")

# %%
lengths = np.geomspace(1, 4, 25)
change = stopped.adversarial - x[some]
right = np.stack([target.labels(np.clip(x[some] + n * change, 0, 1)) == y[some] for n in lengths])
falls = np.array(first_fall(lengths, right))[survived]
print(f"of the {survived.sum()} that survived, {np.isfinite(falls).sum()} fall when carried on")
if np.isfinite(falls).any():
    print(f"at a change {np.nanmedian(falls):.2f} times as long (median)")

# %% [markdown]
# An evaluation that stops on the wrong model's boundary reports the survivors as robust. There are
# two reasons to survive there: the file's boundary lies a little elsewhere, and the file sees whole
# pixel levels, so that what is shorter than half a level is no change to it. Neither is a defence
# for an image that falls a little further along the same line. One that does not fall has told you
# nothing yet: another line may fool it.
#
# ## Attack it
#
# Now attack **your own report**. Suppose you had only asked the camera, and had written down
# Square's number with its interval. The assessment below does what a second opinion would do. It
# attacks with several losses and judges each image as it can be saved. It runs a **checklist for
# masked gradients** (after Athalye, Carlini and Wagner 2018), and it says which number alone would
# have misled you.

# %%
found = assessment.assess(
    target,
    x,
    y,
    assessment.Subject(
        "camera.tflite",
        hashlib.sha256(camera_file.data).hexdigest(),
        camera_file.num_bytes,
        f"{pictures.name}, {pictures.source}, drawn by seed {seed}",
    ),
    assessment.Plan(EPSILON, STEPS, restarts=1, queries=QUESTIONS, examined=FEW, seed=seed),
    original=network,
    progress=True,
)
pd.DataFrame(
    {
        "attack": [result.attack for result in found.results],
        "needs": [result.needs for result in found.results],
        "robust accuracy": [f"{result.accuracy:.3f}" for result in found.results],
        "interval": ["{:.3f} to {:.3f}".format(*found.interval(r.robust)) for r in found.results],
    }
)

# %%
print(f"You would have signed {claimed:.3f} ({claim_low:.3f} to {claim_high:.3f}).")
print("All attacks together leave {:.3f} ({:.3f} to {:.3f}).".format(
    found.robust_accuracy, *found.interval()))  # fmt: skip
print()
print(found.checklist)

# %% [markdown]
# Read the checklist line by line; to save time it looks at the first images only. Gradients that
# are **masked** give themselves away: an attack without them does better than one with them, more
# steps go on finding more, or a budget that allows everything leaves something. If no such line
# bears a mark, the white-box numbers stand; where one does, follow its advice before you sign. The
# number to sign is the lowest, *all attacks together*. It cannot lie above what one attack leaves,
# your own included: where another loss fools what the first one missed, it lies below.
#
# If the checklist says that scores are flat, it says so of Square's number. A number for which the
# weaker attacker was chosen is not robustness, however exact its interval: the interval knows how
# many images there were, not how good the attack was.

# %%
pd.DataFrame([vars(finding) for finding in found.findings])

# %% [markdown]
# ## And a printer
#
# The third attacker changes a small part of the picture, and changes it completely. A patch is
# trained over many places, turns and sizes, on the replica, and judged by the file on images that
# it was not trained on. A grey square of the same size is the control: it only hides things. Above
# each picture stands what the file takes it for.

# %%
half = len(x) // 2
made = patch.train_patch(
    replica,
    x[:half],
    y[:half],
    steps={"fast": 15, "full": 80}[profile],
    batch_size=16,
    seed=seed,
    progress=True,
)
grey = np.full_like(made, 0.5)
unseen, truth = x[half:], y[half:]
kept = {
    "nothing": target.labels(unseen) == truth,
    "a grey square": target.labels(patch.apply_patch(unseen, grey, seed=seed)) == truth,
    "the patch": target.labels(patch.apply_patch(unseen, made, seed=seed)) == truth,
}
for name, right in kept.items():
    print(f"{name:14} right {right.mean():.3f}, from {{:.3f}} to {{:.3f}}".format(
        *interval(int(right.sum()), len(right))))  # fmt: skip

shown = patch.apply_patch(unseen[:5], made, seed=seed)
heard = [f"{names[label]}?" for label in target.labels(shown)]
plots.image_grid(
    np.concatenate([shown, tf.image.resize(made[None], (32, 32), "nearest")]),
    titles=[*heard, "the patch"],
)
plt.show()

# %% [markdown]
# What the patch takes beyond the grey square is its own doing; where their intervals overlap, these
# images do not settle how much. And this is a patch pasted into a file. On paper, the ink, the
# light, the angle and the lens stand between it and the camera: *that* has to be measured at the
# gate.
#
# ## Decide
#
# Write to the head of product, in 150 to 300 words. Does the camera ship, and what may it decide
# alone? This is what it will be read against:

# %%
lab.memo("memo")

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """
    Do not ship the camera as the only thing that opens the gate. Ship it as one of two signals,
    with a person or a second sensor for whatever is costly, and with the conditions below.

    Within a change of four of 255 pixel levels, which nobody sees, 1 of 160 photographs is still
    right (0 to 3.4 %), after 20 steps with three losses; unchanged, 133 were, and you asked for
    half. That is an upper bound, as every attack gives: a better attacker leaves less, and never
    more. He needs one camera, whose file can be read off the card, and seconds a picture. I rate
    that high.

    Turning the model into 8-bit integers changed neither accuracy nor robustness by anything
    that these images show. Please do not tell customers that it protects. You may hear of 54 %,
    from an attack that only asks the camera, 300 times an image. That figure is about the
    attack: the checklist finds the rounded scores flat, so its questions tell it little, and
    marks nothing else. I would not sign it. That it fools a third of the right images without
    the file is a finding of its own, and as high.

    A patch leaves 46 % (35 to 58 %) where a grey square of its size leaves 66 %, and the
    intervals still overlap: I rate the printer lower, until it has been tried through the lens.

    Conditions: give out labels and not scores, limit questions, decide over several frames, and
    train the next version against such changes, with the same report for it.

    Not measured here: other pictures than these small ones, what the lens and the light leave of
    such changes, and the speed on the Pi. They come next, at the gate.
    """,
    # END SOLUTION
)

# %% [markdown]
# Keep the report, as a page to hand on and as JSON for the next version to be compared with; the
# file, whose hash is in it; and the patch, ready to print at ten centimetres.

# %%
lab.save("assessment.json", assessment_report.to_json(found))
lab.save("assessment.html", assessment_report.to_html(found))
lab.save("camera.tflite", camera_file.data)
with tempfile.TemporaryDirectory() as folder:
    printed = patch.save_patch(f"{folder}/patch.png", made, centimetres=10)
    lab.save("patch.png", printed.read_bytes())

# %% [markdown]
# Last, put on record what you measured, in the form that all labs share. `lab.report()` writes it
# to `measurements.json`. In a terminal, `edgesec results list artefacts` puts those of all your
# labs into one table, and `edgesec threats` takes them in place of guesses.

# %%
these = f"{pictures.name}, {pictures.source}"
radius = f"{EPSILON * 255:.0f} of 255 levels a pixel; {these}"
few_questions = f"Square, {QUESTIONS // 2} questions an image; {radius}"
for short, part, held, defence in (
    ("float", "float model", original, "none"),
    ("int8", "int8 file", target, "quantisation"),
):
    right = both[held.name].successes
    asked_few = by_asking[held.name].robust.sum()
    for name, attack, left, trials, how in (
        ("right", "none", right[0], len(x), f"no attack; {these}"),
        ("pgd", "evasion", right[-1], len(x), f"PGD, {STEPS} steps; {radius}"),
        ("square-few", "evasion-by-questions", asked_few, FEW, few_questions),
    ):
        lab.record(
            f"{name}-{short}",
            attack=attack,
            defence=defence,
            subject=f"camera, {part}",
            metric="accuracy",
            successes=left,
            trials=trials,
            evidence="measurement" if attack == "none" else "attack",
            setting=how,
        )
for name, attack, defence, left, how in (
    ("all-attacks", "evasion", "none", found.robust, f"PGD with several losses, Square; {radius}"),
    ("square", "evasion-by-questions", "none", asked.robust,
     f"Square, {QUESTIONS} questions an image; {radius}"),
    ("square-few-app", "evasion-by-questions", "coarse-answers",
     by_asking["behind the app"].robust, few_questions),
    ("pgd-app", "evasion", "coarse-answers", yours,
     f"PGD, {STEPS} steps, by somebody who has the file; {radius}"),
    ("patch", "evasion-by-patch", "none", kept["the patch"], f"trained on other pictures; {these}"),
    ("grey-square", "evasion-by-patch", "none", kept["a grey square"],
     f"a control that only hides things; {these}"),
):  # fmt: skip
    lab.record(
        name,
        attack=attack,
        defence=defence,
        subject="camera, int8 file" + (" behind the app" if "app" in name else ""),
        metric="accuracy",
        successes=left.sum(),
        trials=len(left),
        evidence="measurement" if name == "grey-square" else "attack",
        setting=how,
    )
lab.record(
    "fooled",
    attack="evasion",
    defence="none",
    subject="camera, int8 file",
    metric="attack-success-rate",
    successes=(found.correct & ~found.robust).sum(),
    trials=found.correct.sum(),
    evidence="attack",
    setting=f"of the pictures once right, by any of the attacks; {radius}",
    threat="evasion",
)

# %%
lab.report()

# %% [markdown]
# **Where to go next.** The same report for a file of yours is one command:
# `edgesec assess MODEL.tflite --data IMAGES.npz --epsilon 4/255`. With a network,
# `models.pretrained_mobilenet_v2("imagenet")` is the full-size camera, for pictures of yours. Then
# make the camera look better without making it better: multiply the logits by 20 before the
# softmax, convert again, and see what Square and the checklist say.
