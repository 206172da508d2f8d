"""Published numbers beside ours: every cell of `bench/published` measured anew, and judged by one rule.

A setting of `bench.published.protocols` is measured in the file here that is named after it, with the suite's own
estimators, exact moments and exact gradients, so that an agreement is evidence for those.
"""
