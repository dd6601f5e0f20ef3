"""Operations that mixers share: decayed sums, and KV caches that append without a copy."""
