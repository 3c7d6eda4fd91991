"""The exceptions this package raises. Each message names the value, the limit and what to do."""


class EdgesecError(Exception):
    """Base of every error that a user of this package can act on."""


class DataError(EdgesecError):
    """A dataset cannot be had, is damaged, or does not fit what was asked of it."""


class TaskError(EdgesecError):
    """A federated task, a model or its training settings do not fit together."""


class DivergenceError(TaskError):
    """Training has reached NaN or infinity."""


class PrivacyError(EdgesecError):
    """A privacy measurement or mechanism was asked for something it cannot give."""


class EdgeError(EdgesecError):
    """A model file, a runtime, a device or a key on the edge does not give what was asked of it."""


class WatermarkError(EdgesecError):
    """A model cannot be marked, attacked or judged in the way that was asked."""


class RobustnessError(EdgesecError):
    """An attack, a perturbation, a detector or a certificate is not as it must be."""


class CourseError(EdgesecError):
    """A lab, its source or the course's own machinery is not as it must be."""


class ThreatModelError(EdgesecError):
    """A system model, a rule, a measurement or an acceptance is not as it must be."""


class InterviewError(EdgesecError):
    """A question, an answer, a practice log or a mock interview is not as it must be."""


class SandboxError(EdgesecError):
    """A sandbox cannot be put up here, or the program in it has ended or does not answer."""


class AuditError(EdgesecError):
    """The audit of a model file cannot give what was asked of it."""


class ModelRefusedError(AuditError):
    """A model file is damaged, of a kind that is not read here, or refused by its runtime."""


class ModelCrashError(AuditError):
    """A model file has ended the process that runs it; that process was made to be lost."""


class ModelTimeoutError(AuditError):
    """A model file keeps its runtime busy for longer than the budget allows."""


class ModelMemoryError(AuditError):
    """A model file takes more memory than the budget allows."""


class ModelContractError(AuditError):
    """A model takes or gives something that this part of the audit cannot work with."""


class OutOfTimeError(AuditError):
    """A part of an audit has used up the time it was given."""
