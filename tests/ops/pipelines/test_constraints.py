"""The pipelines' environment has the pins of all others, but for what Kubeflow Pipelines wants otherwise."""

from tests.serving.test_constraints import pins

OTHERS = {"protobuf", "requests", "urllib3"}


def test_only_what_kubeflow_wants_otherwise_differs() -> None:
    ours, pipelines = pins("constraints.txt"), pins("constraints-pipelines.txt")
    assert {name for name in ours.keys() & pipelines.keys() if ours[name] != pipelines[name]} == OTHERS
    assert pipelines["kfp"] == pipelines["kfp-kubernetes"] and pipelines["torch"] == ours["torch"]
