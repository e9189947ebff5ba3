"""Mistakes of the user's, as opposed to mistakes of ours."""


class UserError(ValueError):
    """Bad input. The message is complete: what is wrong, what was found, what is allowed, what to do.

    The command line prints it without a traceback and exits with 2.
    """
