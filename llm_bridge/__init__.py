"""Real language models as bandits: decoder, weights, generation, and the arm set and learner built on them.

from llm_bridge import load_model, PromptArms, FineTune, evaluate
"""

from llm_bridge.bandits.prompt_arms import PromptArms
from llm_bridge.bandits.question_arms import QuestionArms, QuestionRollouts
from llm_bridge.language_model import LanguageModel, load_model
from llm_bridge.measuring.evaluate import Evaluation, evaluate
from llm_bridge.measuring.measure import Measurement, measure
from llm_bridge.sampling.generate import Rollouts
from llm_bridge.training.learner import FineTune

__all__ = [
    "Evaluation",
    "FineTune",
    "LanguageModel",
    "Measurement",
    "PromptArms",
    "QuestionArms",
    "QuestionRollouts",
    "Rollouts",
    "evaluate",
    "load_model",
    "measure",
]
