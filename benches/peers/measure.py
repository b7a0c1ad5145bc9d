"""Measures tools on one tree and prints a Markdown table. `run` calls it; what it needs is in the environment.

Each build is a process of its own. Wall time is the parent's clock, processor time and memory are what the kernel says
of the process and all it waited for (`wait4`); the memory is that of the largest single process.

Requests and pushed bytes are counted in builds of their own, which go to the registry through a relay in this program:
a relay takes time, so the timed builds do without it.
"""

import argparse
import datetime
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import threading
import time
import urllib.request

MANIFESTS = ", ".join(
    f"application/vnd.{kind}+json"
    for kind in (
        "oci.image.manifest.v1",
        "oci.image.index.v1",
        "docker.distribution.manifest.v2",
        "docker.distribution.manifest.list.v2",
    )
)

PATIENCE = 300  # seconds for one build


class Failed(Exception):
    """A build that did not end well; the text is the last thing it said."""


class Relay:
    """Listens on a free port of this machine, hands everything on to the registry, and counts what goes there."""

    def __init__(self, registry):
        host, port = registry.split(":")
        self.target = (host, int(port))
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.sent = 0
        self.lock = threading.Lock()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            server = socket.create_connection(self.target)
            for source, sink, counts in ((client, server, True), (server, client, False)):
                threading.Thread(target=self.pump, args=(source, sink, counts), daemon=True).start()

    def pump(self, source, sink, counts):
        try:
            while chunk := source.recv(1 << 16):
                sink.sendall(chunk)
                if counts:
                    with self.lock:
                        self.sent += len(chunk)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            for end in (source, sink):
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


class AccessLog:
    """The registry's access log."""

    def __init__(self, path):
        self.path = path

    def requests(self):
        time.sleep(0.2)  # the registry writes a line after it answered
        with open(self.path, encoding="utf-8", errors="replace") as log:
            return len(re.findall(r'"(?:GET|HEAD|POST|PUT|PATCH|DELETE) \S+ HTTP/', log.read()))


class Tool:
    """A program under tools/, on one tree."""

    def __init__(self, name, here, work, registry, tree):
        self.name = name
        self.program = os.path.join(here, "tools", name)
        self.state = os.path.join(work, "state-" + name)
        self.log = os.path.join(work, name + ".log")
        self.registry = registry
        self.tree = tree
        self.title = self.verb("title")
        self.serial = 0

    def verb(self, verb):
        result = subprocess.run([self.program, verb], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise Failed(last_line(result.stderr))
        return result.stdout.strip()

    def forget(self):
        """Empties the tool's cache and lets it work at an image that is not there: a cold build is next."""
        for _ in range(3):
            # Storage of containers may hold directories that only their owner may enter, and mounts.
            subprocess.run(["chmod", "-R", "u+rwx", self.state], stderr=subprocess.DEVNULL)
            shutil.rmtree(self.state, ignore_errors=True)
            if not os.path.exists(self.state):
                break
        self.serial += 1

    def repository(self):
        return f"{self.name}-{self.serial}/{os.environ['SERVICE']}"

    def build(self, tree=None, registry=None):
        """Builds once; wall seconds, processor seconds, peak memory in MiB."""
        registry = registry or self.registry
        environment = dict(os.environ, SRC=tree or self.tree, STATE=self.state, REGISTRY=registry,
                           BASE=f"{registry}/base/node:latest", TARGET=f"{registry}/{self.repository()}:latest")
        with open(self.log, "wb") as log:
            begin = time.monotonic()
            process = subprocess.Popen([self.program, "build"], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT)
            patience = threading.Timer(PATIENCE, process.kill)
            patience.start()
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.monotonic() - begin
            patience.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        subprocess.run([self.program, "clean"], env=environment, check=False)
        if wall >= PATIENCE:
            raise Failed(f"one build took more than {PATIENCE} seconds")
        if process.returncode != 0:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Failed(last_line(log.read()))
        return wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def digest(self):
        """The digest of the image that is in the registry now."""
        url = f"http://{self.registry}/v2/{self.repository()}/manifests/latest"
        request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(request) as answer:
            return answer.headers["Docker-Content-Digest"]


def last_line(text):
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    told = [line for line in lines if re.search(r"error|refused|cannot|failed", line, re.IGNORECASE)]
    return ((told or lines or ["it said nothing"])[-1])[:200].replace("|", "/")


def change_one_file(tree, number):
    path = os.path.join(tree, os.environ["MAIN"])
    with open(path, "a", encoding="utf-8") as file:
        file.write(f"// change {number}\n")
    time.sleep(0.1)


def touch_all(tree):
    for directory, _, names in os.walk(tree):
        for name in names:
            path = os.path.join(directory, name)
            if not os.path.islink(path):
                os.utime(path)


def measure(tool, copy, runs, log):
    """All figures of one tool."""
    rows = {"cold": [], "unchanged": [], "one": []}
    for _ in range(runs):
        tool.forget()
        rows["cold"].append(tool.build())
    digest = tool.digest()
    for _ in range(runs):
        rows["unchanged"].append(tool.build())
    stable = [tool.digest() == digest]
    for number in range(runs):
        change_one_file(tool.tree, f"{tool.name} {number}")
        rows["one"].append(tool.build())
    touched = tool.digest()
    touch_all(tool.tree)
    tool.build()
    stable.append(tool.digest() == touched)
    shutil.copy2(os.path.join(tool.tree, os.environ["MAIN"]), os.path.join(copy, os.environ["MAIN"]))
    tool.forget()
    tool.build(tree=copy)
    stable.append(tool.digest() == touched)

    relay = Relay(tool.registry)
    counted = {}
    tool.forget()
    for row in ("cold", "unchanged", "one"):
        if row == "one":
            change_one_file(tool.tree, f"{tool.name} counted")
        requests, sent = log.requests(), relay.sent
        tool.build(registry=relay.address)
        counted[row] = (log.requests() - requests, relay.sent - sent)
    tool.forget()
    return rows, counted, stable


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")), "unknown processor")
    with open("/proc/meminfo", encoding="utf-8") as file:
        memory = int(file.readline().split()[1]) / (1 << 20)
    load = os.getloadavg()[0]
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB; load when it began {load:.1f}"


def yes(value):
    return "yes" if value else "no"


def figures(rows, counted, stable, ours):
    """One line of the table, without the tool's name."""
    cells = []
    for row in ("cold", "unchanged", "one"):
        wall = statistics.median(run[0] for run in rows[row])
        ratio = f" ({wall / ours[row]:.1f}x)" if ours else ""
        cells.append(f"{wall:.2f}{ratio}")
    cells.append(" / ".join(f"{statistics.median(run[1] for run in rows[row]):.2f}" for row in rows))
    cells.append(f"{max(run[2] for row in rows.values() for run in row):.0f}")
    cells.append(" / ".join(f"{counted[row][1] / 1e6:.2f}" for row in rows))
    cells.append(" / ".join(str(counted[row][0]) for row in rows))
    cells.append(" / ".join(yes(value) for value in stable))
    return cells


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--registry", required=True)
    parser.add_argument("--access-log", required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--tree", required=True)
    parser.add_argument("--what", required=True)
    parser.add_argument("tools", nargs="+")
    options = parser.parse_args()
    here = os.path.dirname(os.path.abspath(__file__))
    now = datetime.datetime.now(datetime.timezone.utc)
    print(f"{options.what}\n\n{machine()}; {now:%Y-%m-%d}; median of {options.runs}.\n")

    tree = options.tree
    copy = os.path.join(options.work, "copy", "of", "tree")
    shutil.copytree(tree, copy, symlinks=True)
    time.sleep(3)  # no file is so young that a tool must distrust its time
    log = AccessLog(options.access_log)
    ours, lines, missing = None, [], []
    for name in options.tools:
        tool = None
        try:
            tool = Tool(name, here, options.work, options.registry, tree)
            print(f"{tool.title}: installing", file=sys.stderr)
            tool.verb("install")
            version = tool.verb("version")
            print(f"{tool.title} {version}: measuring", file=sys.stderr)
            rows, counted, stable = measure(tool, copy, options.runs, log)
        except (Failed, OSError, subprocess.SubprocessError) as error:
            missing.append(f"- {tool.title if tool else name}: not measured: {error}")
            print(missing[-1], file=sys.stderr)
            if tool:
                tool.forget()
            continue
        lines.append([f"{tool.title} {version}", *figures(rows, counted, stable, ours)])
        if ours is None and name == "pirogue":
            ours = {row: statistics.median(run[0] for run in rows[row]) for row in rows}
    titles = ["tool", "cold, s", "unchanged, s", "one file changed, s", "processor, s", "peak, MiB", "sent, MB",
              "requests", "same digest"]
    print("| " + " | ".join(titles) + " |")
    print("|" + "---|" * len(titles))
    for line in lines:
        print("| " + " | ".join(line) + " |")
    if missing:
        print()
        print("\n".join(missing))


main()
