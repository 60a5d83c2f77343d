"""The command line."""

from meta_rl.cli.commands import main as main
