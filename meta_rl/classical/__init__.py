"""Agents from before meta-learning that the tables of Duan et al. 2016 compare with; numpy only."""
