"""Real language models as bandits: decoder, weights, generation, and the arm set and learner built on them.

from llm_bridge import load_model, PromptArms, FineTune, finetune
"""

from llm_bridge.bandits.question_arms import PromptArms, QuestionArms
from llm_bridge.hosts import join as join_hosts
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.measuring.evaluate import Evaluation, evaluate
from llm_bridge.measuring.measure import Measurement, measure
from llm_bridge.sampling.rollouts import QuestionRollouts, Rollouts
from llm_bridge.training.evaluators import Evaluator
from llm_bridge.training.learner import FineTune
from llm_bridge.training.memory_plan import plan_memory
from llm_bridge.training.run import Measuring, Run, finetune

__all__ = [
    "Evaluation",
    "Evaluator",
    "FineTune",
    "LanguageModel",
    "Measurement",
    "Measuring",
    "PromptArms",
    "QuestionArms",
    "QuestionRollouts",
    "Rollouts",
    "Run",
    "evaluate",
    "finetune",
    "join_hosts",
    "load_model",
    "measure",
    "plan_memory",
]
