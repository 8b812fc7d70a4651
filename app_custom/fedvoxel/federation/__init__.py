"""What the server does with updates: rounds, aggregation, model selection and the honest record. numpy only."""
