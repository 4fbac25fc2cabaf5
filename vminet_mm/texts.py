"""Errors as text for a line of output."""

SHOWN_LETTERS = 300  # of an error, which may hold all that was read


def one_line(text: object) -> str:
    """Text without line breaks."""
    return ' '.join(str(text).split())


def error_text(error: BaseException, length: int = SHOWN_LETTERS) -> str:
    """Kind of an error and what it says, in one line of bounded length."""
    text = one_line(error)
    if len(text) > length:
        text = f'{text[:length]} ...'
    return f'{type(error).__name__}: {text}' if text else type(error).__name__
