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
# # What the small model remembers
#
# *About two hours. Two CPU cores, no accelerator, no network. The handwriting and the faces are
# real.*
#
# You will take two models out of a stolen device, both stored in eight bits. From one you will tell
# whose digits it was trained on. From the other you will draw the faces of the people it
# knows. Then you will find out how few bits it takes until that stops, what else stops by then, and
# what helps instead. You keep a leakage report, a mended pair of models, and a memo.
#
# You need NumPy, softmax, and the normal distribution. The chapter
# [Quantization-aware privacy](../chapters/quantization-privacy.md) tells the story behind this lab;
# you can read it before or after.
#
# Each exercise asks for one short function. Replace `raise NotImplementedError`, run the cell,
# then run the check below it. **Nothing here is a dead end**: until your function passes, the
# notebook goes on with the course's own.

# %% tags=["parameters"]
profile = "full"  # "fast" is for tests: the same path, fewer models
seed = 0  # another seed draws other patients into the training data

# %%
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow talks a lot otherwise

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import logsumexp, softmax
from scipy.stats import norm
from tqdm import tqdm

from helpers import data, models, plots
from helpers.course import Lab
from helpers.course.checks.what_the_small_model_remembers.terminal import (
    frames,
    photographs,
    train_encoder,
    train_recogniser,
)
from helpers.edge.convert import to_tflite
from helpers.edge.quantise import round_model
from helpers.edge.reading import read_weights
from helpers.edge.replica import build_replica
from helpers.edge.runtimes import open_model
from helpers.privacy import accounting
from helpers.privacy.dp_sgd import fit_dp
from helpers.privacy.inversion import correlations, invert
from helpers.privacy.membership import (
    ShadowTraining,
    gap_scores,
    noise_scores,
    paired_halves,
    threshold_attack,
    train_shadows,
)
from helpers.privacy.sweep import Variant, bitwidth_sweep, sweep_figure

lab = Lab("what-the-small-model-remembers", seed=seed, profile=profile)
plots.use_style()

# %% [markdown]
# ## The brief
#
# A clinic has terminals at its doors. Each holds two small models in its flash memory:
#
# - a **reader** that reads the digits patients write on a form, trained on the forms of five
#   hundred patients, and
# - a **recogniser** that lets forty members of staff through, one class each, trained on their
#   badge photographs.
#
# Two terminals were stolen. The vendor writes: *"Do not worry. The models are quantised to eight
# bits and hold no images. Nothing about a person can be recovered from them."* You are asked
# whether that is true, and what to ship instead.
#
# **Who attacks.** The thief has the flash, so both files, weights included. About a person he
# suspects, he also has something: a form with their handwriting, or a list of photographs of
# people who may work there.
#
# **What is at stake.** Whoever can tell that *this form was among the training data* knows that
# its writer was a patient. Whoever can draw the face of class 17 knows who works in a clinic that
# gets threats.
#
# **What is accepted.**
#
# 1. An attacker who accepts one false accusation in a hundred names at most one in twenty of the
#    patients who took part.
# 2. Of the digits that patients write from now on, at least 80 % are read rightly.
# 3. At most one in ten of the staff is identified from what lies in the flash, and at least 90 %
#    of the camera's frames of staff are recognised.

# %%
FALSE_ACCUSATIONS, MOST_NAMED, LEAST_READ = 0.01, 0.05, 0.80
MOST_IDENTIFIED, LEAST_RECOGNISED = 0.10, 0.90

# %% [markdown]
# ## Your prediction
#
# Commit before you measure. Nobody marks a prediction.
#
# **First.** In float the reader's weights take 204 KB, in eight bits 51 KB: three quarters of what
# was stored is gone. What happens to the share of patients that the attacker names?

# %%
lab.predict(
    "eight bits",
    # BEGIN SOLUTION
    "c",
    # END SOLUTION
    options={
        "a": "it falls by about three quarters, like the bits",
        "b": "it falls by about a quarter",
        "c": "it stays as it is",
    },
)

# %% [markdown]
# **Second.** Take more bits away from the recogniser, down to two. Which goes first?

# %%
lab.predict(
    "what goes first",
    # BEGIN SOLUTION
    "b",
    # END SOLUTION
    options={
        "a": "the faces that can be drawn from it; it goes on recognising for a while",
        "b": "recognising; the faces can be drawn for a while yet",
        "c": "both at the same number of bits",
    },
)

# %% [markdown]
# ## Who wrote the digits?
#
# ### The data
#
# MNIST digits stand for the forms: handwriting that was collected to train readers and test them.
# The files do not say who wrote which digit, so each stands for the form of another patient. A
# thousand people come into question; half of them were in the training data of any one reader, and
# which half is the secret.

# %%
forms = data.load("mnist", source="offline", seed=seed)
x, y = forms.x_train[:1000].reshape(-1, 28, 28, 1), forms.y_train[:1000]
x_new, y_new = forms.x_test.reshape(-1, 28, 28, 1), forms.y_test
plots.image_grid(x[:16], titles=[f"labelled {digit}" for digit in y[:16]], columns=8)
plt.show()
print(f"{len(x)} people in question, {len(x_new)} digits written later; {forms.source}")

# %% [markdown]
# The attacker does what the vendor did, many times over: he trains **shadow models**, each on a
# random half of the thousand. For each of these he *knows* who was in. `members[m, i]` says
# whether model `m` was trained on form `i`.

# %%
NUM_MODELS = {"fast": 6, "full": 32}[profile]


def new_reader(model_seed):
    """The architecture of the reader: one hidden layer of 64."""
    return models.mlp((28, 28, 1), 10, hidden=(64,), seed=model_seed)


members = paired_halves(NUM_MODELS, len(x), seed)
training = ShadowTraining(epochs=40, batch_size=32, learning_rate=0.05)
readers = train_shadows(new_reader, x, y, members, training, seed=seed)
logits = readers.outputs(x, name="float32")
right = logits.argmax(axis=2) == y
print(f"digits it was trained on, read rightly: {right[members].mean():.3f}; others: ", end="")
print(f"{right[~members].mean():.3f}")

# %% [markdown]
# ### Exercise 1: how sure is the model?
#
# A trained model is surer of what it was trained on. Write p for the probability that it gives the
# true class. p itself is a poor score: it crowds at 1. Its **logit** spreads out what is crowded:
#
# $$
# \phi = \log \frac{p}{1-p}
# \qquad\text{and with logits } z:\qquad
# \phi = z_y - \log \sum_{j \ne y} e^{z_j} .
# $$
#
# The logits $z$ are what the network gives before softmax makes probabilities of it. The right form
# needs no p, so a model that is sure to sixteen digits still has a finite φ.
# `scipy.special.logsumexp(a, axis=1)` takes the logarithm of the sum without overflow, and leaves
# out an entry that is `-np.inf`.


# %%
@lab.task("q1")
def confidence_of(logits, labels):
    """phi of each image: logits (n, classes), labels (n,) -> (n,)."""
    # BEGIN SOLUTION
    rows = np.arange(len(labels))
    others = np.array(logits, float)
    others[rows, labels] = -np.inf
    return np.asarray(logits)[rows, labels] - logsumexp(others, axis=1)
    # END SOLUTION


# %%
lab.check("q1")

# %%
confidence = np.array([confidence_of(row, y) for row in logits])

figure, axis = plt.subplots(figsize=(7, 3.4), layout="constrained")
bins = np.linspace(-10, 20, 61).tolist()
axis.hist(confidence[members], bins, alpha=0.7, color=plots.COLOURS[0], label="trained on")
axis.hist(
    confidence[~members],
    bins,
    alpha=0.7,
    color=plots.COLOURS[1],
    hatch="//",
    label="not trained on",
)
axis.set(xlabel="confidence in the true digit, φ (logit)", ylabel="forms, over all models")
axis.legend()
plt.show()

# %% [markdown]
# The two heaps overlap. Most forms that the model is sure of are simply easy to read. Only the left
# side speaks plainly: a form the model is unsure of was not trained on. That clears its writer; it
# names nobody.
#
# ### Exercise 2: hits at few false accusations
#
# Score a form, accuse its writer where the score is **at least** a threshold. A low threshold
# accuses everybody, so ask how many members are hit when *at most* a share `limit` of the others
# may be accused. Of all thresholds that keep to it, take the one with the most hits.


# %%
@lab.task("q2")
def hits_at(member_scores, other_scores, limit):
    """The largest share of members accused with at most a share `limit` of others accused."""
    # BEGIN SOLUTION
    best = 0.0
    for threshold in np.unique(np.concatenate([member_scores, other_scores])):
        if np.mean(np.asarray(other_scores) >= threshold) <= limit:
            best = max(best, float(np.mean(np.asarray(member_scores) >= threshold)))
    return best
    # END SOLUTION


# %%
lab.check("q2")


# %%
def named(scores, inside):
    """Hits at one false accusation in a hundred, and the AUC: means over models."""
    hits = [hits_at(s[m], s[~m], FALSE_ACCUSATIONS) for s, m in zip(scores, inside)]
    areas = [threshold_attack(s[m], s[~m]).auc for s, m in zip(scores, inside)]
    return np.mean(hits), np.mean(areas)


hits, area = named(confidence, members)
print(f"confidence alone: {hits:.1%} of the members named, AUC {area:.3f}")

# %% [markdown]
# The **AUC** is the probability that a member's score lies above an outsider's: 0.5 is a coin, 1 is
# certainty. And the share of members named is hardly better than the one in a hundred that a blind
# accuser hits, so the brief would be met. But this attacker asks the wrong question. A form that
# everybody reads is no evidence.
#
# ### Exercise 3: the likelihood ratio
#
# Ask instead: *for this form*, is the confidence what it is when a model was trained on it, or what
# it is when not? The shadow models answer that. For form `i` take the mean confidence of the
# shadows that had it, $\mu_i^{\text{in}}$, and of those that had not, $\mu_i^{\text{out}}$. With
# few shadows a deviation for each form is guesswork, so use one for each group: the root mean
# square of *all* forms' distances to their own mean, $\sigma^{\text{in}}$ and
# $\sigma^{\text{out}}$. The score is the log-likelihood ratio of two normal laws:
#
# $$
# \Lambda_i = \Big[-\tfrac12 \big(\tfrac{\phi_i-\mu_i^{\text{in}}}{\sigma^{\text{in}}}\big)^2
# - \log\sigma^{\text{in}}\Big]
# - \Big[-\tfrac12 \big(\tfrac{\phi_i-\mu_i^{\text{out}}}{\sigma^{\text{out}}}\big)^2
# - \log\sigma^{\text{out}}\Big] .
# $$
#
# This is LiRA (Carlini et al. 2022).


# %%
@lab.task("q3")
def likelihood_ratio(target, shadows, inside):
    """Score each form: higher means it was in.

    target (n,): confidences of the attacked model.
    shadows (models, n): confidences of the shadow models.
    inside (models, n): bool, which forms each shadow was trained on.
    """

    # BEGIN SOLUTION
    def log_likelihood(group):
        count = group.sum(axis=0)
        mean = (shadows * group).sum(axis=0) / count
        deviation = np.sqrt((group * (shadows - mean) ** 2).sum() / group.sum())
        return -0.5 * ((target - mean) / deviation) ** 2 - np.log(deviation)

    return log_likelihood(inside) - log_likelihood(~inside)
    # END SOLUTION


# %%
lab.check("q3")

# %% [markdown]
# Attack every model in turn, with the others as its shadows. Models come in pairs that share out
# the thousand between them; the partner of the target is left out too, so that every form is
# judged by as many shadows with it as without.


# %%
def attack_each(values):
    """Scores (models, n): each model attacked with the others as shadows."""
    scores = []
    for target in range(len(values)):
        others = [m for m in range(len(values)) if m // 2 != target // 2]
        scores.append(likelihood_ratio(values[target], values[others], members[others]))
    return np.array(scores)


scores = attack_each(confidence)
hits, area = named(scores, members)
print(f"likelihood ratio: {hits:.1%} of the members named, AUC {area:.3f}")

# Who is named? The forms with the highest and the lowest mean score where they were in.
order = scores.mean(axis=0, where=members).argsort()
plots.image_grid(
    x[[*order[:-7:-1], *order[:6]]], titles=["given away"] * 6 + ["hidden"] * 6, columns=6
)
plt.show()

# %% [markdown]
# The same models, the same confidences, another question: many times as many patients are named.
# Look at the upper row: many have an unusual hand. Few other forms look like theirs, so the model
# had to learn theirs by heart.
#
# ### Fewer bits
#
# Now the vendor's claim. The attacker is **adaptive**: he knows that the terminal runs the reader
# in eight bits, so he sends his shadows through the same conversion. Eight bits are real here: each
# model becomes a `.tflite` file that an interpreter runs. Four, three and two bits have no file
# format on this device, so there the weights are rounded to so many bits, one scale a unit.
#
# `bitwidth_sweep` runs your attack on every variant. It ranks the scores of all models together,
# under one threshold, so its first row differs a little from the line above.


# %%
def as_int8(model, own):
    """Convert to the file that ships; return what the device answers (`own` is not needed)."""
    return open_model(to_tflite(model, "int8", x[:100]), isolated=False).predict


def in_bits(bits):
    """A deployment with weights of so many bits."""

    def deploy(model, own):
        rounded = round_model(model, bits)
        return lambda images: rounded(images).numpy()

    return deploy


roundings = {"int8 file": as_int8} | {f"{bits}-bit weights": in_bits(bits) for bits in (4, 3, 2)}
variants = [Variant("float32"), *(Variant(name, deploy) for name, deploy in roundings.items())]
rows = bitwidth_sweep(variants, readers, x, y, x_new, y_new, limits=(FALSE_ACCUSATIONS,), seed=seed)
sweep_figure(rows, FALSE_ACCUSATIONS)
plt.show()


# %%
def as_table(rows):
    """One line a variant: digits read, AUC, and patients named with their 95 % interval."""
    lines = {}
    for row in rows:
        found = row.tpr[FALSE_ACCUSATIONS]
        lines[row.name] = {
            "digits read": f"{row.utility.value:.3f}",
            "AUC": f"{row.auc.value:.3f}",
            "named": f"{found.value:.1%}",
            "95 % interval": f"{found.low:.1%} to {found.high:.1%}",
        }
    return pd.DataFrame(lines).T


as_table(rows)

# %% [markdown]
# Eight bits hide nobody: the two first rows are the same within their intervals. Down the table the
# leak shrinks, and the digits read shrink with it. Two bits get the leak under the brief's limit
# and miss the limit for reading by far.
#
# ### Exercise 4: what noise would have to do
#
# Rounding changes φ a little, as if somebody had added noise. How much would it take? Model a form
# by two normal laws: with it φ lies `gap` higher than without, and both laws have the deviation
# `spread`, from model to model. Noise of deviation `noise` comes on top, independent. The AUC is
# the probability that a draw with the form lies above a draw without it. Write it down with
# `norm.cdf`: the difference of two independent normal draws is normal too.


# %%
@lab.task("q4")
def auc_with_noise(gap, spread, noise):
    """The AUC of two normal laws `gap` apart, each with deviation `spread`, with noise added."""
    # BEGIN SOLUTION
    return float(norm.cdf(gap / np.sqrt(2 * (spread**2 + noise**2))))
    # END SOLUTION


# %%
lab.check("q4")

# %% [markdown]
# Put in what was measured: the mean gap and spread of the float models, and how far each rounding
# moves φ.

# %%
with_form = np.where(members, confidence, np.nan)
without = np.where(members, np.nan, confidence)
gap = float(np.nanmean(np.nanmean(with_form, axis=0) - np.nanmean(without, axis=0)))
spread = float(np.sqrt((np.nanvar(with_form, axis=0) + np.nanvar(without, axis=0)).mean() / 2))
print(f"gap {gap:.2f}, spread {spread:.2f}")

few = range({"fast": 1, "full": 6}[profile])
moved = {}
for name, deploy in roundings.items():
    devices = [deploy(readers.model(m), members[m].nonzero()[0]) for m in few]
    changed = np.array([confidence_of(device(x), y) for device in devices])
    moved[name] = float(np.std(changed - confidence[: len(few)]))

noises = np.geomspace(0.01, 30, 60)
plots.curves(
    {"AUC of such a form": (noises, [auc_with_noise(gap, spread, noise) for noise in noises])},
    xlabel="noise on φ (standard deviation, logits)",
    ylabel="AUC",
    xscale="log",
    ylim=(0.45, 1.0),
)
for (name, noise), colour in zip(moved.items(), plots.COLOURS[1:]):
    plt.axvline(noise, color=colour, linestyle="--", label=f"{name}: {noise:.2f}")
plt.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

halved = 0.5 + (auc_with_noise(gap, spread, 0) - 0.5) / 2
enough = next(noise for noise in noises if auc_with_noise(gap, spread, noise) <= halved)
print(f"what the AUC has above a coin is halved by a noise of {enough:.1f}")

# %% [markdown]
# Training the same model again, on other patients and from another start, moves φ by the spread.
# The attack lives with that. Eight bits add a tenth of it or so, and in squares, so nothing. To
# halve what the AUC has above a coin, the noise must be about twice the spread. Of these roundings
# only two bits move φ so far, and the table says what becomes of the digits then.
#
# The curve starts higher than the table's AUC: it takes each form for one with the mean gap, and
# the forms that are easy to read have hardly any.
#
# ## Whose face is it?
#
# ### One layer, read from the file
#
# Forty badge photographs, one a person, 25 by 25 pixels. The camera never sees the photograph
# itself: `frames` shifts, mirrors, lights and blurs it with noise. We begin with the simplest
# recogniser, one dense layer from pixels to people, and take it from the file as the thief does.

# %%
staff, public = photographs()
frames_seen, who = frames(staff, 10, seed=1000 + seed)
EPOCHS = {"fast": 8, "full": 20}[profile]

linear = train_recogniser(staff, seed, epochs=EPOCHS, linear=True)
linear_file = to_tflite(linear, "int8", frames(staff, 4, seed)[0])
(layer,) = read_weights(linear_file.data)
print(f"{len(linear_file.data):,} bytes; {layer.op} {layer.kernel.shape} in {layer.bits} bits")
plots.image_grid(frames_seen[4:16], titles=[f"person {person}" for person in who[4:16]])
plt.show()

# %% [markdown]
# ### Exercise 5: one step towards a face
#
# Start from a grey image and change the pixels so that the model becomes surer of person `k`. The
# loss is the cross-entropy $-\log p_k$ with $p = \operatorname{softmax}(xW + b)$, for one image $x$
# as a row of pixels. Its gradient with respect to the *image* is
#
# $$
# \frac{\partial\,(-\log p_k)}{\partial x} = W\,(p - e_k),
# $$
#
# where $e_k$ is 1 at $k$ and 0 elsewhere: the same error as in training, sent to the pixels instead
# of the weights. Take one step against it, `rate` times the gradient, and keep pixels in [0, 1].


# %%
@lab.task("q5")
def step_towards(image, kernel, bias, person, rate):
    """One gradient step on the pixels: image (pixels,), kernel (pixels, people), bias (people,)."""
    # BEGIN SOLUTION
    error = softmax(image @ kernel + bias)
    error[person] -= 1
    return np.clip(image - rate * (kernel @ error), 0, 1)
    # END SOLUTION


# %%
lab.check("q5")


# %%
def draw(person, steps=100, rate=0.1):
    """The image that the linear recogniser takes for a person, from a grey start."""
    image = np.full(layer.kernel.shape[0], 0.5)
    for _ in range(steps):
        image = step_towards(image, layer.kernel, layer.bias, person, rate)
    return image.reshape(staff.shape[1:])


def gallery(drawn, label="from the file"):
    """The photographs of the first six of the staff, and below them what was drawn."""
    plots.compare_images(staff[:6], {label: drawn[:6]})
    plt.show()


drawn = np.array([draw(person) for person in range(len(staff))], np.float32)
gallery(drawn)

# %% [markdown]
# ### Exercise 6: who is it?
#
# To the eye, mostly noise. Are these *their* faces all the same? Let the thief do what he would do:
# hold each drawing against the photographs of all forty, and name the most alike. `c[i, j]` is the
# correlation of drawing `i` with photograph `j`. Return the share of drawings that point to the
# right person: more alike to their own photograph than to **every** other.


# %%
@lab.task("q6")
def identified(c):
    """Share of rows whose diagonal entry is larger than all others in the row."""
    # BEGIN SOLUTION
    others = np.array(c, float)
    np.fill_diagonal(others, -np.inf)
    return float(np.mean(np.diagonal(c) > others.max(axis=1)))
    # END SOLUTION


# %%
lab.check("q6")

# %%
print(f"drawn from the linear file: {identified(correlations(drawn, staff)):.0%} identified")
print(f"a guess: {1 / len(staff):.1%}")

# %% [markdown]
# ### The recogniser that ships
#
# It has two convolutions, and its int8 file has no gradient. That stops nobody: a **replica** with
# the file's weights and the file's rounding is built in a second, and *it* has one. `invert` takes
# your step many times, with Adam, and asks for smooth images near a face of the public.

# %%
recogniser = train_recogniser(staff, seed, epochs=EPOCHS)
recogniser_file = to_tflite(recogniser, "int8", frames(staff, 4, seed)[0])
device = open_model(recogniser_file, isolated=False)
print(f"int8 file, {len(recogniser_file.data):,} bytes: ", end="")
print(f"{np.mean(device.predict(frames_seen).argmax(axis=1) == who):.1%} of frames recognised")

everybody = np.arange(len(staff))
replica = build_replica(recogniser_file)
from_int8 = invert(replica, everybody, public.mean(axis=0)).images
gallery(from_int8)
print(f"{identified(correlations(from_int8, staff)):.0%} identified")

# %% [markdown]
# No portraits, and fewer identified than from the single layer, whose weights lie on the pixels
# themselves. Yet many times a guess, and more than the brief allows.
#
# Fewer bits again, for this model: how many frames it recognises, how many of the staff are
# identified. One person is 2.5 %, so small differences in the right column say nothing.

# %%
INVERTED = {"float32": recogniser, "int8 file": replica}
INVERTED |= {f"{bits}-bit weights": round_model(recogniser, bits) for bits in (4, 3, 2)}

found_by_bits = {}
for name, model in tqdm(INVERTED.items(), desc="inversion", leave=False):
    outputs = model(frames_seen).numpy()
    drawn = from_int8 if model is replica else invert(model, everybody, public.mean(axis=0)).images
    found_by_bits[name] = {
        "frames recognised": np.mean(outputs.argmax(axis=1) == who),
        "staff identified": identified(correlations(drawn, staff)),
    }
bits_table = pd.DataFrame(found_by_bits).T
bits_table.round(3)

# %% [markdown]
# The faces outlive the recognising. A likely reason: to recognise, forty logits must come out in
# the right order, and rounding upsets order. To draw a face, the attacker adds up what hundreds of
# weights say about a pixel, and in the sum much of their rounding error cancels.
#
# ## Mend it
#
# ### The reader
#
# Two remedies, both in training. **Stop early**: three passes over the forms instead of forty
# leave less time to learn unusual hands by heart. **Differential privacy**: DP-SGD clips what each
# form may contribute and adds noise, which bounds *every* attack. Here each reader is trained with
# ε = 8 (δ = 10⁻⁴), and each remedy's readers are attacked by shadows trained with the same remedy.

# %%
RATE, STEPS, DELTA, EPSILON = 0.1, 150, 1e-4, 8.0
noise_multiplier = accounting.calibrate_noise(EPSILON, RATE, STEPS, DELTA)


def privately(model, images, labels, training_seed):
    """Train a reader with DP-SGD."""
    fit_dp(
        model, images, labels, noise_multiplier=noise_multiplier, l2_norm_clip=1.0,
        sample_rate=RATE, steps=STEPS, learning_rate=0.5, seed=training_seed, progress=False,
    )  # fmt: skip


early = ShadowTraining(epochs=3, batch_size=32, learning_rate=0.05)
remedies = {
    f"stopped after {early.epochs} passes": train_shadows(
        new_reader, x, y, members, early, seed=seed
    ),
    f"DP-SGD, epsilon {EPSILON:g}": train_shadows(new_reader, x, y, members, privately, seed=seed),
}
mended = bitwidth_sweep(
    [Variant(name, as_int8, shadows=shadows) for name, shadows in remedies.items()],
    readers, x, y, x_new, y_new, limits=(FALSE_ACCUSATIONS,), seed=seed,
)  # fmt: skip
readers_table = as_table([rows[1], *mended])
readers_table

# %% [markdown]
# Read the last two rows against the brief, with their intervals. On the mean of its models one
# keeps to both limits *as far as this attack sees*; a better attacker may see more, and nothing
# bounds how much. The other is bounded against every attacker, and pays for it in digits.
#
# How much does the promise promise? Under (ε, δ) an attacker with a share $f$ of false accusations
# names at most a share $e^{\varepsilon} f + \delta$ of the members. One training run keeps a whole
# curve of such pairs; take the one that says most.

# %%
epsilons = np.linspace(0.1, EPSILON, 80)
deltas = accounting.privacy_profile(noise_multiplier, RATE, STEPS, epsilons.tolist())
promised = float((np.exp(epsilons) * FALSE_ACCUSATIONS + deltas).min())
print(f"whatever the attack: at most {promised:.0%} of the patients named")

# %% [markdown]
# The promise holds for attacks nobody has tried, and it is wider than the brief allows: only the
# measurement stays under one in twenty. A smaller ε promises more and reads less. More forms would
# help: the noise stays as it is and is shared among more of them. You will have to choose, and say
# so.
#
# ### The recogniser
#
# Here training with noise is no way out: a class for a person *is* the person, and a model that
# recognises them must hold what they look like. So take the staff out of the file. Ship an
# **encoder**, trained on forty-eight people of the public who agreed to it, that turns a face into
# thirty numbers. To enrol somebody, store the mean code of five frames, the **template**, in the
# part of the device that only answers and never gives out: forty times thirty numbers.

# %%
consenting, outsiders = public[:48], public[48:]
encoder = train_encoder(consenting, seed, epochs={"fast": 5, "full": 12}[profile])
encoder_file = to_tflite(encoder, "int8", frames(consenting, 4, seed)[0])
encode = open_model(encoder_file, isolated=False).predict

enrolled, whose = frames(staff, 5, seed=2000 + seed)
codes = encode(enrolled)
templates = np.array([codes[whose == person].mean(axis=0) for person in everybody])
print(f"encoder {len(encoder_file.data):,} bytes, templates {templates.astype('f4').nbytes:,}")

# %% [markdown]
# ### Exercise 7: recognise without a class
#
# Compare directions: the **cosine** of two codes is their dot product after both were divided by
# their lengths. Name for each code the most alike template, or -1 for a stranger, where even the
# best cosine is below the threshold. It must work when somebody's row has been deleted, and when
# nobody is enrolled.


# %%
@lab.task("q7")
def recognise(codes, templates, threshold):
    """The most alike person for each code (n, k), templates (people, k); -1 below the threshold."""
    # BEGIN SOLUTION
    if len(templates) == 0:
        return np.full(len(codes), -1)
    seen = codes / np.linalg.norm(codes, axis=1, keepdims=True)
    stored = templates / np.linalg.norm(templates, axis=1, keepdims=True)
    cosine = seen @ stored.T
    return np.where(cosine.max(axis=1) >= threshold, cosine.argmax(axis=1), -1)
    # END SOLUTION


# %%
lab.check("q7")

# %%
seen = encode(frames_seen)
answers = np.asarray(recognise(seen, templates, -1.0))  # no cosine is lower: nobody is refused
print(f"{np.mean(answers == who):.1%} of the frames of staff are named rightly")

# %% [markdown]
# So much for telling the staff apart. A door must also refuse **strangers**, here twelve people
# whom neither model has seen. The more of their frames may pass, the lower the threshold, and the
# fewer of the staff are refused. The old recogniser can refuse too, where its largest probability
# is low.

# %%
others = frames(outsiders, 20, seed=3000 + seed)[0]


def likeness_of(images):
    """Cosine of each image's code with every template."""
    found = encode(images)
    lengths = np.outer(np.linalg.norm(found, axis=1), np.linalg.norm(templates, axis=1))
    return found @ templates.T / lengths


def at_the_door(scores_of, strangers_passing):
    """The threshold that lets so many strangers' frames pass, and the staff let in under it."""
    strangers, ours = scores_of(others), scores_of(frames_seen)
    threshold = np.quantile(strangers.max(axis=1), 1 - strangers_passing)
    passed = (ours.max(axis=1) >= threshold) & (ours.argmax(axis=1) == who)
    return float(threshold), float(passed.mean())


shares = (0.5, 0.2, 0.05)
door = pd.DataFrame(
    {
        "one class a person": [
            at_the_door(lambda images: softmax(device.predict(images), axis=1), share)[1]
            for share in shares
        ],
        "encoder and templates": [at_the_door(likeness_of, share)[1] for share in shares],
    },
    index=[f"{share:.0%} of strangers' frames pass" for share in shares],
)
door.round(2)

# %% [markdown]
# Neither is a lock. With one photograph a person and 25 by 25 pixels, whoever keeps nearly all
# strangers out keeps much of the staff out too. The brief asks who of the staff it is, not whether
# it is one of them, and this table belongs in the memo all the same.
#
# The old one cannot forget; the new one can. Take person 17's row away (the rows after it move up,
# so a product keeps a name with each):

# %%
threshold, _ = at_the_door(likeness_of, 0.2)
remaining = np.delete(templates, 17, axis=0)
left = np.asarray(recognise(seen[who == 17], remaining, threshold))
before = np.asarray(recognise(seen[who == 17], templates, threshold))
print(f"person 17's frames: {np.mean(before == 17):.0%} named as 17 before; afterwards")
print(f"{np.mean(left == -1):.0%} are refused, and no model had to be trained again")

# %% [markdown]
# ## Attack it
#
# ### Ask the mended reader for labels only
#
# Suppose the thief has no file, only a terminal that shows the digit. He can still ask again and
# again with a little noise on the form: a model holds on longer to what it learned by heart. Both
# attacks below see labels, nothing else.

# %%
ASKED = {"fast": 1, "full": 4}[profile]


def by_labels(shadows):
    """Hits at one false accusation in a hundred, and AUC, of both label-only attacks."""
    found = {"right or wrong": [], "noise on the form": []}
    for m in range(ASKED):
        answer = as_int8(shadows.model(m), None)
        inside = shadows.members[m]
        asked = {
            "right or wrong": gap_scores(answer(x).argmax(axis=1), y),
            "noise on the form": noise_scores(
                lambda images, ask=answer: ask(images).argmax(axis=1), x, y, copies=4, seed=seed
            ),
        }
        for name, score in asked.items():
            attack = threshold_attack(score[inside], score[~inside])
            found[name].append((attack.tpr_at_fpr(FALSE_ACCUSATIONS), attack.auc))
    return {
        f"{name}: {what}": value
        for name, pairs in found.items()
        for what, value in zip(("named", "AUC"), np.mean(pairs, axis=0))
    }


labels_table = pd.DataFrame(
    {name: by_labels(shadows) for name, shadows in {"int8 file": readers, **remedies}.items()}
).T
labels_table.round(3)

# %% [markdown]
# Labels alone have an AUC near that of confidences in exercise 2, and name nobody: so many forms
# share the highest score that whoever accuses them accuses too many others. What named
# people was the shadows' view of *each form*, held against confidences, and those the file gives to
# whoever has it.
#
# ### Draw the staff from the mended recogniser
#
# The thief has the encoder's file, which never saw the staff. The best he can do is draw what the
# encoder looks for: an image for each direction of its code. Hold those against the staff's
# photographs. Then give him more than he should ever get: the **templates** too.

# %%
encoder_replica = build_replica(encoder_file)


def as_people(target_codes):
    """A model whose classes are codes: its logits are cosines, sharpened."""
    wanted = tf.constant(
        target_codes / np.linalg.norm(target_codes, axis=1, keepdims=True), tf.float32
    )
    return lambda images: (
        20.0 * tf.math.l2_normalize(encoder_replica(images), axis=1) @ tf.transpose(wanted)
    )


directions = np.concatenate([np.eye(30), -np.eye(30)])[: len(staff)]
stolen = {
    "file alone": invert(as_people(directions), everybody, public.mean(axis=0)).images,
    "file and templates": invert(as_people(templates), everybody, public.mean(axis=0)).images,
}
faces_table = {
    "one class a person": found_by_bits["int8 file"]["staff identified"],
    **{name: identified(correlations(images, staff)) for name, images in stolen.items()},
}
gallery(stolen["file and templates"], "with templates")
for name, share in faces_table.items():
    print(f"{name:20} {share:6.1%} of the staff identified")

# %% [markdown]
# From the file alone: no more than a guess. With the templates: about as many faces as before.
# Thirty numbers say about as much as a class did, so the templates are the secret now, and where
# they lie decides. That is a gain. They are five kilobytes instead of a model, small enough for a
# secure element; one row can be deleted when its owner leaves; and a thief who reads the flash does
# not have them.
#
# ## Decide
#
# Write to the clinic's data protection officer, in 150 to 300 words, for a reader who does not know
# what a logit is. Is the vendor's sentence true? Which reader do you ship, and which recogniser?
# What does each cost, and what is promised rather than measured? This is what it will be read
# against:

# %%
lab.memo("memo")

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """
    The vendor's sentence is wrong. Eight bits change nothing that matters: from the stolen reader
    an attacker who accepts one false accusation in a hundred names about as many of the patients
    as he would from the full model, about one in five, and from the stolen recogniser's file
    about one in five of the staff can be picked out of forty photographs by drawing their faces.
    Fewer bits do not help either: recognition breaks before the faces do.

    For the reader I propose the one that was trained for three passes. On the mean of its
    models it reads about eight in ten digits, at the limit; single ones fall below, and the one
    that ships must be tested. Under the best attack we have, 3.8 % of the patients are named
    (3.0 to 5.0 %): within your limit. It costs six digits in a hundred. This was measured
    against our attack only. The privately trained reader comes with a promise against every
    attack, but that is one in four, not one in twenty, and with five hundred forms it misses
    the limit for reading.

    For the recogniser I propose the encoder. Its file holds none of the staff and identifies
    nobody beyond guessing, and it names more than nine frames in ten rightly. The thirty numbers
    kept for each person must lie in the secure element: whoever steals them as well can draw as
    many faces as before. When somebody leaves, their row is deleted and they are gone. Neither
    recogniser keeps strangers out: if one stranger in twenty may pass, four to five in ten of the
    staff's frames are refused. It must not be the only lock.

    Not measured: attackers with other models or more forms, photographs taken years apart, and
    what the secure element withstands.
    """,
    # END SOLUTION
)

# %% [markdown]
# Keep what you made: the two files to ship, and a report in which every number was measured above.
# One of the reader's models ships; its figures in the report are the mean of all. The first line
# names the reader; if your memo ships the other, change it.

# %%
chosen = "stopped after 3 passes"  # or "DP-SGD, epsilon 8"
if chosen not in remedies:
    print(f"there is no reader {chosen!r}; going on with the one that was stopped early")
    chosen = next(iter(remedies))
reader_file = to_tflite(remedies[chosen].model(0), "int8", x[:100])
lab.save("reader.tflite", reader_file.data)
lab.save("encoder.tflite", encoder_file.data)

report = {
    "attacker": "holds the file; trains shadow models on the same thousand forms",
    "false accusations": FALSE_ACCUSATIONS,
    "models attacked": NUM_MODELS,
    "reader": {
        row.name: {
            "digits read": round(row.utility.value, 4),
            "auc": round(row.auc.value, 4),
            "members named": [
                round(value, 4)
                for value in (
                    row.tpr[FALSE_ACCUSATIONS].value,
                    row.tpr[FALSE_ACCUSATIONS].low,
                    row.tpr[FALSE_ACCUSATIONS].high,
                )
            ],
        }
        for row in [*rows, *mended]
    },
    "reader that ships": chosen,
    "reader limits": {"members named": MOST_NAMED, "digits read": LEAST_READ},
    "promised": {
        f"DP-SGD, epsilon {EPSILON:g}": {
            "epsilon": EPSILON,
            "delta": DELTA,
            "members named at most": round(promised, 4),
        }
    },
    "staff identified": {name: round(float(share), 4) for name, share in faces_table.items()},
    "recogniser limits": {"identified": MOST_IDENTIFIED, "recognised": LEAST_RECOGNISED},
    "frames recognised": {
        "one class a person, int8": round(found_by_bits["int8 file"]["frames recognised"], 4),
        "encoder and templates": round(float(np.mean(answers == who)), 4),
    },
    "data": {"forms": forms.source, "faces": "LFW subset of scikit-image, frames simulated"},
}
lab.save("leakage_report", report)

# %% [markdown]
# Last, put on record what you measured, in the form that all labs share. `lab.report()` writes it
# to `measurements.json`. In a terminal, `edgesec results list artefacts` puts those of all your
# labs into one table, and `edgesec threats` takes them in place of guesses.

# %%
for name, defence, row in [
    ("float32", "none", rows[0]),
    ("int8", "quantisation", rows[1]),
    ("two-bit", "quantisation", rows[-1]),
    ("early", "regularisation", mended[0]),
    ("private", "differential-privacy", mended[1]),
]:
    hits = row.tpr[FALSE_ACCUSATIONS]
    lab.record(
        f"patients-named-{name}",
        attack="membership-inference",
        defence=defence,
        subject=f"digit reader, {row.name}",
        metric="members-named",
        value=hits.value,
        interval=(hits.low, hits.high),
        trials=NUM_MODELS * len(x),
        evidence="attack",
        setting="LiRA by whoever holds the file, 1 % of outsiders accused; 95 % over the models",
        threat="membership-inference",
    )
    lab.record(
        f"digits-read-{name}",
        attack="none",
        defence=defence,
        subject=f"digit reader, {row.name}",
        metric="accuracy",
        value=row.utility.value,
        interval=(row.utility.low, row.utility.high),
        setting=f"{len(x_new)} digits of other writers; from the worst to the best model",
    )
lab.record(
    "patients-named-proved",
    attack="membership-inference",
    defence="differential-privacy",
    subject=f"digit reader, DP-SGD, epsilon {EPSILON:g}",
    metric="members-named",
    value=promised,
    interval=(0, promised),
    evidence="bound",
    setting=f"epsilon {EPSILON:g}, delta {DELTA:g}: the most that any attacker can name",
    threat="membership-inference",
)
for name, (found_in, defence) in {
    "classes": ("one class a person", "none"),
    "stolen-file": ("file alone", "separate-templates"),
    "stolen-templates": ("file and templates", "separate-templates"),
}.items():
    lab.record(
        f"staff-identified-{name}",
        attack="model-inversion",
        defence=defence,
        subject=f"face recogniser, {found_in}",
        metric="attack-success-rate",
        successes=round(faces_table[found_in] * len(staff)),
        trials=len(staff),
        evidence="attack",
        setting="drawn faces that resemble their person's photographs more than anybody else's",
    )

# %%
lab.report()

# %% [markdown]
# **Where to go next.** Give the reader twice as many forms (`x` and `members` above) and see which
# of the two remedies gains more. Or look for the threshold in exercise 7 at which one stranger in a
# hundred is let in. The chapter
# [Quantization-aware privacy](../chapters/quantization-privacy.md) has the same sweep on harder
# data, with more shadows.
