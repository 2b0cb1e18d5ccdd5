"""How good the detectors are on labelled recordings: each set by its own published metric, re-implemented.

The recordings are not part of the product; `cityvigil bench quality --data DIR` names their folder. One file
a set, each with the rules of its scorer; settings are those of the profiles, the same for all files of a set.
"""
