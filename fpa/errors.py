"""The one exception that means: the user can mend this, and the message says how."""


class UserError(Exception):
    """Bad input, a missing file, a full disk. Shown as one line, never as a traceback."""
