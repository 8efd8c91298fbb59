"""`python -m eval`: see `eval.benchmark`; with a first word, `eval.shipped` or `eval.export`."""

import signal
import sys
from importlib import import_module

COMMANDS = {"leaderboard": "eval.shipped", "report": "eval.export"}

signal.signal(signal.SIGTERM, signal.default_int_handler)  # `kill` stops it as Ctrl-C does
arguments = sys.argv[1:]
name = COMMANDS.get(arguments[0]) if arguments else None
sys.exit(
    import_module(name).main(arguments[1:])
    if name
    else import_module("eval.benchmark").main(arguments)
)
