"""A network in the forms that others run: weights, a torch.export program, ONNX, each checked against the network.

TorchScript is deprecated and not written. ONNX is one file with its weights inside. Where the network allows it, both
programs take any number of windows of any size; else of the job's window size.
"""

import io
import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fedvoxel.errors import ConfigError, PackageError
from fedvoxel.export.agreement import LARGEST_SOFTMAX, LEAST_ARGMAX, Agreement, compare, together
from fedvoxel.export.manifest import ONNX_INPUT, ONNX_OPSET, ONNX_OUTPUT

Images = NDArray[np.float32]
Predictor = Callable[[Images], NDArray[np.float32]]
"""Takes images (N, 1, X, Y, Z) and returns logits (N, C, X, Y, Z)."""


@dataclass(frozen=True)
class Forms:
    """Is a network in all forms.

    Attributes:
        weights: `torch.save` of its state; loads with `weights_only`.
        program: `torch.export.save`, a .pt2.
        onnx: An ONNX model.
        any_size: Whether the programs take windows of any size.
        agreement: How well each agrees with the network, by name.
    """

    weights: bytes
    program: bytes
    onnx: bytes
    any_size: bool
    agreement: dict[str, Agreement]


def forms_of(network: torch.nn.Module, roi_size: Sequence[int], channels: int) -> Forms:
    """Converts a network, and checks what came out on made-up images.

    Args:
        network: On the CPU; is set to evaluation.
        roi_size: The window (X, Y, Z).
        channels: Its outputs.

    Raises:
        ConfigError: It cannot be converted, or does not give one output of the image's size.
        PackageError: A form does not agree with the network.
    """
    network.eval()
    logits = torch_predictor(network)(_noise((1, *roi_size)))
    if logits.shape != (1, channels, *roi_size):
        raise ConfigError(f"expected logits of the shape {(1, channels, *roi_size)}, got {logits.shape}")
    # A transformer divides the image into tokens; the exporters do not come to an end with it in any size.
    if not any(isinstance(module, torch.nn.Linear) for module in network.modules()):
        with suppress(ConfigError, PackageError):
            return _checked(network, roi_size, any_size=True)
    return _checked(network, roi_size, any_size=False)


def torch_predictor(network: torch.nn.Module) -> Predictor:
    """Returns how a network in evaluation predicts.

    The predictor raises ConfigError where the network does not take the images, or gives more than one output.
    """

    def predict(images: Images) -> NDArray[np.float32]:
        try:
            with torch.inference_mode():
                found = network(torch.from_numpy(images))
        except (RuntimeError, ValueError, AssertionError) as error:
            shape = "x".join(str(size) for size in images.shape[2:])
            raise ConfigError(f"the network does not take windows of {shape} ({type(error).__name__})") from None
        if not isinstance(found, torch.Tensor):
            raise ConfigError(f"expected a network with one output, got one with {len(found)}; it cannot be exported")
        return np.asarray(found.numpy())

    return predict


def program_predictor(content: bytes) -> Predictor:
    """Returns how a .pt2 predicts.

    Raises:
        PackageError: It cannot be loaded.
    """
    try:
        with _quiet():
            module = torch.export.load(io.BytesIO(content)).module()
    except Exception as error:
        # torch.export raises whatever its zip reader and its deserialiser do.
        raise PackageError(f"the torch.export program cannot be loaded ({type(error).__name__})") from None

    def predict(images: Images) -> NDArray[np.float32]:
        try:
            with torch.no_grad():
                return np.asarray(module(torch.from_numpy(images)).numpy())
        except (RuntimeError, AssertionError) as error:
            raise PackageError(f"torch.export does not take what the network takes ({type(error).__name__})") from None

    return predict


def onnx_predictor(content: bytes) -> Predictor:
    """Returns how an ONNX model predicts, by ONNX Runtime on the CPU.

    Raises:
        PackageError: It cannot be loaded.
    """
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    except Exception as error:
        # ONNX Runtime's errors share no base but Exception.
        raise PackageError(f"ONNX Runtime cannot load the model ({type(error).__name__})") from None

    def predict(images: Images) -> NDArray[np.float32]:
        try:
            return np.asarray(session.run([ONNX_OUTPUT], {ONNX_INPUT: images})[0])
        except Exception as error:
            raise PackageError(f"ONNX does not take what the network takes ({type(error).__name__})") from None

    return predict


def load_weights(network: torch.nn.Module, content: bytes) -> None:
    """Puts a bundle's weights into a network.

    Raises:
        PackageError: They are not this network's.
    """
    try:
        network.load_state_dict(torch.load(io.BytesIO(content), map_location="cpu", weights_only=True))
    except Exception as error:
        # torch.load raises whatever its unpickler and zip reader do.
        raise PackageError(f"the weights cannot be loaded into the network ({type(error).__name__})") from None


def _checked(network: torch.nn.Module, roi_size: Sequence[int], any_size: bool) -> Forms:
    program, onnx = _converted(network, roi_size, any_size)
    twice = (2 * roi_size[0], *roi_size[1:])
    images = [_noise((1, *roi_size)), _blobs((2, *roi_size)), *([_blobs((1, *twice))] if any_size else [])]
    reference = torch_predictor(network)
    expected = [reference(image) for image in images]
    agreement = {}
    for name, predictor in (("torch.export", program_predictor(program)), ("ONNX", onnx_predictor(onnx))):
        agreement[name] = together(
            [compare(predictor(one), right) for one, right in zip(images, expected, strict=True)]
        )
        if not agreement[name].holds:
            raise PackageError(
                f"{name} does not agree with the network: {agreement[name].argmax:.6f} of the labels, probabilities to "
                f"{agreement[name].softmax:.2g}; at least {LEAST_ARGMAX} and at most {LARGEST_SOFTMAX} are accepted"
            )
    return Forms(_saved(network), program, onnx, any_size, agreement)


def _converted(network: torch.nn.Module, roi_size: Sequence[int], any_size: bool) -> tuple[bytes, bytes]:
    """Returns a .pt2 and an ONNX model; the number of windows is free in both."""
    free = torch.export.Dim.DYNAMIC
    axes: dict[int, Any] = dict.fromkeys((0, 2, 3, 4) if any_size else (0,), free)
    # A size of 1 would be taken for a constant.
    sample = torch.from_numpy(_noise((2, *roi_size)))
    names: dict[str, Any] = {"input_names": [ONNX_INPUT], "output_names": [ONNX_OUTPUT]}
    how: dict[str, Any] = {"dynamo": True, "opset_version": ONNX_OPSET, "external_data": False, "verbose": False}
    stream = io.BytesIO()
    try:
        with _quiet(), torch.no_grad():
            program = torch.export.export(network, (sample,), dynamic_shapes=(axes,))
            converted = torch.onnx.export(program, **names, **how)
            _forget_here(program)
            torch.export.save(program, stream)
    except Exception as error:
        # The exporters raise errors of a dozen kinds, and any of them means the same.
        raise ConfigError(f"the network cannot be converted ({type(error).__name__}: {str(error)[:200]!r})") from None
    if converted is None:
        raise ConfigError("the network cannot be converted to ONNX")
    return stream.getvalue(), _without_notes(converted.model_proto)


def _forget_here(program: torch.export.ExportedProgram) -> None:
    """Takes out of a program its sample, and where its lines of Python lay on this machine."""
    program.example_inputs = None
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, torch.fx.GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _without_notes(model: Any) -> bytes:
    """Returns an ONNX model without the exporter's notes, which name folders of this machine."""
    parts = [model, model.graph, *model.graph.node, *model.graph.value_info, *model.functions]
    parts += [*model.graph.input, *model.graph.output, *model.graph.initializer]
    for part in (*parts, *(node for function in model.functions for node in function.node)):
        part.ClearField("metadata_props")
    return bytes(model.SerializeToString())


def _saved(network: torch.nn.Module) -> bytes:
    stream = io.BytesIO()
    torch.save(network.state_dict(), stream)
    return stream.getvalue()


def _noise(shape: Sequence[int]) -> Images:
    """Returns random images (N, 1, X, Y, Z) of mean 0 and deviation 1, the same each time."""
    number, *size = shape
    return np.random.default_rng(1).standard_normal((number, 1, *size)).astype(np.float32)


def _blobs(shape: Sequence[int]) -> Images:
    """Returns images that are smooth over a few voxels, as scans are, of mean 0 and deviation 1."""
    from scipy import ndimage

    smooth = ndimage.gaussian_filter(_noise(shape), sigma=(0, 0, 2, 2, 2))
    return np.asarray(smooth / smooth.std(), dtype=np.float32)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporters' remarks on themselves (deprecations, operators that are not installed) from the screen."""
    loggers = [logging.getLogger(name) for name in ("torch.export", "torch.onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
