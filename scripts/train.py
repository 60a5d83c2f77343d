"""``python scripts/train.py ...`` is ``meta-rl train ...`` without installing the console command."""

import sys

from meta_rl.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
