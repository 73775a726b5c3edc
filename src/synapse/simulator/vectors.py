"""What the simulator makes of a text that is to be a vector."""

from __future__ import annotations

import hashlib
import math
import struct
from array import array

_HALF = 1 << 15
_DIGITS = 8


def vector(text: str, dimensions: int) -> tuple[float, ...]:
    """Return a vector of length 1 that only the text decides; other texts have others."""
    noise = hashlib.shake_256(text.encode(errors="surrogatepass")).digest(2 * dimensions)
    numbers = [number - _HALF + 0.5 for number in struct.unpack(f"<{dimensions}H", noise)]
    length = math.sqrt(math.fsum(number * number for number in numbers))
    return tuple([round(number / length, _DIGITS) for number in numbers])


def packed(numbers: tuple[float, ...]) -> bytes:
    """Return a vector as 32-bit floats, the least byte first."""
    floats = array("f", numbers)
    if struct.pack("=H", 1) != struct.pack("<H", 1):
        floats.byteswap()
    return floats.tobytes()
