"""``meta-rl view``: a page on this machine, by viser (extra ``viewer``), on which a policy adapts while one looks."""
