"""Studies that scripts run."""
