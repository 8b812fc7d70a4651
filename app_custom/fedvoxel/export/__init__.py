"""A trained model as one signed package that others can check, and run without what trained it."""
