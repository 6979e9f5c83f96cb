"""Three learners on 10 and on 10^6 arms, one of which is right, with what theory knows of them on top: two figures."""

from bandit_rft import arms, learners, plots, run, theory_for

policies = {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta()}
policies["policy gradient"] = learners.SoftmaxPolicyGradient(step_size=0.5)
for log10_arms in (1, 6):
    table = arms.Needle(log10_arms=log10_arms, p0=0.1)  # the softmax policy starts with 10% on the right arm
    histories = {name: run(table, learner, rounds=1000, seeds=16) for name, learner in policies.items()}
    axes = plots.regret(histories, theory=theory_for(table, policies, rounds=1000))
    axes.figure.savefig(f"arms-1e{log10_arms}.png")
