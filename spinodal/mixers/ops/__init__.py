"""Operations that mixers share, each beside its naive definition `naive_X`, with which a test compares it.

decayed_linear_attention  y_i = q_i S_i, S_i = diag(a_i) S_{i-1} + k_i v_i^T    chunks, in linear time
fixed_decay               y_i = sum_j g^|i-j| <q_i, k_j> v_j                two-sided chunks
decayed_sum               y_i = a_i y_{i-1} + u_i                               chunks, in linear time
toeplitz                  y_i = sum_j t_{i-j} v_j                               by FFT
places                    y_i = sum_j W_ij v_j where padding takes no place     scatter, product, gather
block_gather              products and averages over chosen blocks of tokens    a few blocks at a time
kv_cache                  rows appended, one a token                            without copying earlier ones
padding                   padding set to zero
"""
