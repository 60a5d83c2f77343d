"""Numbers of a run: judged, reported, compared."""
