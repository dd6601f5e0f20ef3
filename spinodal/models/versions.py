"""What differs between the supported releases of transformers, 5.23 and 5.24, in one place.

5.24 renamed the cache from `past_key_values` to `cache`, as an argument of `forward` and `generate` and as a field of
outputs. With either release our models take both names, and their outputs answer to both.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from transformers.cache_utils import Cache
from transformers.generation.utils import ALL_CACHE_NAMES
from transformers.modeling_outputs import ModelOutput

from spinodal.errors import InputError

CACHE = "cache" if "cache" in ALL_CACHE_NAMES else "past_key_values"  # the installed release's own name

if TYPE_CHECKING or CACHE == "cache":

    @dataclass
    class CachedOutput(ModelOutput):
        """An output with a cache, None where none was asked for."""

        cache: Cache | None = None

else:

    @dataclass
    class CachedOutput(ModelOutput):
        """An output with a cache, None where none was asked for."""

        past_key_values: Cache | None = None

        @property
        def cache(self) -> Cache | None:
            """`past_key_values` under its later name."""
            return self.past_key_values


def one_cache(cache: Cache | None, past_key_values: Cache | None) -> Cache | None:
    """The cache under whichever of its two names it came; InputError where it came under both."""
    if cache is not None and past_key_values is not None:
        raise InputError("cache and past_key_values are two names of one argument: give one of them")
    return past_key_values if cache is None else cache
