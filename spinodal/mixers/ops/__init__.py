"""Operations that mixers share: decayed sums, and rows that are appended without a copy."""
