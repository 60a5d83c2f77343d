"""``python -m meta_rl.cli``: the command ``meta-rl``."""

import sys

from meta_rl.cli import main

if __name__ == "__main__":
    sys.exit(main())
