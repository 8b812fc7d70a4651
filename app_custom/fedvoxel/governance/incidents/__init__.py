"""Incidents: what happened, who said so, and the switches that stop all jobs or keep one site out."""
