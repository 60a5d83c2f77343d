"""An agent and its episodes for others: exported folders, the Hub, Minari."""
