"""The engines by name. An engine that is added is one file, and one name here."""

from spinodal.flows.engines import attention, circle, direct, hardmax, harmonics, lowrank, span, sphere
from spinodal.flows.engines.engine import Engine

ENGINES: dict[str, Engine] = {
    engine.name: engine
    for engine in (
        direct.ENGINE,
        attention.ENGINE,
        circle.ENGINE,
        sphere.ENGINE,
        harmonics.ENGINE,
        lowrank.ENGINE,
        span.ENGINE,
        hardmax.ENGINE,
    )
}
