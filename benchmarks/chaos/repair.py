"""What a person would do with machines that do not go on: switch them all off and on again."""

from collections.abc import Callable

from benchmarks.chaos.machines import BOOTED_WITHIN_S, SERVER, Machines
from benchmarks.chaos.waiting import wait_until


def off_and_on(machines: Machines, say: Callable[[str], None]) -> None:
    """Mends lines, disks and clocks, and boots every machine."""
    say("switching all machines off and on")
    for machine in machines.names:
        machines.mend(machine)
        machines.free(machine)
        machines.set_clock(machine, 0)
        machines.power_off(machine)
    machines.console(SERVER).write_text("")
    for machine in machines.names:
        machines.boot(machine)
    wait_until(machines.all_registered, BOOTED_WITHIN_S)
