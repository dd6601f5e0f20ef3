r"""Products of small matrices, as many as an ensemble needs: C = A B with C held in registers.

BLAS is slow at 32 x 32 and must not be called from inside a parallel loop, and numba's loops spend
their time between memory and registers. So the innermost product is written as vectors: TILE rows by
up to four vectors of C stay in registers while q runs over the terms of the sum.

    symbol  meaning                          shape
    C       the product, overwritten         p j, p a multiple of TILE, j of LANES
    A       left factor, any strides         p q
    B       right factor, rows in one piece  q j
"""

from typing import no_type_check

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from spinodal.loops import compiled, use_widest_vectors

LANES = 8  # numbers of a vector; where machines have narrower ones the compiler halves it
TILE = 4  # rows of C at a time

REAL, INDEX, BYTES = ir.DoubleType(), ir.IntType(64), ir.IntType(8).as_pointer()
VECTOR = ir.VectorType(REAL, LANES)
FIRST = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)


def panel(width: int):
    """Compiles C[:TILE, j:j+8 width] = sum_q A[:TILE, q] B[q, j:j+8 width] for one width."""

    @intrinsic
    @no_type_check
    def multiply(context, C, A, B, j):
        def generate(context, builder, signature, arguments):
            return emit_kernel(context, builder, signature, arguments, width)

        return types.void(C, A, B, j), generate

    return multiply


@no_type_check
def emit_kernel(context, builder, signature, arguments, width):
    """Emits the LLVM code of `panel`: a loop over q that keeps TILE x width vectors of C in registers."""
    arrays = [
        context.make_array(kind)(context, builder, value)
        for kind, value in zip(signature.args[:3], arguments[:3], strict=True)
    ]
    strides = [cgutils.unpack_tuple(builder, array.strides) for array in arrays]
    bases = [builder.bitcast(array.data, BYTES) for array in arrays]
    number = lambda value: ir.Constant(INDEX, value)
    first = builder.mul(arguments[3], number(8))

    def at(array, row, column, kind):
        offset = builder.add(builder.mul(row, strides[array][0]), column)
        return builder.bitcast(builder.gep(bases[array], [offset]), kind.as_pointer())

    def column(w):
        return builder.add(first, number(8 * LANES * w))

    entry, loop, done = builder.block, *map(builder.append_basic_block, ("terms", "done"))
    builder.branch(loop)
    builder.position_at_end(loop)
    q = builder.phi(INDEX)
    q.add_incoming(number(0), entry)
    sums = [[builder.phi(VECTOR) for _ in range(width)] for _ in range(TILE)]
    right = [builder.load(at(2, q, column(w), VECTOR), align=8) for w in range(width)]
    nothing = ir.Constant(VECTOR, ir.Undefined)
    added = []
    for p in range(TILE):
        scalar = builder.load(at(1, number(p), builder.mul(q, strides[1][1]), REAL))
        left = builder.insert_element(nothing, scalar, ir.Constant(ir.IntType(32), 0))
        left = builder.shuffle_vector(left, nothing, FIRST)
        for w in range(width):
            term = builder.fmul(left, right[w], flags=("contract",))
            sums[p][w].add_incoming(ir.Constant(VECTOR, [0.0] * LANES), entry)
            added.append(builder.fadd(sums[p][w], term, flags=("contract",)))
            sums[p][w].add_incoming(added[-1], loop)
    following = builder.add(q, number(1))
    q.add_incoming(following, loop)
    terms = cgutils.unpack_tuple(builder, arrays[2].shape)[0]
    builder.cbranch(builder.icmp_signed("<", following, terms), loop, done)
    builder.position_at_end(done)
    for p in range(TILE):
        for w in range(width):
            builder.store(added[p * width + w], at(0, number(p), column(w), VECTOR), align=8)
    return context.get_dummy_value()


one, two, three, four = map(panel, (1, 2, 3, 4))


@compiled()
@no_type_check
def product(C, A, B):
    """C = A B, in place: rows of C a multiple of TILE, columns of LANES, and A has at least one column."""
    use_widest_vectors()
    vectors = C.shape[1] // LANES
    for p in range(0, C.shape[0], TILE):
        c, a = C[p:], A[p:]
        j = 0
        for _ in range(vectors // 4):
            four(c, a, B, j)
            j += 4 * LANES
        rest = vectors % 4
        if rest == 3:
            three(c, a, B, j)
        elif rest == 2:
            two(c, a, B, j)
        elif rest == 1:
            one(c, a, B, j)
