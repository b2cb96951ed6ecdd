"""The two exceptions that end a command without a traceback."""


class UserError(Exception):
    """Bad input, a missing file, a full disk. Shown as one line, never as a traceback."""


class Stopped(Exception):
    """A signal asked a training to stop; everything up to now is saved."""
