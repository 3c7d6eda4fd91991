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
# # The frontier
#
# *About two hours. Two CPU cores, no accelerator, no network.*
#
# A scanner that is worn on a finger reads handwritten postcodes. Its processor is small, and
# somebody may print a faint pattern over what it reads. You train one network at several widths and
# in several ways, ship each in two number formats, measure what every file can do and what it
# costs, and choose one. You keep the chosen file, a page on which others can explore the designs,
# and a memo that defends the choice.
#
# You need Python, and to know what adversarial training is. The chapter
# [Trade-offs](../chapters/trade-offs.md) tells what lies behind this lab; you can read it before or
# after.
#
# Each exercise asks for one short function. Replace `raise NotImplementedError`, run the cell,
# then run the check below it. **Nothing here is a dead end**: until your function passes, the
# notebook goes on with the course's own.

# %% tags=["parameters"]
profile = "full"  # "fast" is for tests: the same path, with too little data to learn from
seed = 0  # another seed draws other images and other networks

# %%
import os
from dataclasses import replace

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot otherwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from tqdm import tqdm

from helpers import data, models, plots
from helpers.course import Lab
from helpers.edge import convert
from helpers.edge.arena import plan_arena
from helpers.edge.devices import estimate, work_of
from helpers.edge.quantise import round_model
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.robustness.budget import Budget, as_stored
from helpers.robustness.explorer import Explorer
from helpers.robustness.frontier import Design, Measure, pareto_front
from helpers.robustness.gradients import Pgd
from helpers.robustness.target import Target, proportion_interval
from helpers.robustness.training import Settings, fit_robust
from helpers.robustness.transfer import worst_case

lab = Lab("the-frontier", seed=seed, profile=profile)
plots.use_style()
tf.get_logger().setLevel("ERROR")  # it advises on compilation in the middle of a table

# %% [markdown]
# ## The brief
#
# A parcel depot gives its workers ring scanners. One reads the digits of a handwritten postcode and
# says which chute the parcel goes to. The processor is a Cortex-M4 at 120 MHz, shared with a radio
# and a display; the battery lasts a shift if reading stays short.
#
# **What is at stake.** A digit misread sends a parcel to the wrong town.
#
# **Who attacks.** Somebody who hands in parcels and wants them to go astray. They print a faint
# pattern over the digits; each pixel may change by at most **15 % of the range from white to
# black**. They have bought a ring and read the file off it.
#
# **The budget of the device.** What the firmware leaves for this model:

# %%
EPSILON = 0.15
LIMITS = {"kilobytes": 5.5, "memory": 2.0, "milliseconds": 4.0}  # kB, kB, ms: at most

# %% [markdown]
# The time is counted at the *upper end* of its estimate, since nothing can be measured on the ring
# yet.
#
# **What is accepted.**
#
# 1. The file keeps to all three limits.
# 2. Its robust accuracy is what every attack that was tried leaves, judged by the file itself,
#    on images that had no part in the choice, with an interval.
# 3. Each design that was passed over is named with what it would have given, and the memo says
#    where the images do not settle the difference.
# 4. The memo says what robustness costs at this size, and why, from measurements.

# %%
WIDTHS = {"fast": (2, 8), "full": (2, 4, 8, 16)}[profile]
TRAINED_ON = {"fast": 500, "full": 3000}[profile]
EPOCHS = {"fast": 2, "full": 10}[profile]
CONTEST = {"fast": 100, "full": 400}[profile]  # images to choose by; the others stay sealed
SEALED = {"fast": 100, "full": 1000}[profile]

# %% [markdown]
# ## Your prediction
#
# Commit before you measure. Nobody marks a prediction.
#
# **First.** Adversarial training makes a network robust and costs clean accuracy. Where does it
# cost the most?

# %%
lab.predict(
    "who pays most",
    # BEGIN SOLUTION
    "a",
    # END SOLUTION
    options={
        "a": "in the narrowest network",
        "b": "in the widest, which has the most to lose",
        "c": "about the same at every width",
    },
)

# %% [markdown]
# **Second.** A narrow network ends with a low robust accuracy. What is the main reason?

# %%
lab.predict(
    "why",
    # BEGIN SOLUTION
    "b",
    # END SOLUTION
    options={
        "a": "it learns the attacked training images and does not carry that over to new ones",
        "b": "it cannot even get the attacked training images right",
        "c": "rounding to few bits hurts it more",
    },
)

# %% [markdown]
# ## The designs
#
# Real handwritten digits stand for the postcodes: 5,000 of MNIST, each averaged down to 14 x 14
# pixels, which is what the ring's sensor has. The images to test on come in two parts. The
# **contest** is for choosing. The **sealed** part is for what you promise in the end, and nothing
# may be chosen by it.

# %%
digits = data.mnist("offline", seed=seed)
print(digits.describe())
images = np.concatenate([digits.x_train, digits.x_test])
labels = np.concatenate([digits.y_train, digits.y_test]).astype(np.int64)
images = as_stored(images.reshape(-1, 14, 2, 14, 2, 1).mean(axis=(2, 4)))
order = np.random.default_rng(seed).permutation(len(images))
cuts = np.cumsum([TRAINED_ON, 100, CONTEST, SEALED])
(x, y), watch, (x_contest, y_contest), (x_sealed, y_sealed) = (
    (images[part], labels[part]) for part in np.split(order[: cuts[-1]], cuts[:-1])
)
plots.image_grid(x_contest[:10, :, :, 0], [str(label) for label in y_contest[:10]], columns=10)
plt.show()

# %% [markdown]
# A **design** is everything that decides what ships: here a *width* (the number of filters in the
# first layer; the second has twice as many), a *recipe* of training, and a *format*.
#
# | recipe | each batch is |
# |---|---|
# | plain | shown as it is |
# | half | attacked by PGD, with half of the radius |
# | pgd | attacked by PGD, with the whole radius (Madry et al. 2018) |
# | free | shown four times, one gradient for weights and attack both (Shafahi et al. 2019) |
#
# PGD, projected gradient descent, goes up the loss here, in small steps and within the radius.
# Free training makes twice as many updates here, and still computes two gradients where pgd
# computes five. The last three start from the plain network of their width. From random weights a
# narrow network may learn to give one and the same answer for everything, which no attack can
# change. Of each training the epoch is kept that does best on `watch`, 100 images of their own.

# %%
RECIPES = {
    "plain": (0.0, Settings("plain", epochs=EPOCHS, learning_rate=3e-3)),
    "half": (EPSILON / 2, Settings("pgd", epochs=EPOCHS, steps=4, learning_rate=3e-3)),
    "pgd": (EPSILON, Settings("pgd", epochs=EPOCHS, steps=4, learning_rate=3e-3)),
    "free": (EPSILON, Settings("free", epochs=2 * EPOCHS, learning_rate=3e-3)),
}


def train(width, recipe, rows=slice(None), **changes):
    """A network of one width by one recipe; `changes` go into its settings."""
    radius, how = RECIPES[recipe]
    fresh = models.small_cnn((14, 14, 1), 10, filters=(width, 2 * width), seed=seed)
    start = fresh if recipe == "plain" else networks[width, "plain"]
    how = replace(how, **changes)
    return fit_robust(start, x[rows], y[rows], radius, watch, how, seed=seed).model


networks = {}
for width, recipe in tqdm([(w, r) for w in WIDTHS for r in RECIPES], desc="trainings"):
    networks[width, recipe] = train(width, recipe)

# %% [markdown]
# ## What ships, and what it costs
#
# The ring computes in integers, so every network is converted to int8. The second format also
# rounds the kernels to what 4 bits can hold. No runtime that is used here packs two of them into a
# byte; the size given is what packing would give, and speed is counted as for int8.
#
# Three costs: the **file** that has to fit the flash and the **memory** for activations, both in kB
# (1,000 bytes), and the **time** of one digit in ms, whose upper end is estimated from published
# measurements on that processor. All of those networks are larger than ours: what a call costs
# beside its arithmetic is in none of these numbers.

# %%
FORMATS = ("int8", "4 bits")


def ship(network, form):
    """The file of a network in one format."""
    kept = round_model(network, 4) if form == "4 bits" else network
    return convert.to_tflite(kept, "int8", x[:200], float_edges=True)


def weigh(file, form):
    """What a file costs: kB, kB and ms."""
    work = work_of(file.data)
    spared = work.weights // 2 if form == "4 bits" else 0
    return {
        "kilobytes": (file.num_bytes - spared) / 1000,
        "memory": plan_arena(file.data).planned_bytes / 1000,
        "milliseconds": estimate(work, "cortex-m4").high,
    }


KEYS = [(*key, form) for key in networks for form in FORMATS]
NAMES = [f"{width} {recipe}, {form}" for width, recipe, form in KEYS]
files = {key: ship(networks[key[:2]], key[2]) for key in tqdm(KEYS, desc="files")}
runners = {key: open_model(file, isolated=False) for key, file in files.items()}
costs = pd.DataFrame([weigh(file, key[2]) for key, file in files.items()], index=NAMES)
costs[[" plain, int8" in name for name in NAMES]].round(2)

# %% [markdown]
# A design is called by its width, recipe and format. Costs hang on width and format. The recipe
# changes none of them: adversarial training is paid for before the device is sold, and in accuracy.
#
# ## Attack every file
#
# An int8 file has no gradients. But everything it computes with is in it, so the attacker builds
# its **replica** in TensorFlow, climbs there, and shows the result to the file, which decides
# (lab 8 takes this apart). Each design is attacked twice: by images made on its own replica, and by
# those made for its *sibling*, the same network in the other format.


# %%
def answers(key, pictures):
    return runners[key].predict(pictures).argmax(axis=1)


replicas = {key: build_replica(file, logits=True) for key, file in files.items()}
climbers = {key: Pgd(replica) for key, replica in replicas.items()}


def attack(key, pictures, truth, epsilon=EPSILON):
    """Pictures that are made to fool one design."""
    return climbers[key](pictures, truth, epsilon, seed=seed)


made = {key: attack(key, x_contest, y_contest) for key in tqdm(KEYS, desc="attacks")}
sibling = {key: (*key[:2], FORMATS[key[2] == "int8"]) for key in KEYS}
clean_right = np.array([answers(key, x_contest) == y_contest for key in KEYS])
attacked_right = np.array(
    [
        [answers(key, made[key]) == y_contest for key in KEYS],
        [answers(key, made[sibling[key]]) == y_contest for key in KEYS],
    ]
)
example = (WIDTHS[-1], "plain", "int8")
shown = np.concatenate([x_contest[:8], made[example][:8]])[..., 0]
said = [*y_contest[:8], *answers(example, made[example][:8])]
plots.image_grid(shown, [str(label) for label in said], columns=8)
plt.show()

# %% [markdown]
# Above, digits with their labels. Below, the same digits as the attacker prints them for the widest
# plain network, with its answers.
#
# ### Exercise 1: right, whatever is tried
#
# The attacker needs one attack that works. So an image counts as robustly right only if the design
# is right on it **without any attack and under every attack**. Return one array of true and false,
# with a row for each design and a column for each image.


# %%
@lab.task("q1")
def robustly_right(clean, attacked):
    """What each design gets right whatever is tried, bool (designs, images).

    clean: bool (designs, images). attacked: bool (attacks, designs, images).
    """
    # BEGIN SOLUTION
    return clean & attacked.all(axis=0)
    # END SOLUTION


# %%
lab.check("q1")

# %%
robust_right = robustly_right(clean_right, attacked_right)
table = pd.DataFrame(
    {"clean": clean_right.mean(axis=1), "robust": robust_right.mean(axis=1)}, index=NAMES
).join(costs)
more = clean_right & attacked_right[0] & ~attacked_right[1]
print(f"its own attack leaves a design {(clean_right & attacked_right[0]).mean():.1%} of the "
      f"images, its sibling's takes another {more.mean():.1%} (means)")  # fmt: skip
table.round(3)

# %% [markdown]
# ## Which are worth having?
#
# Nobody needs a design if another is at least as good in everything that counts, and better in
# something: it is **dominated**. What is not dominated by any other is the **Pareto front**. Along
# the front you gain in one thing only by giving up another.
#
# ### Exercise 2: the front
#
# Return one true or false a row: is it on the front? `higher` says of each column whether larger
# numbers are better. Two rows that are equal in everything do not dominate each other.


# %%
@lab.task("q2")
def on_front(table, higher):
    """Which rows no other dominates, one bool a row.

    table: numbers (designs, measures). higher: one bool a measure.
    """
    # BEGIN SOLUTION
    points = np.where(higher, table, -table)
    beaten = [any((b >= a).all() and (b > a).any() for b in points) for a in points]
    return ~np.array(beaten)
    # END SOLUTION


# %%
lab.check("q2")

# %%
everything = np.array(on_front(table.to_numpy(), [True, True, False, False, False]))
accuracy_only = np.array(on_front(table[["clean", "robust"]].to_numpy(), [True, True]))
print(f"{len(table)} designs; on the front of all five measures: {everything.sum()}")
print(f"on the front of the two accuracies: {accuracy_only.sum()}")
table[accuracy_only].round(3)

# %% [markdown]
# With five measures most designs are on the front: seldom is another as good in all five. The more
# you count, the less a front decides. If cost is left out, few remain, and they are wide.
#
# Neither is the question that the depot asks. It has limits. Below a limit, a kilobyte saved buys
# nothing; above it, nothing helps.
#
# ### Exercise 3: the best within a budget
#
# Return the row numbers, the smallest first, of the designs that **keep to every limit** and are
# not dominated **in their accuracies** by another design that keeps to every limit. A limit itself
# is allowed. You may use `pareto_front(table, higher)`, which does what yours does.


# %%
@lab.task("q3")
def best_within(accuracies, costs, limits):
    """The best designs within a budget, as row numbers.

    accuracies (designs, a): higher is better. costs (designs, c), limits (c,): at most.
    """
    # BEGIN SOLUTION
    fits = np.flatnonzero((costs <= np.asarray(limits)).all(axis=1))
    if len(fits) == 0:
        return []
    front = pareto_front(accuracies[fits], [True] * accuracies.shape[1])
    return [int(i) for i in fits[front]]
    # END SOLUTION


# %%
lab.check("q3")

# %%
accuracies = table[["clean", "robust"]].to_numpy()
kept = [int(i) for i in best_within(accuracies, costs.to_numpy(), list(LIMITS.values()))]
table.iloc[kept].round(3)

# %% [markdown]
# Here is all of it to play with. Choose what is across and up, and change the budget; point at a
# mark to see which design it is. What does twice the flash buy? Which limits have to move together
# before a network of 16 filters fits? Within the budget, the dashed line is the front.

# %%
MEASURES = [
    Measure("clean", "clean accuracy", True),
    Measure("robust", "robust accuracy", True),
    Measure("kilobytes", "file (kB)", False),
    Measure("memory", "memory (kB)", False),
    Measure("milliseconds", "time, upper end (ms)", False),
]
designs = [
    Design(
        name,
        {"recipe": key[1], "width": str(key[0]), "format": key[2]},
        {column: float(row[column]) for column in table.columns},
    )
    for name, key, (_, row) in zip(NAMES, KEYS, table.iterrows(), strict=True)
]
Explorer(designs, MEASURES, "recipe", LIMITS)

# %% [markdown]
# ## What does robustness cost?
#
# In the table of all designs, compare the narrowest network with the widest. Robustness has a price
# in clean accuracy: what the plain network gets right and the robust one of the same width does
# not. Both were tried on the same images, so the difference has to be taken **image by image**;
# what is hard for both then cancels.
#
# ### Exercise 4: the price, with its interval
#
# Return `[difference, low, high]`: the mean of `second - first` over the images, and its 95 %
# interval, mean $\pm\,1.96\,s/\sqrt n$, where $s$ is the standard deviation of the $n$ differences.


# %%
@lab.task("q4")
def paired_gap(first, second):
    """The mean of second - first over the images, and the ends of its interval.

    first, second: one number, or true and false, for each image (n,).
    """
    # BEGIN SOLUTION
    change = np.asarray(second, float) - np.asarray(first, float)
    reach = 1.96 * change.std(ddof=1) / np.sqrt(len(change))
    return [change.mean(), change.mean() - reach, change.mean() + reach]
    # END SOLUTION


# %%
lab.check("q4")


# %%
def row_of(width, recipe, form="int8"):
    return KEYS.index((width, recipe, form))


def told(gap):
    """A difference in words."""
    return f"{gap[0]:+.1%} ({gap[1]:+.1%} to {gap[2]:+.1%})"


_, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
for ax, bits, title in zip(axes, (clean_right, robust_right), ("clean", "robust"), strict=True):
    gaps = {
        f"{recipe} minus plain": np.array(
            [paired_gap(bits[row_of(w, "plain")], bits[row_of(w, recipe)]) for w in WIDTHS]
        )
        for recipe in ("pgd", "free")
    }
    plots.curves(
        {name: (WIDTHS, gap[:, 0]) for name, gap in gaps.items()},
        "width",
        f"change of {title} accuracy",
        ax,
        bands={name: (gap[:, 1], gap[:, 2]) for name, gap in gaps.items()},
        xscale="log",
    )
    ax.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
    ax.minorticks_off()
    ax.axhline(0, color="black", linewidth=1)
plt.show()

# %% [markdown]
# Is the price at the narrow end larger than at the wide end, beyond what these images could do by
# chance? That is a difference of two differences, again on the same images. Your function takes it
# too: each image's price is -1, 0 or 1.

# %%
own_price = {
    w: clean_right[row_of(w, "plain")].astype(int) - clean_right[row_of(w, "pgd")] for w in WIDTHS
}
narrow, wide = WIDTHS[0], WIDTHS[-1]
print("price of pgd at width", narrow, told(paired_gap(np.zeros(CONTEST), own_price[narrow])))
print("price of pgd at width", wide, told(paired_gap(np.zeros(CONTEST), own_price[wide])))
print("narrow minus wide    ", told(paired_gap(own_price[wide], own_price[narrow])))
both = {w: accuracies[row_of(w, "pgd")] for w in WIDTHS}
print("\nwidth, clean and robust accuracy by pgd:")
for w, (clean, robust) in both.items():
    print(f"{w:4} {clean:.1%} {robust:.1%}")

# %% [markdown]
# One thing flatters the robust networks: each began where the plain one stopped, so it was trained
# longer. Here is the price of pgd once more, against a plain network that was trained on for as
# many passes, both in float.


# %%
def float_right(network):
    """Which contest images a float network gets right."""
    return np.asarray(network(x_contest)).argmax(axis=1) == y_contest


for w in WIDTHS:
    longer = fit_robust(networks[w, "plain"], x, y, 0, watch, RECIPES["plain"][1], seed=seed).model
    gap = paired_gap(float_right(networks[w, "pgd"]), float_right(longer))
    print(f"width {w:2}, price against plain trained as long: {told(gap)}")

# %% [markdown]
# Was your first prediction right? Read both halves of the figure. The narrow network pays, and look
# at what it **gets for it**. The rate between the two is what makes a frontier harsh. (The recipe
# matters too: the same robustness can have two prices.) And look where the price is nothing that
# these images could see: there they show no trade-off, on this task and at this radius. Whoever
# says that robustness is free may be right about a network that does not fit your ring. Where the
# last lines show a price that the figure does not, the longer training had hidden it.
#
# ## Why is it harsher for the small?
#
# Four explanations, and each predicts something that the others do not.
#
# - **Capacity.** The narrow network cannot draw a border that stays clear of every attacked image.
#   Then it fails on attacked *training* images too. Wider helps, however long either is trained.
# - **Search.** There is such a border, and training has not found it yet. Then it fails on training
#   images too, and longer training helps as much as more width.
# - **Generalisation.** It learns the attacked training images by heart. Then it does well on those
#   and badly on new ones, and with half of the images it gets much worse.
# - **Rounding.** Few bits leave less of a narrow network. Then the float network is more robust
#   than its file.
#
# The first two part from the third on one question: of the robust error on new images, how much was
# there already on the images it was trained on?
#
# ### Exercise 5: cannot fit, or does not carry over
#
# Return that share: robust **error** on training images, divided by robust error on new ones. If
# there is no error on new images, return `None`.


# %%
@lab.task("q5")
def share_at_home(on_training, on_test):
    """Share of the error on new images that training images show too; given: two accuracies."""
    # BEGIN SOLUTION
    if on_test == 1:
        return None
    return (1 - on_training) / (1 - on_test)
    # END SOLUTION


# %%
lab.check("q5")


# %%
def withstands(network, pictures, truth, epsilon=EPSILON):
    """Which pictures a float network gets right before and after PGD."""

    def right(shown):
        return np.asarray(network(shown)).argmax(axis=1) == truth

    return right(pictures) & right(Pgd(network)(pictures, truth, epsilon, seed=seed))


seen = {w: withstands(networks[w, "pgd"], x[:CONTEST], y[:CONTEST]) for w in WIDTHS}
fresh = {w: withstands(networks[w, "pgd"], x_contest, y_contest) for w in WIDTHS}
ax = plots.curves(
    {
        "training images": (WIDTHS, [1 - seen[w].mean() for w in WIDTHS]),
        "new images": (WIDTHS, [1 - fresh[w].mean() for w in WIDTHS]),
    },
    "width",
    "robust error of pgd",
    xscale="log",
    ylim=(0, 1),
)
ax.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
ax.minorticks_off()
plt.show()
for w in WIDTHS:
    share = share_at_home(float(seen[w].mean()), float(fresh[w].mean()))
    print(f"width {w:3}: {share or 0:.0%} of the robust error is there on training images too")

# %% [markdown]
# A share near 100 % says: it was never learnt. What is missing to 100 % is what was learnt and did
# not carry over. (The two are measured on different images, so a little above 100 % is chance.)
#
# Now intervene. Change one thing about a narrow network at a time, and see what it does to its
# robust accuracy.

# %%
small = WIDTHS[{"fast": 0, "full": 1}[profile]]
wider = WIDTHS[WIDTHS.index(small) + 1]
base = fresh[small]


def robust_after(width, **changes):
    """What a network trained by pgd in another way withstands."""
    return withstands(train(width, "pgd", **changes), x_contest, y_contest)


half = slice(0, TRAINED_ON // 2)
changes = {
    "long": lambda: robust_after(small, epochs=3 * EPOCHS),
    "wide and long": lambda: robust_after(wider, epochs=3 * EPOCHS),
    "halved": lambda: robust_after(small, rows=half, epochs=2 * EPOCHS),
}
changed = {name: measure() for name, measure in tqdm(changes.items(), desc="trainings")}
own = clean_right & attacked_right[0]  # by its own attack alone, as the networks in float
pairs = {
    "twice as wide": (base, fresh[wider]),
    "trained three times as long": (base, changed["long"]),
    "twice as wide, both three times as long": (changed["long"], changed["wide and long"]),
    "half of the images after the plain start, twice the passes": (base, changed["halved"]),
    "the int8 file": (base, own[row_of(small, "pgd")]),
    "the 4-bit file": (base, own[row_of(small, "pgd", "4 bits")]),
}
print(f"width {small}, pgd, float: robust on {base.mean():.1%}; "
      f"trained three times as long {changed['long'].mean():.1%}")  # fmt: skip
evidence = {name: told(paired_gap(*pair)) for name, pair in pairs.items()}
pd.DataFrame({"change of robust accuracy, with 95 % interval": evidence})

# %% [markdown]
# Go through the four: which of them predicted a change that did not come? Drop it. And your second
# prediction? Where capacity and search are both left, the third row keeps them apart: what width
# still brings when both were trained for long is what this much more training does not replace.
# These are single networks. By another seed, or on another machine, each would be a few points
# better or worse, and the intervals know nothing of that: they speak of other *images* for the same
# networks.
#
# An interval of no width says only that no image changed sides. Among $n$ images that leaves room
# for a change of about $3/n$.
#
# *Capacity* here means what was measured, no more. It does not say that no network of this width
# could do better; it says that this training did not find one.
#
# ## How sure is the front?
#
# The contest has few images. Draw them again, and the front is another one. The **bootstrap** does
# it with the images at hand: draw as many of them as there are, with replacement, and ask again.
#
# ### Exercise 6: how often on the front
#
# `picks` has one row a draw; each row names the images of that draw, some of them twice. For each
# draw, compute every design's clean and robust accuracy **on those images** and the front of
# (clean, robust, cost), where cost is better when lower. Return for each design the share of the
# draws in which it is on the front.


# %%
@lab.task("q6")
def how_often(clean, robust, costs, picks):
    """In what share of the draws each design is on the front, (designs,).

    clean, robust: bool (designs, images). costs (designs,). picks: int (draws, images).
    """
    # BEGIN SOLUTION
    hits = [
        pareto_front(
            np.column_stack([clean[:, row].mean(axis=1), robust[:, row].mean(axis=1), costs]),
            [True, True, False],
        )
        for row in picks
    ]
    return np.mean(hits, axis=0)
    # END SOLUTION


# %%
lab.check("q6")

# %%
fits = np.flatnonzero((costs.to_numpy() <= np.array(list(LIMITS.values()))).all(axis=1))
picks = np.random.default_rng([seed, 6]).integers(0, CONTEST, (400, CONTEST))
free_of_cost = np.zeros(len(fits))  # within the budget only the accuracies count
often = np.array(how_often(clean_right[fits], robust_right[fits], free_of_cost, picks))
membership = pd.Series(often, index=[NAMES[i] for i in fits]).sort_values(ascending=False)
sure = int((membership > 0.95).sum())
ax = plots.bars_with_values(
    {str(name): share for name, share in membership.items() if share > 0},
    "share of the draws in which it is on the front",
    value_format="{:.0%}".format,
)
ax.set_xticks(np.linspace(0, 1, 6))
plt.show()
print(f"of {len(fits)} designs within the budget {np.sum(often > 0)} are on some front, "
      f"{sure} on more than 95 % of them")  # fmt: skip

# %% [markdown]
# The share is no probability that a design is truly on the front. Of two that are truly alike,
# the one that these images happen to favour may win nearly every draw. So read the figure as three
# groups: those that are hardly ever on the front can go; those that nearly always are stand out on
# these images; between them, **these images do not tell**, and another reason may decide.
#
# ## Choose
#
# A front is a menu. To order, you need to know how often the depot is attacked. If a share $s$ of
# the digits comes from the attacker, the ring is right on a share of
#
# $$(1-s)\cdot\text{clean} + s\cdot\text{robust}$$
#
# of all digits. An attack costs the depot the same as any other misread digit, so this is what to
# maximise.
#
# ### Exercise 7: choose by the share of attacks
#
# Return for each share in `shares` the number of the design that does best. If two do equally well,
# take the first.


# %%
@lab.task("q7")
def best_by_share(clean, robust, shares):
    """The number of the best design for each share of attacks.

    clean, robust: accuracies (designs,). shares: numbers between 0 and 1 (shares,).
    """
    # BEGIN SOLUTION
    return [int(np.argmax((1 - s) * np.asarray(clean) + s * np.asarray(robust))) for s in shares]
    # END SOLUTION


# %%
lab.check("q7")

# %%
SHARES = np.linspace(0, 1, 101)
inside = accuracies[fits]
best = [int(i) for i in best_by_share(inside[:, 0], inside[:, 1], SHARES)]
picked = list(dict.fromkeys(best))
plots.curves(
    {NAMES[fits[i]]: (SHARES, inside[i] @ [1 - SHARES, SHARES]) for i in picked[:5]},
    "share of the digits that is attacked",
    "share of all digits read right",
)
plt.show()
for i in picked:
    of = SHARES[np.array(best) == i]
    print(f"{NAMES[fits[i]]:18} is best from {of.min():.0%} to {of.max():.0%} attacked")
never = [NAMES[i] for i in kept if i not in fits[picked]]
print("on the front, and best at no share:", ", ".join(never) or "none")

# %% [markdown]
# Where one line lies above all others at nearly every share, nobody has to guess how often the
# depot is attacked. And a design can be **on the front and best at no share**: it sits in a dent
# between two others, and every weighted mean prefers one of those. That is a loss only if what you
# weigh has a value that is not proportional to it, as with *at least 95 % clean, or the customer
# walks away*.
#
# The operator reckons with one attacked digit in twenty. Which design is best there, and by how
# much? Your `paired_gap` says whether the images settle it, since the expected accuracy too is a
# mean over images.

# %%
ATTACKED, MOST = 0.05, 0.2


def expected(i, share):
    """Each image's part in the expected accuracy of a design."""
    return (1 - share) * clean_right[i] + share * robust_right[i]


guess = fits[int(best_by_share(inside[:, 0], inside[:, 1], np.array([ATTACKED]))[0])]
print(f"best at {ATTACKED:.0%} attacked: {NAMES[guess]}")
for i in fits[np.argsort(-(inside @ [1 - ATTACKED, ATTACKED]))[1:4]]:
    print(
        f"   minus {NAMES[i]:16}",
        told(paired_gap(expected(i, ATTACKED), expected(guess, ATTACKED))),
    )

# %% [markdown]
# Where an interval holds both signs, these images do not say which is better at that share. And the
# share is itself a guess: asked again, the operator would not be surprised by anything from no
# attacks at all to one digit in five. So ask of each design for its **largest regret**: how much
# worse than the best of that share can it be, over all of these shares? The design with the
# smallest largest regret is the one that a wrong guess hurts least.

# %%
plausible = np.linspace(0, MOST, 21)
value = inside @ [1 - plausible, plausible]
regret = pd.Series((value.max(axis=0) - value).max(axis=1), index=[NAMES[i] for i in fits])
chosen_row = int(fits[regret.to_numpy().argmin()])
chosen = KEYS[chosen_row]
print("chosen:", NAMES[chosen_row])
pd.DataFrame({"largest regret": regret.sort_values().head(5)}).map("{:.1%}".format)

# %% [markdown]
# ## Attack it
#
# Now attack **your own choice**. Three ways in which it may look better than it is.
#
# **One: it won a contest.** Of many designs that are measured on few images, the winner is partly
# good and partly lucky. On other images the luck is gone.
#
# ### Exercise 8: how much the winner is flattered
#
# `halves` has one row a split; where it is true, the image is for choosing. In each split choose
# the design with the highest accuracy on the images **for choosing** (the first, if several), and
# try it on the **other** images. Return the mean over the splits of: accuracy where it was chosen,
# minus accuracy on the others.


# %%
@lab.task("q8")
def flattery(right, halves):
    """By how much a winner looks better where it was chosen, mean over the splits.

    right: bool (designs, images). halves: bool (splits, images).
    """
    # BEGIN SOLUTION
    gaps = []
    for half in halves:
        winner = right[:, half].mean(axis=1).argmax()
        gaps.append(right[winner, half].mean() - right[winner, ~half].mean())
    return float(np.mean(gaps))
    # END SOLUTION


# %%
lab.check("q8")


# %%
def splits(size, count=300):
    """Random splits of the contest: `size` images to choose by, the others to try on."""
    rng = np.random.default_rng([seed, 8])
    return np.array([rng.permutation(CONTEST) < size for _ in range(count)])


for size in (CONTEST // 20, CONTEST // 8, CONTEST // 2):
    print(f"chosen on {size:3} images: the winner's robust accuracy is flattered by "
          f"{flattery(robust_right[fits], splits(size)):+.1%}")  # fmt: skip

# %% [markdown]
# The fewer the images, and the more designs that are nearly alike, the more the winner is
# flattered. That is why the sealed images are opened only now, for the finalists, and after the
# choice.
#
# **Two: the attack was one kind.** The second attack is stronger: three losses in turn, more steps
# and starts, and then Square, which asks the file itself and needs no replica. **Three: the radius
# is a guess.** An attacker may print a little stronger.

# %%
plain_twin = (chosen[0], "plain", chosen[2])
rivals = [KEYS[fits[i]] for i in np.argsort(-often)][:3]
finalists = list(dict.fromkeys([chosen, KEYS[guess], *rivals, plain_twin]))
HARD = {"fast": 30, "full": 250}[profile]  # sealed images for the slow attack
QUESTIONS = {"fast": 20, "full": 100}[profile]
radii = {"0.1": 0.1, "0.15": EPSILON, "0.2": 0.2}
sealed_clean, sealed_robust, hard_robust = {}, {}, {}
for key in tqdm(finalists, desc="finalists"):
    sealed_clean[key] = answers(key, x_sealed) == y_sealed
    for name, radius in radii.items():
        spoilt = attack(key, x_sealed, y_sealed, radius)
        sealed_robust[key, name] = sealed_clean[key] & (answers(key, spoilt) == y_sealed)
    target = Target(runners[key].predict, replicas[key])
    hard_robust[key] = worst_case(
        target, x_sealed[:HARD], y_sealed[:HARD], Budget(EPSILON), queries=QUESTIONS, seed=seed
    ).robust


# %%
def with_limits(bits):
    low, high = proportion_interval(int(bits.sum()), len(bits))
    return f"{bits.mean():.1%} ({low:.1%} to {high:.1%})"


opened = {
    NAMES[KEYS.index(key)]: {
        "contest, clean": f"{clean_right[KEYS.index(key)].mean():.1%}",
        "sealed, clean": with_limits(sealed_clean[key]),
        "contest, own attack": f"{own[KEYS.index(key)].mean():.1%}",
        "sealed, own attack": with_limits(sealed_robust[key, "0.15"]),
        "same, first images": f"{sealed_robust[key, '0.15'][:HARD].mean():.1%}",
        "stronger attack": with_limits(hard_robust[key]),
        **{f"at {r}": f"{sealed_robust[key, r].mean():.1%}" for r in ("0.1", "0.2")},
    }
    for key in finalists
}
pd.DataFrame(opened).T

# %% [markdown]
# *Same, first images* and *stronger attack* are about the same images and differ in the attack
# alone. No more than the lower may be promised. Does the order of the finalists stand, at all
# three radii? And what became of the clean accuracy of the design that was best in the contest?
#
# And against each rival, on the sealed images:

# %%
kilobytes = costs["kilobytes"].to_numpy()
against = {
    NAMES[KEYS.index(key)]: {
        "clean": told(paired_gap(sealed_clean[key], sealed_clean[chosen])),
        "robust": told(paired_gap(sealed_robust[key, "0.15"], sealed_robust[chosen, "0.15"])),
        "kilobytes": f"{kilobytes[chosen_row] - kilobytes[KEYS.index(key)]:+.1f}",
    }
    for key in finalists
    if key != chosen
}
print(NAMES[chosen_row], "minus")
pd.DataFrame(against).T

# %% [markdown]
# ## Decide
#
# Write the memo for the head of product and the depot's operator, in 200 to 350 words. This is what
# it will be read against:

# %%
lab.memo("memo")

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """
    Ship 8 free, 4 bits: eight filters, free adversarial training, kernels of four bits. Packed it
    takes 5.2 of 5.5 kB, its activations 1.4 of 2 kB; a digit at most 2.0 of 4 ms, estimated beyond
    all published latencies. As our tools write it the file has 6.1 kB and does not fit. If the
    firmware cannot unpack 4 bits, the fallback is 4 free, int8, in the contest five points worse
    clean and eleven under attack.

    Against somebody who has the file and changes each pixel by up to 15 % of the range, on images
    that chose nothing: right on 93.5 % of clean digits (91.8 to 94.9). PGD on its own replica
    leaves 47.3 % (44.2 to 50.4); the stronger attack, on the first 250 of them, 38.0 % (32.0 to
    44.3). Promise no more: any attack gives an upper bound.

    Passed over. 8 half led the contest at one attacked digit in twenty by less than the images
    settle. Its 1.5 points in clean accuracy there are 0.4 on sealed images (-0.8 to 1.6), and under
    attack it is 23 points worse. 8 pgd is one point behind clean and two under attack, neither
    settled. 8 plain is as good clean and keeps 5 % under attack.

    Eight filters seem to pay nothing; beside a plain network trained as long, pgd pays three clean
    points there. Two filters pay 15 (11 to 19) for 17 robust ones; sixteen nothing for 49. The
    narrow networks fail on attacked training images just as on new ones, so data are not what they
    lack: half of the images changed nothing visible, nor did rounding. At four filters longer
    training brought eleven points, and twice the width eleven more: search and size both.

    What would change this: hardly any attack (8 half, if its lead is real); half as much again
    of flash and memory with twice the time (16 filters, 54 to 58 % in the contest). At a radius
    of 0.2 half of the robustness is gone. Not measured: the ring, real postcodes, printing,
    other seeds.
    """,
    # END SOLUTION
)

# %% [markdown]
# Keep the file, the measurements behind the choice, and a page that needs nothing but a browser. A
# file with kernels of 4 bits is saved as our tools write it, a byte for each; if it fits the flash
# only when packed, your memo has to say who packs it.

# %%
record = {
    "budget": LIMITS,
    "epsilon": EPSILON,
    "chosen": NAMES[chosen_row],
    "costs": {k: float(v) for k, v in costs.iloc[chosen_row].items()},
    "designs": [{"name": d.name, **d.traits, **d.values} for d in designs],
    "on the front": {name: float(v) for name, v in membership.items()},
    "finalists": opened,
    "chosen minus": against,
    "evidence": evidence,
    "limits of this evidence": "handwritten digits, one seed, latency estimated, L-infinity",
}
page = Explorer(designs, MEASURES, "recipe", LIMITS)._repr_html_()
lab.save("frontier", record)
head = "<meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
head += "<title>Designs</title><style>body { font: 1rem system-ui, sans-serif }</style>"
lab.save("frontier.html", f"<!doctype html><html lang='en'>{head}<h1>Designs</h1>{page}")
lab.save("chosen.tflite", files[chosen].data)

# %% [markdown]
# Last, put on record what you measured, in the form that all labs share. `lab.report()` writes it
# to `measurements.json`. In a terminal, `edgesec results list artefacts` puts those of all your
# labs into one table, and `edgesec threats` takes them in place of guesses.

# %%
ends = [row_of(width, recipe) for width in (narrow, wide) for recipe in ("plain", "pgd")]
named = ["narrow-plain", "narrow-trained", "wide-plain", "wide-trained"]
trained = "adversarial-training"
at_small = [
    ("small-float", trained, f"{small} pgd, float", "evasion", base),
    ("small-int8", trained, f"{small} pgd, int8", "evasion", own[row_of(small, "pgd")]),
    ("small-4-bits", "several", f"{small} pgd, 4 bits", "evasion",
     own[row_of(small, "pgd", "4 bits")]),
]  # fmt: skip
by_pgd = f"; PGD, L-infinity {EPSILON}"
by_both = f"; PGD on its own file and its sibling's, L-infinity {EPSILON}"
on_contest = [(*row, f"contest digits, width {small}, three formats{by_pgd}") for row in at_small]
on_contest += [
    (f"{condition}-{name}", trained if "trained" in name else "none", NAMES[i], attacked, bits[i],
     f"contest digits, width {KEYS[i][0]}" + (by_both if attacked != "none" else ""))
    for name, i in zip(named, ends, strict=True)
    for condition, attacked, bits in (
        ("clean", "none", clean_right),
        ("robust", "evasion", robust_right),
    )
]  # fmt: skip
for name, defence, design, attacked, bits, setting in on_contest:
    lab.record(
        name,
        attack=attacked,
        defence=defence,
        subject=f"ring scanner, width {design}",
        metric="accuracy",
        successes=bits.sum(),
        trials=len(bits),
        evidence="measurement" if attacked == "none" else "attack",
        setting=setting,
    )
for name, key in (("chosen", chosen), ("plain-twin", plain_twin)):
    for condition, attacked, bits, setting in [
        ("clean", "none", sealed_clean[key], "sealed digits"),
        ("robust", "evasion", sealed_robust[key, "0.15"], f"sealed digits{by_pgd}"),
        (
            "stronger",
            "evasion",
            hard_robust[key],
            f"first of the sealed digits; three losses, Square, L-infinity {EPSILON}",
        ),
    ]:
        lab.record(
            f"{condition}-{name}",
            attack=attacked,
            defence="none" if key[1] == "plain" else trained,
            subject=f"ring scanner, width {NAMES[KEYS.index(key)]}",
            metric="accuracy",
            successes=bits.sum(),
            trials=len(bits),
            evidence="measurement" if attacked == "none" else "attack",
            setting=setting,
        )
lab.record(
    "fooled-chosen",
    attack="evasion",
    defence="none" if chosen[1] == "plain" else trained,
    subject=f"ring scanner, width {NAMES[chosen_row]}",
    metric="attack-success-rate",
    successes=(sealed_clean[chosen][:HARD] & ~hard_robust[chosen]).sum(),
    trials=sealed_clean[chosen][:HARD].sum(),
    evidence="attack",
    setting=f"of the sealed digits once right; three losses, Square; L-infinity {EPSILON}",
    threat="evasion",
)
lab.record(
    "size-chosen",
    attack="none",
    defence="none" if chosen[1] == "plain" else trained,
    subject=f"ring scanner, width {NAMES[chosen_row]}",
    metric="kilobytes",
    value=kilobytes[chosen_row],
    setting="kernels of 4 bits counted as if two of them were packed into a byte",
)

# %%
lab.report()

# %% [markdown]
# **Where to go next.** Set `EPSILON` to 0.1 or to 0.2 and run the lab again: at which width does
# robustness begin to cost anything? Or give the narrow network a teacher: train it on the *answers*
# of the widest robust network instead of the labels, and see whether the front moves.
