"""Formulas: returns, losses, distributions, gradient steps, trust regions."""
