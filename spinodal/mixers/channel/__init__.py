"""Mixers that act on the features of each token: gates, and partitions into phases."""
