"""`python -m noonchi` is `noonchi`."""

from noonchi.cli import main

main()
