"""What a hospital can choose, and that it cannot choose what would not protect."""

from typing import Any

import pytest

from fedvoxel.config import parse_config
from fedvoxel.deid.policy import DeidPolicy
from fedvoxel.errors import ConfigError

REGION = {"top": 0, "left": 0, "bottom": 2, "right": 8}
DEVICE = {"manufacturer": "M", "model": "X", "rows": 8, "columns": 8, "regions": [REGION]}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "project"),
        ({"project": "../x"}, "project"),
        ({"project": "p", "dates": "keep"}, "dates"),
        ({"project": "p", "retain_uids": True}, "retain_uids"),
        ({"project": "p", "body_part": "HEAD"}, "body_part"),
        ({"project": "p", "faces": "ignore"}, "faces"),
        ({"project": "p", "sop_classes": ["SR"]}, "sop_classes"),
        ({"project": "p", "sop_classes": []}, "sop_classes"),
        ({"project": "p", "burned_in": "keep"}, "burned_in"),
        ({"project": "p", "burned_in": [{**DEVICE, "regions": []}]}, "regions"),
        ({"project": "p", "burned_in": [{**DEVICE, "rows": 1}]}, "inside rows and columns"),
        ({"project": "p", "burned_in": [{**DEVICE, "regions": [{**REGION, "bottom": 0}]}]}, "bottom"),
    ],
)
def test_a_policy_that_would_not_protect_is_refused(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_config(DeidPolicy, values, "the policy")


def test_the_defaults_refuse_what_is_in_doubt() -> None:
    policy = DeidPolicy(project="p")
    assert (policy.burned_in, policy.faces, policy.unnamed_patients) == ("refuse", "refuse", "refuse")
    assert not {"US", "US_MULTIFRAME", "SC"} & set(policy.sop_classes)
    assert policy.device_texts == ()
