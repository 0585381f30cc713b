"""SIMS (Qi et al. 2018) in stages: each runs, resumes and is skipped on its own (see docs/sims.md)."""
