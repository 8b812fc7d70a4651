"""Adds the sites' updates up so that the server learns their sum and nothing else: secure aggregation by masks.

Source: Bonawitz et al., "Practical Secure Aggregation for Privacy-Preserving Machine Learning", CCS 2017, figure 4,
with the consistency check that holds against a server that does not keep to the protocol; keys are new in every round.
"""
