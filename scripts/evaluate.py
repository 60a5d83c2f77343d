"""``python scripts/evaluate.py ...`` is ``meta-rl evaluate ...`` without installing the console command."""

import sys

from meta_rl.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
