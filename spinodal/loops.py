"""Compilation of loops with numba, and their distribution over threads.

Loops are numba functions that release the interpreter lock and run on as many threads as `spinodal.threads`
returns. How a loop is split depends on its length alone, so that results are bitwise equal at any number of
threads.

Sums may be reordered only where `plus` is called: the other operations keep their order, on which the
relative accuracy near a cluster depends. Cached machine code of a loop is not renewed when a function that it
calls from another file changes: clear __pycache__ after editing this one.
"""

import math
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, lru_cache, partial
from itertools import pairwise
from threading import Timer
from typing import Any, no_type_check

import numpy as np
from jaxtyping import Float
from numba import config, njit
from numba.core import event, types
from numba.extending import intrinsic
from numpy.polynomial import Chebyshev, Polynomial
from threadpoolctl import ThreadpoolController

from spinodal.errors import InputError
from spinodal.threads import threads

if getattr(config, "DISABLE_JIT", 0):
    raise InputError(
        "NUMBA_DISABLE_JIT=1 turns off the compiler, and some loops here exist only as machine code: unset it"
    )

TAYLOR = Polynomial([math.log(2) ** k / math.factorial(k) for k in range(20)])  # of 2^f
REST = Chebyshev.interpolate(TAYLOR - TAYLOR.cutdeg(10), 10, [-0.5, 0.5])  # its tail, in ten degrees
TWO = tuple(map(float, (TAYLOR.cutdeg(10) + REST.convert(kind=Polynomial)).coef))
PARTS = 16  # of a loop at most, each for one thread
PATIENCE = 2.0  # seconds of compiling after which a terminal is told of it
SMALL = 10_000  # numbers that a BLAS multiplies and adds on one thread in any case
ROUND = 6755399441055744.0  # 1.5 * 2^52: adding it rounds to an integer and leaves that in the low bits

compiled: Callable[..., Any] = partial(
    njit, cache=True, nogil=True, error_model="numpy", fastmath={"contract", "nnan", "nsz", "arcp"}
)


@partial(njit, cache=True, fastmath={"reassoc", "contract"})
@no_type_check
def plus(a, b):
    """a + b, which the compiler may reorder: a sum over a loop becomes one sum for each lane of a vector."""
    return a + b


@compiled(inline="always")
@no_type_check
def exp2(y):
    """2^y for y <= 0, with a relative error of 3e-16; below y = -1000 it is 2^-1000."""
    y = max(y, -1000.0)
    z = y + ROUND
    f = y - (z - ROUND)
    p = TWO[10]
    p = p * f + TWO[9]
    p = p * f + TWO[8]
    p = p * f + TWO[7]
    p = p * f + TWO[6]
    p = p * f + TWO[5]
    p = p * f + TWO[4]
    p = p * f + TWO[3]
    p = p * f + TWO[2]
    p = p * f + TWO[1]
    p = p * f + TWO[0]
    exponent = np.float64(z).view(np.int64) << 52
    return np.int64(np.float64(p).view(np.int64) + exponent).view(np.float64)


@intrinsic
@no_type_check
def use_widest_vectors(context):
    """Makes the compiler use the widest SIMD vectors in the calling function, and not inline that function.

    LLVM halves the width on machines with vectors of 512 bits, which here costs a third of the speed.
    llvmlite does not accept the attribute by name, hence `set.add`.
    """

    @no_type_check
    def generate(context, builder, signature, arguments):
        builder.function.attributes.add("noinline")
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), generate


class Compiling(event.Listener):
    """Listener that prints one notice to a terminal after PATIENCE seconds of compilation in this process."""

    def __init__(self) -> None:
        self.depth, self.spent, self.began, self.timer = 0, 0.0, 0.0, Timer(0, self.tell)
        self.told = False

    def on_start(self, event: Any) -> None:
        if not self.depth and not self.told:
            self.began = time.monotonic()
            self.timer = Timer(max(PATIENCE - self.spent, 0), self.tell)
            self.timer.daemon = True
            self.timer.start()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if not self.depth:
            self.timer.cancel()
            self.spent += time.monotonic() - self.began

    def tell(self) -> None:
        from rich.console import Console

        self.told = True
        console = Console(stderr=True, emoji=False, markup=False)
        if console.is_terminal or console.is_jupyter:
            console.print("compiling, once: the machine code is kept for later runs", highlight=False)


event.register("numba:compile", Compiling())


@lru_cache
def pool(process: int, threads: int) -> ThreadPoolExecutor:
    """The thread pool of a process, made at the first call: a forked child cannot use that of its parent."""
    return ThreadPoolExecutor(threads, thread_name_prefix=f"loop-{process}")


def in_parts(loop: Callable[[int, int], Any], n: int, least: int) -> list[Any]:
    """[loop(start, stop), ...] over at most PARTS slices of range(n) of at least `least` items, on threads.

    The slices follow from n and `least`: sums over parts have one order, whatever the number of threads.
    """
    parts = max(1, min(PARTS, n // least))
    edges = [n * p // parts for p in range(parts + 1)]
    workers = min(threads(), parts)
    if workers == 1:
        return [loop(start, stop) for start, stop in pairwise(edges)]
    return list(pool(os.getpid(), workers).map(loop, edges[:-1], edges[1:]))


@cache
def algebra() -> ThreadpoolController:
    """The controller of the thread counts of all BLAS libraries that this process has loaded.

    Among them is scipy's, which is imported first, because compiled loops call it.
    """
    import scipy.linalg  # noqa: F401

    return ThreadpoolController()


@contextmanager
def one_thread_of_algebra() -> Iterator[None]:
    """Runs BLAS and LAPACK on one thread in the block: their rounding depends on the number of threads."""
    with algebra().limit(limits=1, user_api="blas"):
        yield


def one_order(numbers: int) -> AbstractContextManager[None]:
    """`one_thread_of_algebra` for a product of at least SMALL multiply-adds, else a context without effect.

    A BLAS runs smaller products, of fewer than SMALL `numbers`, on one thread in any case.
    """
    return nullcontext() if numbers < SMALL else one_thread_of_algebra()


def product(a: Float[np.ndarray, "*m r"], b: Float[np.ndarray, "r d"]) -> Float[np.ndarray, "*m d"]:
    """a b, with the same bits at any number of threads."""
    with one_order(a.size * b.shape[-1]):
        return a @ b
