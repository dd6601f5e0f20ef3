"""python -m spinodal: the command line."""

from spinodal.cli import main

main()
