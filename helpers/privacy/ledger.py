"""A budget of privacy that is charged before the work, and refuses to be overspent."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import dp_accounting

from helpers._files import write_atomically
from helpers.errors import PrivacyError
from helpers.privacy._checks import (
    require_choice,
    require_positive,
    require_probability,
    require_whole,
)
from helpers.privacy.accounting import METHODS, Method, Sampling, dp_sgd_event, event_epsilon

Noise = Literal["gaussian", "laplace"]


@dataclass(frozen=True)
class Charge:
    """One entry of a ledger.

    Attributes
    ----------
    noise_multiplier
        Standard deviation (Gaussian) or scale (Laplace) of the noise over the sensitivity.
    sample_rate
        Probability with which each example took part; 1 for a release over all of them.
    steps
        Number of releases.
    sampling
        ``"poisson"`` or ``"none"``, as in :func:`helpers.privacy.accounting.epsilon`.
    noise
        ``"gaussian"`` or ``"laplace"``; Laplace noise is for ``sample_rate`` 1.
    label
        What it was for.
    run
        Name of a run that may be resumed or prolonged; ``steps`` then counts all its steps from
        the first, and a ledger pays each of them once. Empty is a charge by itself.

    Raises
    ------
    PrivacyError
        If a setting is out of its range, or Laplace noise comes with sampling.
    """

    noise_multiplier: float
    sample_rate: float = 1.0
    steps: int = 1
    sampling: Sampling = "poisson"
    noise: Noise = "gaussian"
    label: str = ""
    run: str = ""

    def __post_init__(self) -> None:
        require_choice("noise", self.noise, ("gaussian", "laplace"))
        require_positive("noise_multiplier", self.noise_multiplier)
        require_whole("steps", self.steps, at_least=1)
        if self.noise == "laplace" and self.sample_rate != 1:
            raise PrivacyError(
                f"sample_rate={self.sample_rate!r} with Laplace noise: only releases over all "
                "examples (sample_rate=1) are accounted for."
            )
        self.event()

    def event(self) -> dp_accounting.DpEvent:
        """Describe the charge to ``dp-accounting``."""
        if self.noise == "laplace":
            release = dp_accounting.LaplaceDpEvent(float(self.noise_multiplier))
            return dp_accounting.SelfComposedDpEvent(release, int(self.steps))
        return dp_sgd_event(self.noise_multiplier, self.sample_rate, self.steps, self.sampling)


class PrivacyLedger:
    """A budget (epsilon, delta) for one dataset, shared by everything that is released about it.

    The charges are composed by the accountant before they are compared with the budget, so that
    two runs cost less than the sum of their epsilons. The bound is for charges decided beforehand,
    or for one mechanism whose number of steps is left open. Where charges are chosen in the light
    of what earlier ones released, a *privacy filter* of one fixed Rényi order holds (Feldman and
    Zrnic 2021; Lécuyer 2021); RDP, the default, takes the best of all orders here, so the budget
    then holds at delta times their number, by the union bound. With PLD, decide beforehand.

    Parameters
    ----------
    epsilon
        Budget that composed charges may reach but not exceed.
    delta
        Probability of failure of the whole.
    method
        Accountant.

    Raises
    ------
    PrivacyError
        If a setting is out of its range.
    """

    def __init__(self, epsilon: float, delta: float, method: Method = "rdp") -> None:
        require_positive("epsilon", epsilon)
        require_probability("delta", delta)
        require_choice("method", method, METHODS)
        self.epsilon = float(epsilon)
        self.delta = float(delta)
        self.method: Method = method
        self._charges: list[Charge] = []

    @property
    def charges(self) -> tuple[Charge, ...]:
        """Everything charged so far, in order."""
        return tuple(self._charges)

    @property
    def spent(self) -> float:
        """Epsilon of all charges together."""
        return self._epsilon(self._charges)

    @property
    def remaining(self) -> float:
        """Budget minus what is spent; what a further charge adds depends on the charge."""
        return max(0.0, self.epsilon - self.spent)

    def would_spend(self, charge: Charge) -> float:
        """Return the epsilon of all charges together with one more.

        Parameters
        ----------
        charge
            Charge to try; nothing is entered.

        Returns
        -------
        float
            Epsilon at the ledger's delta.

        Raises
        ------
        PrivacyError
            If the charge's run has been charged with another mechanism.
        """
        return self._epsilon(self._with(charge))

    def charge(self, charge: Charge) -> float:
        """Enter a charge, or refuse it and stay as before. Call this before the work.

        Parameters
        ----------
        charge
            What is about to be released.

        Returns
        -------
        float
            Epsilon spent, this charge included.

        Raises
        ------
        PrivacyError
            If the charge would exceed the budget, or its run has been charged with another
            mechanism.
        """
        total = self.would_spend(charge)
        if total > self.epsilon:
            raise PrivacyError(
                f"{charge.label or 'This charge'} would bring the spending to epsilon="
                f"{total:.4g} at delta={self.delta:g}; the budget is {self.epsilon:g}, of which "
                f"{self.spent:.4g} is spent. Add noise, take fewer steps (at most "
                f"{self.affordable_steps(charge)} of {charge.steps} fit), or stop."
            )
        self._charges = self._with(charge)
        return total

    def _with(self, charge: Charge) -> list[Charge]:
        """Return the charges with one more, or with more steps of a run that is there already."""
        same = [
            index for index, old in enumerate(self._charges) if charge.run and old.run == charge.run
        ]
        if not same:
            return [*self._charges, charge]
        old = self._charges[same[0]]
        if replace(old, steps=charge.steps, label=charge.label) != charge:
            raise PrivacyError(
                f"Run {charge.run} was charged as {old} and is now {charge}: one run has one "
                "mechanism. Give another run another name."
            )
        charges = list(self._charges)
        charges[same[0]] = replace(old, steps=max(old.steps, charge.steps))
        return charges

    def affordable_steps(self, charge: Charge) -> int:
        """Find how many steps of a charge still fit.

        Parameters
        ----------
        charge
            Charge whose ``steps`` is the most to consider.

        Returns
        -------
        int
            Between 0 and ``charge.steps``.

        Raises
        ------
        PrivacyError
            If the charge's run has been charged with another mechanism.
        """
        fits, fails = 0, charge.steps + 1
        while fails - fits > 1:
            middle = (fits + fails) // 2
            if self.would_spend(replace(charge, steps=middle)) <= self.epsilon:
                fits = middle
            else:
                fails = middle
        return fits

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the ledger as JSON, atomically, so that a kill leaves the old or the new one.

        Parameters
        ----------
        path
            File to write.
        """
        write_atomically(Path(path), json.dumps(self._content(), indent=2) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> PrivacyLedger:
        """Read a ledger that :meth:`save` wrote.

        Parameters
        ----------
        path
            File to read.

        Returns
        -------
        PrivacyLedger
            With every charge.

        Raises
        ------
        PrivacyError
            If the file is not a ledger or spends more than its budget.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
            ledger = cls(content["epsilon"], content["delta"], content["method"])
            ledger._charges = [Charge(**entry) for entry in content["charges"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise PrivacyError(
                f"{path} is not a privacy ledger ({type(error).__name__}: {error}). Do not start "
                "a new one for the same data: restore it from a backup."
            ) from error
        if ledger.spent > ledger.epsilon:
            raise PrivacyError(
                f"{path} has spent epsilon={ledger.spent:.4g} of a budget of {ledger.epsilon:g}: "
                "it was changed outside this program."
            )
        return ledger

    def _content(self) -> dict[str, Any]:
        return {
            "epsilon": self.epsilon,
            "delta": self.delta,
            "method": self.method,
            "charges": [asdict(charge) for charge in self._charges],
        }

    def _epsilon(self, charges: list[Charge]) -> float:
        if not charges:
            return 0.0
        events = dp_accounting.ComposedDpEvent([charge.event() for charge in charges])
        return event_epsilon(events, self.delta, self.method)
