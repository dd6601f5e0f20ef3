"""Configurations for tests that go through all mixers with one shape."""

from typing import Any

from spinodal.models import SpinodalConfig
from spinodal.models.parts import PARTS, is_option, read_parts


def fitting_config(**values: Any) -> SpinodalConfig:
    """The configuration of these values, without the options that none of its mixers reads."""
    chosen = {part: values.get(part, getattr(SpinodalConfig, part)) for part in PARTS}
    options = {key: value for key, value in values.items() if is_option(key)}
    rest = {key: value for key, value in values.items() if key not in options}
    fitting: dict[str, Any] = rest | read_parts(chosen, options, drop=True)
    return SpinodalConfig(**fitting)
