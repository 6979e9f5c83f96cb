"""Real language models as bandits: decoder, weights, generation, and the arm set and learner built on them.

from llm_bridge import load_model, PromptArms, FineTune, evaluate
"""

from llm_bridge.evaluate import Evaluation, evaluate
from llm_bridge.finetune import FineTune
from llm_bridge.generate import Rollouts
from llm_bridge.measure import Measurement, measure
from llm_bridge.model import LanguageModel, load_model
from llm_bridge.prompt_arms import PromptArms
from llm_bridge.question_arms import QuestionArms, QuestionRollouts

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
