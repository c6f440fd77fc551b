"""What the benchmarks measure: instructions, wall time and peak memory of one command, beside a yardstick.

Every command runs as a process of its own with the environment given, and must end with status 0.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from .needs import SYSTEM_FOLDERS

INSTRUCTIONS = re.compile(rb"Collected\s*:\s*(\d+)")
PEAK = """import os, sys
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
os.write(2, b"\\npeak %d %d" % (os.waitstatus_to_exitcode(status), usage.ru_maxrss))
"""

USAGE = """import os, sys, time
began = time.perf_counter()
child = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - began
cpu = usage.ru_utime + usage.ru_stime
os.write(2, b"\\nusage %d %f %f %d" % (os.waitstatus_to_exitcode(status), seconds, cpu, usage.ru_maxrss))
"""


@dataclass
class Command:
    """What to run: words, environment, and the file that is its standard input."""

    words: Sequence[str]
    environ: Mapping[str, str]
    stdin: str = "/dev/null"
    seconds: list[float] = field(default_factory=list)

    def run(self, *before: str) -> bytes:
        """Run it, behind the words of a measuring command if any; returns what it said on standard error."""
        with open(self.stdin, "rb") as stdin:
            done = subprocess.run(
                [*before, *self.words], stdin=stdin, capture_output=True, env=dict(self.environ), check=False
            )
        if done.returncode != 0:
            sys.exit(
                f"{' '.join(self.words)} ended with {done.returncode}: {done.stderr.decode(errors='replace')}"
            )
        return done.stderr

    def time(self) -> float:
        """Run it; add the seconds from its start to its end to `seconds`, and return them."""
        begin = time.perf_counter()
        self.run()
        self.seconds.append(time.perf_counter() - begin)
        return self.seconds[-1]

    def instructions(self, runs: int = 3) -> int:
        """Return the instructions of the cheapest run, by callgrind; hash seeds make a difference."""
        options = ("--tool=callgrind", "--callgrind-out-file=/dev/null")
        counts = [INSTRUCTIONS.search(self.run("valgrind", *options)) for _ in range(runs)]
        return min(int(found[1]) for found in counts if found)

    def peak_kib(self) -> int:
        """Return the peak of its resident memory in KiB.

        A process inherits the peak of the one that made it, so a bare interpreter makes it, not this one.
        """
        said = self.run(sys.executable, "-IS", "-c", PEAK).rsplit(b"\npeak ", 1)[1].split()
        if said[0] != b"0":
            sys.exit(f"{' '.join(self.words)} ended with {said[0].decode()}")
        return int(said[1])

    def usage(self) -> tuple[float, float, float]:
        """Run it; seconds, CPU seconds and the peak of its resident memory in MiB."""
        said = self.run(sys.executable, "-IS", "-c", USAGE).rsplit(b"\nusage ", 1)[1].split()
        if said[0] != b"0":
            sys.exit(f"{' '.join(self.words)} ended with {said[0].decode()}")
        return float(said[1]), float(said[2]), int(said[3]) / 1024

    @property
    def lowest_ms(self) -> float:
        """The shortest run in milliseconds."""
        return min(self.seconds) * 1000

    @property
    def median_ms(self) -> float:
        """The run in the middle in milliseconds."""
        return statistics.median(self.seconds) * 1000


def side_by_side(runs: int, *commands: Command) -> None:
    """Time all commands in turn, `runs` times, after one turn that does not count."""
    for turn in range(runs + 1):
        for command in commands:
            command.time()
            if turn == 0:
                command.seconds.clear()


def valgrind() -> bool:
    """Tell whether valgrind is installed."""
    return any(
        os.access(f"{folder}/valgrind", os.X_OK)
        for folder in [*os.get_exec_path(), *SYSTEM_FOLDERS.split(":")]
    )


def interpreter_of(launcher: str) -> str:
    """Return the interpreter that a launcher's first line names, this one if it names none."""
    with open(launcher, "rb") as file:
        words = file.readline().decode("utf-8", "replace").removeprefix("#!").split()
    return words[0] if words and "python" in words[0] else sys.executable


def row(*cells: object) -> None:
    """Print one line of a table: a wide cell, then narrow ones, numbers to the right."""
    first, *others = [f"{cell:,.1f}" if isinstance(cell, float) else str(cell) for cell in cells]
    print(f"{first:<44}" + "".join(f"{other:>16}" for other in others), flush=True)
