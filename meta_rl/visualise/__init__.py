"""Recordings made visible: side-by-side videos, the page of a report, the live view."""
