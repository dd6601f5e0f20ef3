"""Loops over tokens on S^2 by cells: angles, sorting, moments, polynomials. `sphere_cells` has the symbols."""

from typing import no_type_check

import numpy as np

from spinodal.flows.engines.cells import octant
from spinodal.loops import compiled, plus, use_widest_vectors

TILES = 4
POWERS = 4 * TILES
BLOCK = 512  # tokens at a time: their angles, weights and powers stay in the nearest cache
POLAR = 1e-150  # distance from a pole whose square doubles hold with all digits
LANES = 16  # a cell's tokens are padded to a multiple, so that no loop has a slow end


@compiled()
@no_type_check
def angles(x, theta, phi):
    """(theta, phi) of the tokens; phi = 0 closer to a pole than POLAR."""
    use_widest_vectors()
    for j in range(theta.size):
        c, s, z = x[3 * j], x[3 * j + 1], x[3 * j + 2]
        rho = phi[j] = np.sqrt(c * c + s * s)
        t = octant(z, rho) + np.pi / 8
        t = t if rho <= abs(z) else np.pi / 2 - t
        theta[j] = t if z >= 0 else np.pi - t
    for j in range(theta.size):  # a loop of its own: one of both would wait for its own results
        c, s, rho = x[3 * j], x[3 * j + 1], phi[j]
        scale = 1 / max(rho, POLAR)
        c = c * scale if rho > POLAR else 1.0
        s = s * scale if rho > POLAR else 0.0
        t = octant(c, s) + np.pi / 8
        t = t if abs(s) <= abs(c) else np.pi / 2 - t
        t = t if c >= 0 else np.pi - t
        phi[j] = t if s >= 0 else 2 * np.pi - t


@compiled()
@no_type_check
def place(phi, N, column, s):
    """Fills `column` with the longitude of each token, and `s` with its offset in it, from -1 to 1."""
    use_widest_vectors()
    for j in range(phi.size):
        u = phi[j] * (N / np.pi)
        c = max(min(np.int32(u), np.int32(2 * N - 1)), np.int32(0))
        column[j] = c
        s[j] = 2 * (u - c) - 1


@compiled()
@no_type_check
def deal(x, w, N, where, tokens, begin):
    """Sorts the tokens of a chunk by longitude: token j becomes row where[j] of `tokens`, (s, theta, weight).

    Fills begin[c] with the first row of longitude c.
    """
    n, s, theta, phi = where.size, np.empty(where.size), np.empty(where.size), np.empty(BLOCK)
    begin[:] = 0
    for b in range(0, n, BLOCK):
        e = min(n, b + BLOCK)
        angles(x[3 * b : 3 * e], theta[b:e], phi[: e - b])
        place(phi[: e - b], N, where[b:e], s[b:e])
        for j in range(b, e):
            begin[where[j] + 1] += 1
    for c in range(begin.size - 1):
        begin[c + 1] += begin[c]
    following = begin[:-1].copy()
    for j in range(n):
        k = following[where[j]]
        following[where[j]] = k + 1
        where[j] = k
        tokens[3 * k] = s[j]
        tokens[3 * k + 1] = theta[j]
        tokens[3 * k + 2] = w[j]


@compiled()
@no_type_check
def latitudes(rows, N, row):
    """Fills `row` with the latitude of each (s, theta, weight)."""
    use_widest_vectors()
    for j in range(row.size):
        row[j] = max(min(np.int32(rows[3 * j + 1] * (N / np.pi)), np.int32(N - 1)), np.int32(0))


@compiled()
@no_type_check
def deal_rows(rows, N, following, row, s, t, w):
    """Writes (s, t, w) of each row to the next free place of its latitude row[j]; row[j] <- that place.

    following[r] is the next free place of latitude r.
    """
    for j in range(row.size):
        r = row[j]
        i = following[r]
        following[r] = i + 1
        row[j] = i
        s[i] = rows[3 * j]
        t[i] = 2 * (rows[3 * j + 1] * (N / np.pi) - r) - 1
        w[i] = rows[3 * j + 2]


@compiled()
@no_type_check
def sort_longitude(tokens, begin, c, first, inner, ordered):
    """ordered = (s, t, w) <- longitude c of all chunks, sorted by latitude: row j of chunk k is inner[k, j].

    Latitude r begins at first[r]; latitudes are padded with tokens without weight.
    """
    N, s, t, w = first.size - 1, ordered[0], ordered[1], ordered[2]
    first[:] = 0
    for k in range(len(tokens)):
        a, e = begin[k, c], begin[k, c + 1]
        latitudes(tokens[k, 3 * a : 3 * e], N, inner[k, a:e])
        for j in range(a, e):
            first[inner[k, j] + 1] += 1
    for r in range(N):
        end = first[r] + first[r + 1]
        first[r + 1] = first[r] + (first[r + 1] + LANES - 1) // LANES * LANES
        for j in range(end, first[r + 1]):
            s[j] = t[j] = w[j] = 0.0
    following = first[:-1].copy()
    for k in range(len(tokens)):
        a, e = begin[k, c], begin[k, c + 1]
        deal_rows(tokens[k, 3 * a : 3 * e], N, following, inner[k, a:e], s, t, w)


@compiled()
@no_type_check
def add_moments(p, s, t, M):
    """M[a, b] += sum_j p_j s_j^a t_j^b for a, b < 4; then p *= s^4.

    In two passes, of which each has as many sums as processors of sixteen vector registers hold beside the tokens.
    """
    use_widest_vectors()
    m00 = m01 = m10 = m11 = m20 = m21 = m30 = m31 = 0.0
    for j in range(p.size):
        p0, x = p[j], s[j]
        p1, x2 = p0 * t[j], x * x
        x3 = x2 * x
        m00 = plus(m00, p0)
        m10 = plus(m10, p0 * x)
        m20 = plus(m20, p0 * x2)
        m30 = plus(m30, p0 * x3)
        m01 = plus(m01, p1)
        m11 = plus(m11, p1 * x)
        m21 = plus(m21, p1 * x2)
        m31 = plus(m31, p1 * x3)
    low = (m00, m01, m10, m11, m20, m21, m30, m31)
    m02 = m03 = m12 = m13 = m22 = m23 = m32 = m33 = 0.0
    for j in range(p.size):
        x, y = s[j], t[j]
        p2, x2 = p[j] * (y * y), x * x
        p3, x3 = p2 * y, x2 * x
        p[j] *= x2 * x2
        m02 = plus(m02, p2)
        m12 = plus(m12, p2 * x)
        m22 = plus(m22, p2 * x2)
        m32 = plus(m32, p2 * x3)
        m03 = plus(m03, p3)
        m13 = plus(m13, p3 * x)
        m23 = plus(m23, p3 * x2)
        m33 = plus(m33, p3 * x3)
    high = (m02, m03, m12, m13, m22, m23, m32, m33)
    for a in range(4):
        for b in range(2):
            M[a, b] += low[2 * a + b]
            M[a, b + 2] += high[2 * a + b]


@compiled()
@no_type_check
def times_fourth_power(g, t, p):
    """g *= t^4, and p <- g."""
    use_widest_vectors()
    for j in range(g.size):
        square = t[j] * t[j]
        g[j] *= square * square
        p[j] = g[j]


@compiled()
@no_type_check
def longitude_moments(ordered, first, M):
    """M[a, b, latitude] += sum_j w_j s_j^a t_j^b of sorted (s, t, w); each block has its own sum."""
    s, t, w = ordered[0], ordered[1], ordered[2]
    g, p, tiles = np.empty(BLOCK), np.empty(BLOCK), M.shape[0] // 4  # as a constant it would unroll the loops
    for r in range(first.size - 1):
        for k in range(first[r], first[r + 1], BLOCK):
            e = min(first[r + 1], k + BLOCK)
            for j in range(e - k):
                g[j] = p[j] = w[k + j]
            for B in range(tiles):
                for A in range(tiles - B):
                    part = M[4 * A : 4 * A + 4, 4 * B : 4 * B + 4, r]
                    add_moments(p[: e - k], s[k:e], t[k:e], part)
                if tiles - 1 > B:
                    times_fourth_power(g[: e - k], t[k:e], p[: e - k])


@compiled()
@no_type_check
def tile_values(a, s, t, f):
    """f <- f s^4 + (Y, dY/dt, V), where Y and V have the coefficients a[:16] and a[16:] of a tile."""
    use_widest_vectors()
    f0, f1, f2 = f
    u, v = a[:16], a[16:]
    for j in range(s.size):
        x, y = s[j], t[j]
        x4 = (x * x) * (x * x)
        r1 = u[4] + x * (u[5] + x * (u[6] + x * u[7]))
        r2 = u[8] + x * (u[9] + x * (u[10] + x * u[11]))
        r3 = u[12] + x * (u[13] + x * (u[14] + x * u[15]))
        r0 = u[0] + x * (u[1] + x * (u[2] + x * u[3]))
        f0[j] = f0[j] * x4 + (r0 + y * (r1 + y * (r2 + y * r3)))
        f1[j] = f1[j] * x4 + (r1 + y * (2 * r2 + y * (3 * r3)))
        r0 = v[0] + x * (v[1] + x * (v[2] + x * v[3]))
        r1 = v[4] + x * (v[5] + x * (v[6] + x * v[7]))
        r2 = v[8] + x * (v[9] + x * (v[10] + x * v[11]))
        r3 = v[12] + x * (v[13] + x * (v[14] + x * v[15]))
        f2[j] = f2[j] * x4 + (r0 + y * (r1 + y * (r2 + y * r3)))


@compiled()
@no_type_check
def add_row(f, t, total):
    """total <- total t^4 + f, for values, slopes along t and values; then f = 0."""
    use_widest_vectors()
    f0, f1, f2 = f
    v0, v1, v2 = total
    for j in range(t.size):
        y = t[j]
        y3 = y * y * y
        y4 = y3 * y
        v1[j] = (v1[j] * y4 + 4 * y3 * v0[j]) + f1[j]
        v0[j] = v0[j] * y4 + f0[j]
        v2[j] = v2[j] * y4 + f2[j]
        f0[j] = f1[j] = f2[j] = 0.0


@compiled()
@no_type_check
def longitude_values(C, s, t, first, values):
    """values <- (Y, dY/dt, V) of sorted tokens, from the coefficients C[a, (Y, V), b, latitude] of cells."""
    f, tiles = np.zeros((3, BLOCK)), C.shape[0] // 4
    u = np.empty((tiles, tiles, 32))
    for r in range(first.size - 1):
        for a in range(4 * tiles):
            for b in range(4 * (tiles - a // 4)):
                for y in range(2):
                    u[b // 4, a // 4, 16 * y + 4 * (b % 4) + a % 4] = C[a, y, b, r]
        for k in range(first[r], first[r + 1], BLOCK):
            e = min(first[r + 1], k + BLOCK)
            row = f[0, : e - k], f[1, : e - k], f[2, : e - k]
            total = values[0, k:e], values[1, k:e], values[2, k:e]
            for y in range(3):
                values[y, k:e] = 0.0
            for B in range(tiles - 1, -1, -1):
                for A in range(tiles - 1 - B, -1, -1):
                    tile_values(u[B, A], s[k:e], t[k:e], row)
                add_row(row, t[k:e], total)


@compiled()
@no_type_check
def give_back(values, inner, begin, c, tokens):
    """Writes (Y, dY/dt, V) of the sorted tokens of longitude c back to their rows of `tokens`."""
    for k in range(len(tokens)):
        for j in range(begin[k, c], begin[k, c + 1]):
            i = inner[k, j]
            tokens[k, 3 * j] = values[0, i]
            tokens[k, 3 * j + 1] = values[1, i]
            tokens[k, 3 * j + 2] = values[2, i]


@compiled()
@no_type_check
def take(tokens, where, f0, f1, f2):
    """(f_0, f_1, f_2)_j <- row where[j] of `tokens`."""
    use_widest_vectors()
    for j in range(where.size):
        k = 3 * where[j]
        f0[j] = tokens[k]
        f1[j] = tokens[k + 1]
        f2[j] = tokens[k + 2]
