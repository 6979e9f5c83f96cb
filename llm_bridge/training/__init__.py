"""Fine-tuning: settings, the update and its loss, optimisers, checkpoints.

A reward's way from the verifier to the weights, file by file:

    llm_bridge/verifiers/gsm8k.py              a response's text → 1.0 or 0.0 (or another verifier)
    llm_bridge/bandits/text_rewards.py         texts → float32 rewards, each a finite number
    llm_bridge/bandits/question_arms.py        `pull`: each response by its own question's verifier
    bandit_rft/loop/host.py                    act → pull → update, round by round
    llm_bridge/training/update.py              rewards → signals → optimiser steps → new weights
    bandit_rft/signals.py                      the rewards of one prompt → its signals (advantages)
    llm_bridge/training/plans.py               which rows a step learns from, in which shapes
    llm_bridge/training/policy_gradient.py     rows and signals → loss and gradient

`finetune` (run.py) starts all this and keeps the run folder; `state` lists what is carried from round to round.
"""
