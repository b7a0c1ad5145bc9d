"""The tools that are measured, the daemons some of them need, and the registry as `measure` sees it."""

import os
import re
import shutil
import signal
import socket
import subprocess
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

PATIENCE = 60  # seconds for a daemon to start or to stop


class Failed(Exception):
    """A build that did not end well; the text is the last thing it said."""


class TimeUp(Exception):
    """The time one tool may take is over."""


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


class Daemon:
    """A program that builds for a client, and the processes it started."""

    def __init__(self, program, environment, log):
        self.log = log
        with open(log, "wb") as output:
            # It ends with this process, however this ends.
            self.process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", program, "daemon"], env=environment,
                                            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
                                            start_new_session=True)
        try:
            self.wait_until_ready(program, environment)
        except BaseException:
            self.stop()
            raise

    def wait_until_ready(self, program, environment):
        end = time.monotonic() + PATIENCE
        while subprocess.run([program, "ready"], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL).returncode != 0:
            if self.process.poll() is not None or time.monotonic() > end:
                with open(self.log, encoding="utf-8", errors="replace") as output:
                    raise Failed("its daemon did not start: " + last_line(output.read()))
            time.sleep(0.2)

    def family(self):
        """It and its descendants: {process: seconds of processor time, of itself and of children it waited for}."""
        parents, times = {}, {}
        for name in filter(str.isdecimal, os.listdir("/proc")):
            try:
                with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as file:
                    fields = file.read().rsplit(")", 1)[1].split()
            except (OSError, IndexError):
                continue
            parents[int(name)] = int(fields[1])
            times[int(name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
        members = [self.process.pid]
        for member in members:
            members.extend(process for process, parent in parents.items() if parent == member)
        return {member: times.get(member, 0.0) for member in members}

    def seconds(self):
        return sum(self.family().values())

    def forget_peak(self):
        for member in self.family():
            try:
                with open(f"/proc/{member}/clear_refs", "w", encoding="ascii") as file:
                    file.write("5")
            except OSError:
                pass

    def peak(self):
        """Peak memory of its largest process, in MiB."""
        peaks = [0]
        for member in self.family():
            try:
                with open(f"/proc/{member}/status", encoding="utf-8", errors="replace") as file:
                    peaks += [int(size) for size in re.findall(r"^VmHWM:\s*(\d+) kB", file.read(), re.MULTILINE)]
            except OSError:
                pass
        return max(peaks) / 1024

    def stop(self):
        members = self.family()
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pass
        for member in members:
            # what is gone, or became somebody else's child, is not looked for by name
            try:
                if member == self.process.pid and self.process.poll() is not None:
                    continue
                os.kill(member, signal.SIGKILL)
            except OSError:
                pass
        self.process.wait()


class Tool:
    """A program under tools/, on one tree."""

    def __init__(self, name, here, work, registries, tree):
        self.name = name
        self.program = os.path.join(here, "tools", name)
        self.work = work
        self.state = os.path.join(work, "state-" + name)
        self.log = os.path.join(work, name + ".log")
        self.tree = tree
        self.title = self.verb("title")
        self.needs = self.verb("needs").split()
        self.plain = registries[0]
        self.registry = registries[1 if "tls" in self.needs else 0]
        self.serial = 0
        self.daemon = None
        self.deadline = float("inf")

    def environment(self, tree=None, registry=None):
        registry = registry or self.registry
        return dict(os.environ, SRC=tree or self.tree, STATE=self.state, REGISTRY=registry,
                    DAEMON=os.path.join(self.work, "daemon-" + self.name),
                    BASE=f"{registry}/base/node:latest", BASE_DOCKER=f"{registry}/base/node:docker",
                    TARGET=f"{registry}/{self.repository()}:latest")

    def verb(self, verb):
        result = subprocess.run([self.program, verb], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                stdin=subprocess.DEVNULL)
        if result.returncode != 0:
            raise Failed(last_line(result.stderr))
        return result.stdout.strip()

    def start(self):
        if "daemon" in self.needs:
            environment = self.environment()
            os.makedirs(environment["DAEMON"])
            self.daemon = Daemon(self.program, environment, os.path.join(self.work, self.name + "-daemon.log"))

    def stop(self):
        self.forget()
        if self.daemon:
            self.daemon.stop()
            self.daemon = None

    def forget(self):
        """Empties the tool's cache."""
        subprocess.run([self.program, "forget"], env=self.environment(), stdin=subprocess.DEVNULL,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(3):
            # Storage of containers may hold directories that only their owner may enter, and mounts.
            subprocess.run(["chmod", "-R", "u+rwx", self.state], stderr=subprocess.DEVNULL)
            shutil.rmtree(self.state, ignore_errors=True)
            if not os.path.exists(self.state):
                break

    def begin(self):
        """A cold build is next: no cache, and an image that is not in the registry."""
        self.forget()
        self.serial += 1
        result = subprocess.run([self.program, "prepare"], env=self.environment(), stdin=subprocess.DEVNULL,
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        if result.returncode != 0:
            raise Failed(last_line(result.stderr))

    def repository(self):
        return f"{self.name}-{self.serial}/{os.environ['SERVICE']}"

    def build(self, tree=None, registry=None):
        """Builds once; wall seconds, processor seconds, peak memory in MiB."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise TimeUp
        environment = self.environment(tree, registry)
        before = 0.0
        if self.daemon:
            before = self.daemon.seconds()
            self.daemon.forget_peak()
        late = threading.Event()
        with open(self.log, "wb") as log:
            begin = time.monotonic()
            process = subprocess.Popen([self.program, "build"], env=environment, stdin=subprocess.DEVNULL, stdout=log,
                                       stderr=subprocess.STDOUT, start_new_session=True)
            patience = threading.Timer(min(left, threading.TIMEOUT_MAX), lambda: (late.set(), end_group(process.pid)))
            patience.daemon = True
            patience.start()
            try:
                _, status, usage = os.wait4(process.pid, 0)
                wall = time.monotonic() - begin
                process.returncode = os.waitstatus_to_exitcode(status)
            finally:
                patience.cancel()
                # Also what it left behind, and all of it when somebody interrupts.
                end_group(process.pid)
                subprocess.run([self.program, "clean"], env=environment, check=False)
        if late.is_set():
            raise TimeUp
        if process.returncode != 0:
            with open(self.log, encoding="utf-8", errors="replace") as log:
                raise Failed(last_line(log.read()))
        processor, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024
        if self.daemon:
            processor += self.daemon.seconds() - before
            peak = max(peak, self.daemon.peak())
        return wall, processor, peak

    def digest(self):
        """The digest of the image that is in the registry now."""
        url = f"http://{self.plain}/v2/{self.repository()}/manifests/latest"
        request = urllib.request.Request(url, method="HEAD", headers={"Accept": MANIFESTS})
        with urllib.request.urlopen(request) as answer:
            return answer.headers["Docker-Content-Digest"]


def end_group(leader):
    try:
        os.killpg(leader, signal.SIGKILL)
    except OSError:
        pass


def last_line(text):
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in text.splitlines()]
    lines = [line for line in lines if line]
    told = [line for line in lines if re.search(r"error|refused|cannot|failed", line, re.IGNORECASE)]
    return ((told or lines or ["it said nothing"])[-1])[:200].replace("|", "/")
