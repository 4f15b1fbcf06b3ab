"""A sequence that fills the unit interval from its ends, so that any number of first candidates is spread."""


def spread(index: int) -> float:
    """Return 0, 1, 1/2, 1/4, 3/4, 1/8 and so on: the ends, then van der Corput's sequence in base 2 (1935)."""
    if index < 2:
        return float(index)
    number, share, result = index - 1, 0.5, 0.0
    while number:
        result += share * (number & 1)
        number, share = number >> 1, share / 2
    return result
