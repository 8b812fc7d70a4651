"""The codecs that a job can name for what its sites send and for what they are sent."""

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from fedvoxel.config import FrozenModel


class Half(FrozenModel):
    """Configures IEEE half precision: about 2.3 times fewer bytes, relative error below 2**-11."""

    name: Literal["fp16"]


class Blockwise(FrozenModel):
    """Configures whole numbers of 8 or 4 bits with a scale for each block, rounded at random without bias.

    Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", ICLR 2022, section 2.1; the rounding is
    that of QSGD (Alistarh et al., NeurIPS 2017, section 3.1).
    """

    name: Literal["int8", "int4"]

    @property
    def block(self) -> int:
        """Is the number of values that share a scale."""
        return 256 if self.name == "int8" else 64

    @property
    def levels(self) -> int:
        """Is the largest whole number."""
        return 127 if self.name == "int8" else 7


class Stepped(FrozenModel):
    """Configures whole multiples of a step, entropy-coded: most values become zero and cost a fraction of a bit.

    Attributes:
        step: Width of a step over the root mean square of the array's values.
        levels: Largest multiple.

    Source: Sullivan, "Efficient scalar quantization of exponential and Laplacian random variables", IEEE Transactions
    on Information Theory 1996: with entropy coding, uniform steps are nearly the best at few bits a value.
    """

    name: Literal["stepped"]
    step: float = Field(default=1.5, gt=0, le=20)
    levels: Literal[1, 2, 3, 7] = 3


class TopK(FrozenModel):
    """Configures the values of largest magnitude of each array; the rest waits in the error feedback.

    Attributes:
        fraction: Share of an array's values that travel.
        values: How they travel: in half precision, or each as the sign of the mean magnitude.

    Sources: Stich et al., "Sparsified SGD with Memory", NeurIPS 2018, section 2; with signs it is Sattler et al.,
    "Robust and Communication-Efficient Federated Learning from Non-IID Data", TNNLS 2019, Algorithm 1.
    """

    name: Literal["topk"]
    fraction: float = Field(default=0.1, gt=0, le=1)
    values: Literal["fp16", "sign"] = "fp16"


class RandomK(FrozenModel):
    """Configures values of each array chosen at random: where they stand follows from a seed, which alone travels.

    Source: Konecny et al., "Federated Learning: Strategies for Improving Communication Efficiency", 2016, section 2
    ("random mask").
    """

    name: Literal["randomk"]
    fraction: float = Field(default=0.1, gt=0, le=1)


class LowRank(FrozenModel):
    """Configures each kernel as a product of two thin matrices of rank `rank`, begun with those of the last round.

    Source: Vogels et al., "PowerSGD", NeurIPS 2019, Algorithm 1. There the workers first add up P and then Q, which
    takes two exchanges; here each site sends both factors of its own update, and the server adds up the products.
    """

    name: Literal["powersgd"]
    rank: int = Field(default=4, ge=1, le=256)


AnyCodec = Half | Blockwise | Stepped | TopK | RandomK | LowRank
Codec = Annotated[AnyCodec, Field(discriminator="name")]
READ_CODEC: TypeAdapter[AnyCodec] = TypeAdapter(Codec)


class CompressionConfig(FrozenModel):
    """Configures both directions.

    Attributes:
        up: Codec of the sites' differences; null sends them in float32.
        down: Codec of the server's change to the model that the sites hold; null sends the model in float32.
        guard_dice: Steps back to a finer codec where the federated validation Dice lies by more than this below its
            best for two rounds in a row; null never steps back.
    """

    up: Codec | None = None
    down: Codec | None = None
    guard_dice: float | None = Field(default=None, gt=0, le=1)


NO_COMPRESSION = CompressionConfig()


def finer(codec: AnyCodec | None) -> AnyCodec | None:
    """Returns the next codec on the way back to float32: int8, then half precision, then none."""
    if codec is None or isinstance(codec, Half):
        return None
    if isinstance(codec, Blockwise) and codec.name == "int8":
        return Half(name="fp16")
    return Blockwise(name="int8")
