"""Dice at one epsilon with noise that each hospital adds for itself, and with noise that the hospitals share."""
