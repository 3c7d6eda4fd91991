"""The labs' measurements on a model of one's own, which may come from anyone.

:mod:`helpers.audit.model` opens a model file in a sandbox; what the rest of the audit learns about
the file, it learns through that. :mod:`helpers.audit.sections` measures,
:mod:`helpers.audit.runner` shares out the time and keeps what was found, and
:mod:`helpers.audit.report` shows it.
"""
