"""Whether what was made anew is what is committed."""

import math


def close(found, expected, relative):
    """Equality of JSON values, numbers within so much of the expected one."""
    if isinstance(expected, dict):
        return isinstance(found, dict) and found.keys() == expected.keys() and all(
            close(found[key], expected[key], relative) for key in expected)
    if isinstance(expected, list):
        return isinstance(found, list) and len(found) == len(expected) and all(
            close(*pair, relative) for pair in zip(found, expected))
    if isinstance(expected, float):
        return isinstance(found, float) and math.isclose(found, expected, rel_tol=relative)
    return found == expected


# Libraries choose their loops by the processor, and so the last bits of sums and logarithms.
LAST_BITS = 1e-14
