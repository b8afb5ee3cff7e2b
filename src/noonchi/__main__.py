"""The command: `noonchi`, and `python -m noonchi`."""

import sys


def main() -> None:
    """The command line. Ctrl-C is one line while it is still being imported too."""
    try:
        from noonchi import cli
    except KeyboardInterrupt:
        sys.stderr.write("noonchi: stopped.\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
