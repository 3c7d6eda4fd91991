"""Grade a folder of notebooks that nobody has looked at.

Each submission runs in a process of its own behind the doors of :mod:`helpers.sandbox`
(:mod:`~helpers.course.grading.worker`). The checks stay on this side: the trusted process sends
hidden inputs over a JSON pipe, gets results back as plain data, and compares them itself
(:mod:`~helpers.course.grading.examine`). What a notebook does to its own interpreter can
therefore change what it returns, never how that is judged.

What this does not prevent: the course's reference implementations are public, so a notebook can
copy or import them. The run tells the instructor who imports what the lab's notebook does not.
"""
