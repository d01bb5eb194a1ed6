"""What breaks a tie: a number that looks drawn, and is the same whenever it is asked for."""

from torch import Tensor

from gnnrec.runtime import seeds

TIE_KEYS = 1 << 53


def tie_key(user: Tensor, item: Tensor, seed: int) -> Tensor:
    """An int64 in [0, `TIE_KEYS`) for each pair of user and item, as if drawn at random, but the same at any time.

    Source: the finaliser of SplitMix64 (Steele, Lea, Flood, Fast Splittable Pseudorandom Number Generators, OOPSLA
        2014, figure 16). Differs: applied to a user's stream and then to the item, instead of to a counter.
    """
    stream = _mix(_mix(user + seeds.integer(seed, "ties")))
    return _shifted(_mix(stream + item * _signed(0x9E3779B97F4A7C15)), 11)


def _mix(z: Tensor) -> Tensor:
    """The finaliser on 64 bits; sums and products of int64 wrap around, as those of unsigned numbers do."""
    z = (z ^ _shifted(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shifted(z, 27)) * _signed(0x94D049BB133111EB)
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, bits: int) -> Tensor:
    """Shifted to the right, zeros coming in."""
    return (z >> bits) & ((1 << (64 - bits)) - 1)


def _signed(number: int) -> int:
    """The int64 of the same 64 bits."""
    return number - (1 << 64) if number >> 63 else number
