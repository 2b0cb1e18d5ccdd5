"""Networks solved once by the libraries that know them, kept as small tables beside this file.

`solve_*.py` need wntr, pandapipes or pyswmm and are run by people who change a network; the city reads only
the tables, so it starts at once, runs anywhere and gives the same bytes whatever solver is installed.
"""
