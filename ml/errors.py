"""The error a user can act on: the command line prints its text alone and exits with code 2."""


class UserError(Exception):
    """The user's input or environment is wrong.

    The text is one line that names the file or key, the value found, the value wanted and the way out.
    """
