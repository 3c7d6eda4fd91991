# %% [markdown]
# # A tiny lab
#
# You are asked for a weighted mean.

# %%
import numpy as np
from tiny_lab import LAB

from helpers.course import Lab

# %% tags=["parameters"]
profile = "full"
seed = 0

# %%
lab = Lab("tiny", seed=seed, profile=profile, spec=LAB)
lab.predict("guess", choice=..., options={"a": "less", "b": "more"})


# %%
@lab.task("q1")
def weighted_mean(values: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean of the values."""
    # BEGIN SOLUTION
    total = float((values * weights).sum())
    return total / float(weights.sum())
    # END SOLUTION


lab.check("q1")


# %%
@lab.task("q2")
def unit(values: np.ndarray) -> np.ndarray:
    # BEGIN SOLUTION
    length = np.sqrt((values**2).sum())
    # END SOLUTION
    return values / length


lab.check("q2")

# %%
traffic = lab.answer(
    "q3",
    # BEGIN SOLUTION
    1000 * np.dtype("float32").itemsize + seed,
    # END SOLUTION
)
lab.check("q3")
print("mean", weighted_mean(np.array([1.0, 2.0]), np.array([1.0, 1.0])), "traffic", traffic)

# %%
# BEGIN HIDDEN
assert np.isclose(np.linalg.norm(unit(np.array([3.0, 4.0]))), 1.0)
# END HIDDEN

# %% [markdown]
# ## Decide
# <!-- BEGIN SOLUTION -->
# I would weight every client by its examples.
# <!-- END SOLUTION -->

# %%
lab.memo(
    "memo",
    # BEGIN SOLUTION
    """Weights of 4000 bytes, until the model grows.""",
    # END SOLUTION
)
lab.save("traffic", {"bytes": traffic})
lab.record(
    "traffic",
    attack="none",
    defence="none",
    subject="one client",
    metric="traffic",
    value=traffic / 1000,
)
lab.report()
