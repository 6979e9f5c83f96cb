"""An own verifier and own questions, four seeds at once, Pass@1 measured, the law's prediction, and a page to read.

Run it twice: the second time finds everything done. Kill it, and it goes on where it was.
"""

from llm_bridge import FineTune, QuestionArms, finetune, load_model
from llm_bridge.data.datasets import Example


def ends_with(answer):
    return lambda text: float(text.strip().endswith(f"#### {answer}"))


model = load_model("tiny-llama")
sums = [(178, 607), (188, 690), (103, 555)]
prompts = [({"role": "user", "content": f"{a}+{b}=?\n"},) for a, b in sums]
examples = [
    Example(prompt=prompt, ground_truth=str(a + b), index=place, data_source="sums")
    for place, (prompt, (a, b)) in enumerate(zip(prompts, sums, strict=True))
]
arms, others = (QuestionArms(model, some, ends_with) for some in (examples[:1], examples[1:]))
learner = FineTune(model, optimizer="sgd", step_over_kappa=0.5, kl_coefficient=0, gradient_clip=None, max_tokens=32)
run = finetune(arms, learner, rounds=20, seeds=4, out="runs/own", evaluate=[arms, others])
print("mean reward of each seed:", run.history.rewards.mean(axis=(1, 2)))
measured = [record["pass_at_1"] for record in run.evaluations if (record["round"], record["measured"]) == (20, "train")]
print("Pass@1 after 20 rounds, predicted:", run.predict().at(21).value[20], "measured:", measured)
print(run.report())
