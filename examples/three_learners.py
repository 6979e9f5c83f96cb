"""Three learners on 10 and on 10^6 arms, with what theory knows of them on top: one figure each."""

from bandit_rft import arms, learners, plots, run, theory_for

policies = {"UCB1": learners.UCB1(), "Thompson": learners.ThompsonBeta(), "KL-UCB": learners.KLUCB()}
tables = {
    "ten": arms.Bernoulli([0.05, 0.15, 0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95]),
    "million": arms.Classes.of({0.5: 999_000, 0.9: 1_000}),  # 999,000 arms of mean .5, and 1,000 of mean .9
}
for name, table in tables.items():
    histories = {policy: run(table, learner, rounds=2000, seeds=16) for policy, learner in policies.items()}
    axes = plots.regret(histories, theory=theory_for(table, policies, rounds=2000), yscale="log")
    axes.figure.savefig(f"{name}.png")
