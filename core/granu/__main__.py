"""`python -m granu`: the same as the command `granu`."""

from granu.cli import main

if __name__ == "__main__":
    main()
