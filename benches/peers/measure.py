"""Measures tools on one tree and prints a Markdown table. `run` calls it; what it needs is in the environment.

Each build is a process of its own. Wall time is the parent's clock, processor time and memory are what the kernel says
of the process and all it waited for (`wait4`); the memory is that of the largest single process. Where a daemon does the
work, its processor time and memory during the build are added (`/proc`).

Requests and pushed bytes are counted in builds of their own, which go to the registry through a relay in this program:
a relay takes time, so the timed builds do without it.
"""

import argparse
import datetime
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import time

from tool import AccessLog, Failed, Relay, TimeUp, Tool

KINDS = ("cold", "unchanged", "one")
SLOW = 15  # seconds of a first build from which on one build of each kind is enough


class Figures:
    """What is known of one tool; a tool that ran out of time leaves some of it out."""

    def __init__(self, title):
        self.title = title
        self.timed = {kind: [] for kind in KINDS}
        self.counted = {}
        self.stable = []

    def median(self, kind, figure):
        return statistics.median(build[figure] for build in self.timed[kind]) if self.timed[kind] else None

    def cells(self, ours):
        def three(values, places):
            return " / ".join("–" if value is None else f"{value:.{places}f}" for value in values)

        def ratios(figure):
            pairs = [(self.median(kind, figure), ours and ours.median(kind, figure)) for kind in KINDS]
            return three([value / our if value is not None and our else None for value, our in pairs], 1)

        peaks = [build[2] for builds in self.timed.values() for build in builds]
        counted = [self.counted.get(kind, (None, None)) for kind in KINDS]
        stable = ["yes" if same else "no" for same in self.stable] + ["–"] * (3 - len(self.stable))
        return [
            self.title,
            *(three([self.median(kind, 0)], 2) for kind in KINDS),
            ratios(0),
            three([self.median(kind, 1) for kind in KINDS], 2),
            ratios(1),
            f"{max(peaks):.0f}" if peaks else "–",
            three([sent / 1e6 if sent is not None else None for _, sent in counted], 2),
            three([requests for requests, _ in counted], 0),
            " / ".join(stable),
            str(max(map(len, self.timed.values()))),
        ]


TITLES = ["tool", "cold, s", "unchanged, s", "one file, s", "to pirogue", "processor, s", "to pirogue", "peak, MiB",
          "sent, MB", "requests", "same digest", "builds"]


def change_one_file(tree, what):
    path = os.path.join(tree, os.environ["MAIN"])
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"// change {what}\n")
    time.sleep(0.1)


def touch_all(tree):
    for directory, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.utime(path)


def measure(tool, figures, copy, builds, log):
    """Fills in all figures of one tool. Without a number of builds it is three, and one for a slow tool."""
    timed, stable = figures.timed, figures.stable
    tool.begin()
    timed["cold"].append(tool.build())
    builds = builds or (1 if timed["cold"][0][0] > SLOW else 3)
    for _ in range(1, builds):
        tool.begin()
        timed["cold"].append(tool.build())
    digest = tool.digest()
    for _ in range(builds):
        timed["unchanged"].append(tool.build())
    stable.append(tool.digest() == digest)
    for number in range(builds):
        change_one_file(tool.tree, f"{tool.name} {number}")
        timed["one"].append(tool.build())
    touched = tool.digest()
    touch_all(tool.tree)
    tool.build()
    stable.append(tool.digest() == touched)
    shutil.copy2(os.path.join(tool.tree, os.environ["MAIN"]), os.path.join(copy, os.environ["MAIN"]))
    tool.begin()
    tool.build(tree=copy)
    stable.append(tool.digest() == touched)

    relay = Relay(tool.registry)
    tool.begin()
    for kind in KINDS:
        if kind == "one":
            change_one_file(tool.tree, f"{tool.name} counted")
        requests, sent = log.requests(), relay.sent
        tool.build(registry=relay.address)
        figures.counted[kind] = (log.requests() - requests, relay.sent - sent)


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    load = os.getloadavg()[0]
    return (f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, Linux {platform.release()}; "
            f"load when it began {load:.1f}")


def say(text):
    print(text, file=sys.stderr, flush=True)


def one_tool(name, here, options, copy, log, notes):
    """The figures of one tool, or nothing and a note."""
    tool, figures = None, None
    minutes = f"{options.minutes:g} minutes"
    try:
        tool = Tool(name, here, options.work, options.registries, options.tree)
        say(f"{tool.title}: installing")
        tool.verb("install")
        figures = Figures(f"{tool.title} {tool.verb('version')}")
        tool.deadline = time.monotonic() + options.minutes * 60
        tool.start()
        begin = time.monotonic()
        say(f"{figures.title}: measuring")
        measure(tool, figures, copy, options.builds, log)
        say(f"{figures.title}: {time.monotonic() - begin:.0f} seconds")
    except TimeUp:
        if figures.timed["cold"]:
            notes.append(f"- {figures.title}: stopped after {minutes}; what was not built by then is missing.")
        else:
            notes.append(f"- {figures.title}: not measured: no build ended in {minutes}")
            figures = None
        say(notes[-1])
    except (Failed, OSError, subprocess.SubprocessError) as error:
        notes.append(f"- {tool.title if tool else name}: not measured: {error}")
        figures = None
        say(notes[-1])
    finally:
        if tool:
            tool.stop()
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--builds", type=int)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--registries", nargs=2, required=True, metavar=("PLAIN", "TLS"))
    parser.add_argument("--access-log", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--tree", required=True)
    parser.add_argument("--what", required=True)
    parser.add_argument("tools", nargs="+")
    options = parser.parse_args()
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: sys.exit(1))
    here = os.path.dirname(os.path.abspath(__file__))
    now = datetime.datetime.now(datetime.timezone.utc)
    many = f"{options.builds} of each kind" if options.builds else f"3 of each kind, 1 if the first took over {SLOW} s"
    heading = f"{options.what}\n\n{now:%Y-%m-%d}; {machine()}; medians, {many}.\n"

    copy = os.path.join(options.work, "copy", "of", "tree")
    shutil.copytree(options.tree, copy, symlinks=True)
    time.sleep(3)  # no file is so young that a tool must distrust its time
    log = AccessLog(options.access_log)
    ours, rows, notes = None, [], []
    try:
        for name in options.tools:
            figures = one_tool(name, here, options, copy, log, notes)
            if figures:
                rows.append(figures)
                if name == "pirogue":
                    ours = figures
    finally:  # an interrupted run shows what it has
        print(heading)
        print("| " + " | ".join(TITLES) + " |")
        print("|" + "---|" * len(TITLES))
        for figures in rows:
            print("| " + " | ".join(figures.cells(ours)) + " |")
        if notes:
            print()
            print("\n".join(notes))
        sys.stdout.flush()


main()
