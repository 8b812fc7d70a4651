"""Whether a model in use still meets what it was calibrated on: the tests, and what hospitals tell for one alarm.

Counts of many images and means over them, and nothing else. Nothing here sees a scan, or the result of a single one.
"""
