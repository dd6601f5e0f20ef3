"""The summary of an iteration in sentences that quote their numbers, with standard errors over texts."""

import numpy as np

from spinodal.watch.iteration import MODEL, Course, FlowDistance, Iteration, IterationResult

RESOLVED = 0.05  # of |x|: layers that are nearer to the flow follow it


def iteration_summary(result: IterationResult, asked: Iteration) -> list[str]:
    """Sentences about groups, motion, returns, exponents, fixed points and the flow, and about every other course."""
    name, course = next(iter(result.courses.items()))
    of = "" if name == MODEL else f" of {name}"
    found = [
        result.warning,
        groups(result, course, asked, of),
        motion(course, asked),
        exponent(course),
        fixed_points(course, asked),
        *(beside(other, one) for other, one in result.courses.items() if one is not course),
        flow(result.distance, asked),
        sequence(result),
    ]
    return [sentence for sentence in found if sentence]


def with_error(mean: float, error: float, digits: int = 1) -> str:
    """The mean, and its standard error where there is one."""
    return f"{mean:.{digits}f}" + (f" ± {error:.{digits}f}" if np.isfinite(error) else "")


def groups(result: IterationResult, course: Course, asked: Iteration, of: str) -> str:
    mean, error, layers = course.mean("groups"), course.error("groups"), course.layers
    shown = [k for k in (result.stack.layers, 48, 200, 1000) if k in layers and k < layers[-1]]
    told = ", ".join(f"{with_error(mean[course.at(k)], error[course.at(k)])} at layer {k}" for k in shown)
    cosine, first, last = 1 - asked.epsilon, course.mean("mean_cosine")[0], course.mean("mean_cosine")[-1]
    return (
        f"The {result.tokens / result.texts:.1f} tokens of a text{of} are in {with_error(mean[0], error[0])} groups at "
        f"the start (cosine at least {cosine:g}), {told + ', ' if told else ''}and "
        f"{with_error(mean[-1], error[-1])} at layer {layers[-1]}. Their mean cosine goes from {first:.2f} "
        f"to {last:.2f}."
    )


def motion(course: Course, asked: Iteration) -> str:
    if course.rested is not None:
        return f"They rest: from layer {course.rested} on no step is above rounding."
    step, error = course.mean("residual")[-1], course.error("residual")[-1]
    found = f"They do not rest: a step is {with_error(step, error, 3)} of |x| at layer {asked.depth}"
    if not course.periods:
        return f"{found}, and no text comes back to where it was."
    near = np.mean([r.distance for r in course.returns if r.period is not None])
    return (
        f"{found}. {len(course.periods)} of {len(course.returns)} texts come back, nearest after "
        f"{np.median(course.periods):g} layers (median; {course.periods[0]} to {course.periods[-1]}), to within "
        f"{near:.3f} of |x|."
    )


def exponent(course: Course) -> str:
    found = course.exponent
    what = "near streams draw together" if found.mean < 0 else "near streams part"
    return f"The Lyapunov exponent is {found}: {what}."


def fixed_points(course: Course, asked: Iteration) -> str:
    if not course.fixed_points:
        return ""
    whole = [point for point in course.fixed_points if point.converged]
    found = f"Newton's method finds a fixed point from the ends of {len(whole)} of {len(course.fixed_points)} texts"
    if not whole:
        return f"{found}."
    counts = sorted(point.groups for point in whole if point.groups is not None)
    stable = sum(point.multiplier is not None and point.multiplier < 1 for point in whole)
    field = sum(point.rate is not None and point.rate < 0 for point in whole)
    return (
        f"{found}, of {counts[0]} to {counts[-1]} groups; {stable} of them are stable under steps of {asked.step:g}, "
        f"{field} under x' = f(x) - x."
    )


def beside(name: str, course: Course) -> str:
    mean, error = course.mean("groups"), course.error("groups")
    found = f"{name[0].upper()}{name[1:]}: {with_error(mean[-1], error[-1])} groups at the end"
    alone = np.flatnonzero((course.groups == 1).all(0))
    if len(alone):
        found += f", one in every text by layer {course.layers[alone[0]]}"
    rest = "at rest" if course.rested is not None else f"steps of {course.mean('residual')[-1]:.3f} of |x|"
    return f"{found}; {rest}, exponent {course.exponent.mean:+.4f}."


def flow(distance: FlowDistance | None, asked: Iteration) -> str:
    if distance is None:
        return ""
    low, high = min(distance.of_texts), max(distance.of_texts)
    verdict = "follow" if high < RESOLVED else "do not resolve"
    return (
        f"Steps of {asked.step:g} {verdict} the flow x' = f(x) - x: at t = {distance.time:g} they are {low:.2f} to "
        f"{high:.2f} of |x| from it (its own error is at most {distance.error:.0e})."
    )


def sequence(result: IterationResult) -> str:
    layers = result.stack.layers
    return f"Through the {layers} layers one after the other a random direction grows by {result.sequence}."
