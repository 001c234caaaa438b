"""`python -m foreworld` is the command line."""

from foreworld.cli import main

if __name__ == "__main__":
    main()
