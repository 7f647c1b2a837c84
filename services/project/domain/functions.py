"""What `${{secret(…)}}` and `${{randomInt(…)}}` give; chance itself is an argument."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from libs.kernel.errors import Invalid
from services.project.domain.names import shown
from services.project.domain.template import Call

# Returns a number from 0 up to, but not including, its argument; each as likely as the others.
Below = Callable[[int], int]

ALPHABET: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
DEFAULT_LENGTH: Final = 32
MAX_ARGUMENTS: Final = 2
MAX_LENGTH: Final = 1024
MAX_ALPHABET: Final = 256
DEFAULT_RANGE: Final = (0, 100)
MAX_NUMBER: Final = 2**53
# Together these open and close references: a random text must never become one.
_FORBIDDEN: Final = frozenset("${}")


def evaluate(call: Call, below: Below) -> str:
    """Returns the text a function gives; Invalid when there is no such function or its arguments are wrong."""
    if call.function == "secret":
        return _secret(call.arguments, below)
    if call.function == "randomInt":
        return _random_int(call.arguments, below)
    raise Invalid(
        f"There is no function “{shown(call.function)}”.",
        hint="There are secret(length, alphabet) and randomInt(min, max).",
    )


def _secret(arguments: tuple[int | str, ...], below: Below) -> str:
    length = arguments[0] if arguments else DEFAULT_LENGTH
    alphabet = arguments[1] if len(arguments) > 1 else ALPHABET
    if len(arguments) > MAX_ARGUMENTS or not isinstance(length, int) or not isinstance(alphabet, str):
        raise Invalid("secret takes a length and an alphabet.", hint='Write ${{secret(32, "abcdef0123456789")}}.')
    if not 1 <= length <= MAX_LENGTH:
        raise Invalid(f"secret makes 1 to {MAX_LENGTH} characters, not {length}.")
    if not 1 <= len(alphabet) <= MAX_ALPHABET or not alphabet.isprintable() or _FORBIDDEN & set(alphabet):
        raise Invalid(f"The alphabet of secret has 1 to {MAX_ALPHABET} visible characters, without “$”, “{{” and “}}”.")
    return "".join(alphabet[below(len(alphabet))] for _ in range(length))


def _random_int(arguments: tuple[int | str, ...], below: Below) -> str:
    low = arguments[0] if arguments else DEFAULT_RANGE[0]
    high = arguments[1] if len(arguments) > 1 else DEFAULT_RANGE[1]
    if len(arguments) > MAX_ARGUMENTS or not isinstance(low, int) or not isinstance(high, int):
        raise Invalid("randomInt takes the smallest and the largest number.", hint="Write ${{randomInt(0, 100)}}.")
    if not -MAX_NUMBER <= low <= high <= MAX_NUMBER:
        raise Invalid(f"randomInt cannot choose between {low} and {high}.", hint="The smaller number comes first.")
    return str(low + below(high - low + 1))
