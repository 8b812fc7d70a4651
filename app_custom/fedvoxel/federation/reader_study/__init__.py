"""What hospitals tell of their clinicians' reading of one package, what it comes to, and whether it suffices.

Counts of many cases and nothing else: no reader, no case, no text. Nothing here sees a scan or a single answer.
"""
