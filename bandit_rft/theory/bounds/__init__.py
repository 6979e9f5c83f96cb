"""Classic regret bounds (THEORY.md D): what textbooks promise, and how little of it is left when arms outnumber rounds.

fresh_arms.py    what every learner does that tries untouched arms first: exact
logarithmic.py   Lai and Robbins' lower bound, Thompson sampling's asymptote
stochastic.py    UCB1, UCB(alpha), KL-UCB, successive elimination
exploration.py   explore-then-commit
adversarial.py   EXP3 in both forms, EXP3-IX, Tsallis-INF
minimax.py       MOSS from above, any learner from below, Thompson sampling under a prior
"""
