"""Writes what an auditor asks for about a run, from artefacts that exist, signed; says openly what is not there."""
