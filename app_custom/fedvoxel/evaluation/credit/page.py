"""Renders the account of a run as one HTML page that needs no other file, with one picture."""

import base64
from importlib.resources import files

from fedvoxel.evaluation.credit.account import METHOD_NAMES, Account, SiteCredit, flagged
from fedvoxel.evaluation.figures import SITE_COLOURS, SITE_MARKERS, Picture, new_figure, picture_of
from fedvoxel.evaluation.gain import signed

_UNKNOWN = "\N{EN DASH}"


def render_account(account: Account) -> str:
    """Renders the account with its picture as HTML."""
    from jinja2 import Environment, StrictUndefined

    picture = draw_account(account)
    template = files("fedvoxel.evaluation.credit").joinpath("template.html").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        account=account,
        method=METHOD_NAMES.get(account.method, account.method),
        picture=picture,
        png=base64.b64encode(picture.png).decode("ascii"),
        value=value_text,
        share=share_text,
        flags=lambda site: flagged(account, site),
        cost=cost_text(account),
    )


def draw_account(account: Account) -> Picture:
    """Draws each hospital's value with its interval, and its values round by round."""
    figure = new_figure(9.0, 1.6 + 0.45 * max(4, len(account.sites)))
    totals, course = figure.subplots(1, 2)
    names = [credit.site for credit in account.sites]
    order = sorted(names)
    for place, credit in enumerate(account.sites):
        index = order.index(credit.site)
        style = {"color": SITE_COLOURS[index % len(SITE_COLOURS)], "marker": SITE_MARKERS[index % len(SITE_MARKERS)]}
        low, high = (credit.value if end is None else end for end in (credit.low, credit.high))
        reach = [[credit.value - low], [high - credit.value]]
        totals.errorbar([credit.value], [place], xerr=reach, linestyle="", capsize=3, **style)
        course.plot(range(len(credit.by_round)), credit.by_round, label=credit.site, markersize=4, **style)
    totals.set_yticks(range(len(names)), names)
    totals.set_ylim(len(names) - 0.5, -0.5)
    for axes, title in ((totals, "Value with 95 % interval"), (course, "Value by round looked at")):
        axes.set_title(title, fontsize=11)
        axes.grid(color="#dddddd", linewidth=0.6)
        axes.spines[["top", "right"]].set_visible(False)
    totals.axvline(0, color="black", linewidth=0.8)
    course.axhline(0, color="black", linewidth=0.8)
    course.legend(frameon=False, fontsize=8)
    said = "; ".join(f"{credit.site} {value_text(credit)}" for credit in account.sites)
    return picture_of(figure, "Contributions", f"Value of each hospital with its interval, and by round: {said}.")


def value_text(credit: SiteCredit) -> str:
    """Returns a value with its interval: "+0.031 (+0.012 to +0.050)"."""
    if credit.low is None or credit.high is None:
        return signed(credit.value)
    return f"{signed(credit.value)} ({signed(credit.low)} to {signed(credit.high)})"


def share_text(credit: SiteCredit) -> str:
    """Returns a share in per cent; a dash where nobody has any."""
    return _UNKNOWN if credit.share is None else f"{credit.share:.0%}"


def cost_text(account: Account) -> str:
    """Returns in a sentence what it took to find out."""
    cost = account.cost
    beside = f" beside the {cost.round_seconds:.0f} s of the same rounds" if cost.round_seconds else ""
    return (
        f"{cost.models} models scored, {cost.seconds:.0f} s{beside}, {cost.bytes_down / 1e6:.1f} MB sent to those who "
        "scored them."
    )
