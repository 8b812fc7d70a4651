"""Why a tracker failed, in words that hold nothing of what its client said."""

import pytest
import requests
from urllib3.exceptions import MaxRetryError, NewConnectionError, ReadTimeoutError

from fedvoxel.errors import PackageError, TrackerError
from fedvoxel.ops.trackers.reasons import in_our_words, reason_of
from tests.ops.trackers.fake_tracker import SECRET

ADDRESS = f"https://user:{SECRET}@tracker.example"


class MlflowsError(Exception):
    """An error as MLflow's client has them."""

    def __init__(self, status: int) -> None:
        super().__init__(f"{ADDRESS} said no")
        self._status = status

    def get_http_status_code(self) -> int:
        return self._status


def _http(status: int) -> requests.HTTPError:
    response = requests.Response()
    response.status_code = status
    return requests.HTTPError(f"{status} for {ADDRESS}", response=response)


def _behind_mlflow(cause: Exception) -> Exception:
    try:
        try:
            raise cause
        except Exception:
            raise MlflowsError(500)  # noqa: B904 - as MLflow's client does
    except MlflowsError as error:
        return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MlflowsError(401), r"refused the login or token \(HTTP 401\)"),
        (_http(403), r"refused the login or token \(HTTP 403\)"),
        (_http(503), "answered HTTP 503"),
        (MlflowsError(404), "answered HTTP 404"),
        (_behind_mlflow(requests.ConnectionError(ADDRESS)), "cannot be reached"),
        (_behind_mlflow(requests.ReadTimeout(ADDRESS)), "did not answer in time"),
        (
            _behind_mlflow(requests.ConnectionError(MaxRetryError(None, ADDRESS, ReadTimeoutError(None, "/", "slow")))),  # type: ignore[arg-type]
            "did not answer in time",
        ),
        (requests.ConnectionError(MaxRetryError(None, "/", NewConnectionError(None, "no"))), "cannot be reached"),  # type: ignore[arg-type]
        (TimeoutError(), "did not answer in time"),
        (OSError(28, "No space left on device", ADDRESS), "No space left on device"),
        (MlflowsError(500), "its client raised MlflowsError"),
        (ValueError(ADDRESS), "its client raised ValueError"),
    ],
)
def test_the_kind_is_told_and_the_text_is_not(error: Exception, said: str) -> None:
    with pytest.raises(TrackerError, match=said) as caught, in_our_words("MLflow"):
        raise error
    assert SECRET not in str(caught.value) and caught.value.__cause__ is None


def test_our_own_errors_and_interruptions_pass() -> None:
    with pytest.raises(PackageError, match="as it is"), in_our_words("MLflow"):
        raise PackageError("as it is")
    with pytest.raises(KeyboardInterrupt), in_our_words("MLflow"):
        raise KeyboardInterrupt


def test_errors_that_lead_to_one_another_end() -> None:
    first, second = ValueError(), KeyError()
    first.__cause__, second.__cause__ = second, first
    assert reason_of(first) == "its client raised ValueError"
