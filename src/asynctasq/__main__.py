"""`python -m asynctasq`: the command line."""

from asynctasq.app.cli import main

if __name__ == "__main__":
    main(prog_name="asynctasq")
