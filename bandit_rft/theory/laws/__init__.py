"""The laws that entries of several rooms are made of: jump chains, and curves without randomness.

jump_law.py         the chain of one correct arm, one rollout, raw reward: moments, quantiles, samples
far_rounds.py       the same at very many rounds (far_scores.py and far_states.py are its parts)
geometric_waits.py  sums of independent geometric waits: hitting times
chain.py            from a chain to a prediction
curve_law.py        from a curve to a prediction
tree_law.py         policy gradient on a tree of decisions, one rollout of the raw reward: by successes
tree_rounds_law.py  the same for any signal and number of rollouts: by rounds
tree_round.py       such a round: questions, responses, rewards, windows of scores, dead groups drawn again
adam_step.py        Adam on such a tree
"""
