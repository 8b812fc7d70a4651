"""The model card: what a person should know of a model, from facts alone. It claims nothing that the run does not."""

import statistics
from collections.abc import Iterator

from fedvoxel.export.description import ModelDescription, Range
from fedvoxel.export.provenance import Provenance
from fedvoxel.federation.outcome import ClassScore
from fedvoxel.privacy.guarantee import NO_GUARANTEE

MODEL_CARD = "docs/model_card.md"

_CASES_OF_A_HOSPITAL = """\
Scores are each hospital's own, on cases that nobody trained on: mean Dice with its 95 % bootstrap interval, and the
median of the 95th percentile of the surface distance. A hospital that sent none is not in the table."""


def model_card(description: ModelDescription, provenance: Provenance) -> bytes:
    """Returns the card as Markdown."""
    sections = (
        _head(description),
        _structures(description),
        _input(description),
        _data(provenance),
        _scores(description, provenance),
        _privacy(provenance),
        _origin(provenance),
    )
    return ("\n\n".join("\n".join(section) for section in sections) + "\n").encode()


def _head(description: ModelDescription) -> Iterator[str]:
    yield f"# {_plain(description.title)} ({description.name} {description.version})"
    yield ""
    yield "For research. Not a medical device."
    yield from ("", "## Intended use", "", _plain(description.intended_use))
    yield from ("", "## Limitations", "", _plain(description.limitations))


def _structures(description: ModelDescription) -> Iterator[str]:
    yield from ("## What it finds", "", "| label | structure | code | modifier |", "| --- | --- | --- | --- |")
    for index, one in enumerate(description.structures, start=1):
        code = f"{one.type.scheme} {one.type.value} {_plain(one.type.meaning)}"
        modifier = f"{one.modifier.scheme} {one.modifier.value} {_plain(one.modifier.meaning)}" if one.modifier else "–"
        yield f"| {index} | {_plain(one.label)} | {code} | {modifier} |"


def _input(description: ModelDescription) -> Iterator[str]:
    asked, plan = description.input, description.plan
    yield from ("## What it was made for", "")
    yield f"- modality: {', '.join(asked.modalities)}; body part: {', '.join(asked.body_parts)}"
    yield f"- voxels of {_span(asked.spacing_mm)} mm, volumes of {_span(asked.extent_mm)} mm"
    spacing = (
        "as they are" if plan.spacing_mm is None else " × ".join(f"{value:g}" for value in plan.spacing_mm) + " mm"
    )
    window = " × ".join(str(size) for size in description.inference.roi_size)
    yield f"- prepared as {plan.orientation}, voxels {spacing}, intensities by {plan.intensity.method}"
    yield f"- windows of {window} voxels"


def _data(provenance: Provenance) -> Iterator[str]:
    yield from ("## Data it was trained on", "", "| site | rounds | training cases |", "| --- | --- | --- |")
    for name, part in sorted(provenance.sites.items(), key=lambda item: int(item[0].rpartition("-")[2])):
        told = "not told" if part.training_cases is None else str(part.training_cases)
        yield f"| {name} | {part.rounds} | {told} |"
    yield from ("", "Sites are named by pseudonym. Scans stayed where they are.")
    start = provenance.privacy.start_from
    if start:
        yield f"It began with {start.words}; of that run's privacy: {start.privacy}"


def _scores(description: ModelDescription, provenance: Provenance) -> Iterator[str]:
    yield from ("## How good it is", "")
    tested = {name: part.test for name, part in provenance.sites.items() if part.test}
    if not provenance.origin.tested:
        yield "Nobody tested this model: the run tested the one that validated best."
        return
    if not tested:
        yield "The run sent no scores. A hospital can find its own with `fedvoxel site score`."
        return
    yield from (
        _CASES_OF_A_HOSPITAL,
        "",
        "| site | structure | cases | Dice | HD95 mm |",
        "| --- | --- | --- | --- | --- |",
    )
    for name in sorted(tested, key=lambda name: int(name.rpartition("-")[2])):
        for structure in description.structures:
            score = tested[name].classes.get(structure.name)
            if score:
                yield f"| {name} | {_plain(structure.label)} | {score.cases} | {_dice(score)} | {_distance(score)} |"
    for structure in description.structures:
        means = [test.classes[structure.name].dice_mean for test in tested.values() if structure.name in test.classes]
        known = [mean for mean in means if mean is not None]
        if known:
            median, name = statistics.median(known), _plain(structure.label)
            yield f"\n{name}: mean Dice of hospitals from {min(known):.3f} to {max(known):.3f}, median {median:.3f}."


def _privacy(provenance: Provenance) -> Iterator[str]:
    yield from ("## Privacy of the patients it was trained on", "")
    yield f"In the words of the run: {provenance.privacy.claim}"
    if provenance.privacy.claim == NO_GUARANTEE:
        yield ""
        yield "A model can give away something about the cases it was trained on; nobody has put a bound on that here."


def _origin(provenance: Provenance) -> Iterator[str]:
    origin, forms = provenance.origin, provenance.forms
    yield from ("## Where it comes from", "")
    when = f"{origin.started:%Y-%m-%d} to {origin.finished:%Y-%m-%d}, {origin.rounds_committed} rounds"
    yield f"- run {origin.run_key} (job {_plain(origin.job_name)}, {origin.job_id}), {when}"
    yield f"- SHA-256 of the run's outcome: {origin.outcome_sha256}"
    yield f"- head of the server's audit log: {origin.audit_head or 'not given'}"
    yield f"- network: {provenance.network.name}; ONNX opset {forms.onnx_opset}"
    for name, found in forms.found.items():
        agreed, off = f"{found.argmax_agreement:.6f}", f"{found.largest_softmax_difference:.1e}"
        yield f"- {name} against the trained network, on made-up images: {agreed} of the labels, probabilities to {off}"
    least, most = forms.least_argmax_agreement, forms.largest_softmax_difference
    yield f"- accepted: at least {least} of the labels, probabilities to {most:g}"
    shown = ", ".join(f"{name} {version}" for name, version in sorted(provenance.export_versions.items()))
    yield f"- exported with {shown}"


def _span(asked: Range) -> str:
    return f"{asked.low:g} to {asked.high:g}"


def _dice(score: ClassScore) -> str:
    if score.dice_mean is None:
        return "–"
    if score.dice_low is None or score.dice_high is None:
        return f"{score.dice_mean:.3f}"
    return f"{score.dice_mean:.3f} ({score.dice_low:.3f} to {score.dice_high:.3f})"


def _distance(score: ClassScore) -> str:
    return "–" if score.hd95_mm_median is None else f"{score.hd95_mm_median:.1f}"


def _plain(text: str) -> str:
    """Returns text in which nothing is a mark of Markdown or HTML, on one line."""
    flat = " ".join(text.split())
    return "".join(f"\\{sign}" if sign in "\\`*_{}[]<>#|" else sign for sign in flat)
