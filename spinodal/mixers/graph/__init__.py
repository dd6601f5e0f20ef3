"""The token mixer that lets tokens descend an energy on a graph, and its parts."""
