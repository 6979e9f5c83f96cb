"""The papers' claims, and the disputes around them, judged by runs: `bandit-rft reproduce`.

experiments.py   what is compared, one design choice at a time
claims/          one claim a file, with the test that decides on it
tiers.py         what stands behind a setting: tables, embedded models, larger ones
reproduce.py     plans, runs what is missing, judges, and writes the table
"""
