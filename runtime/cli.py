"""The command line ``tokenstack``: its sub-commands lie in :mod:`runtime.commands`."""

import sys
from typing import NoReturn

import typer

from model.spec.errors import UserError
from runtime.commands import COMMANDS

app = typer.Typer(
    name="tokenstack", add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Replay serving traces on HBM-PIM systems whose cycle counts come from RTL simulation.")

for _name, _command in COMMANDS.items():
    app.command(name=_name)(_command)


def _fail(message: str) -> NoReturn:
    sys.stderr.write(f"tokenstack: {' '.join(message.split())}\n")
    raise SystemExit(2)


def main() -> None:
    """Entry point: user errors are one line on standard error and exit status 2."""
    try:
        status = app(standalone_mode=False)     # 130 after an interrupt within a command
    except UserError as error:
        _fail(str(error))
    except typer.TyperException as error:       # unknown option, missing value, not a number
        message = getattr(error, "format_message", error.__str__)()
        if not message:                         # no command at all: the help has been printed
            raise SystemExit(2) from None
        _fail(message)
    except (typer.Abort, KeyboardInterrupt):
        raise SystemExit(130) from None
    if status:
        raise SystemExit(status)


if __name__ == "__main__":
    main()
