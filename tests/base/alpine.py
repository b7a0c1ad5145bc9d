"""The parts of an image that looks like `node:20-alpine`: users, release files, package database and image config.

Not Alpine itself: there is no apk program, and the package database only names what a reader would look for.
"""
from layout import CREATED, Tree

ALPINE = "3.21.3"
NODE = "20.18.0"
TAG = "20-alpine"
PLATFORMS = {
    "amd64": {"architecture": "amd64", "os": "linux"},
    "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
}
MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}

SHELL, NOLOGIN = "/bin/sh", "/sbin/nologin"
USERS = [  # name, uid, gid, home, shell
    ("root", 0, 0, "/root", SHELL),
    ("bin", 1, 1, "/bin", NOLOGIN),
    ("daemon", 2, 2, "/sbin", NOLOGIN),
    ("sync", 5, 0, "/sbin", "/bin/sync"),
    ("mail", 8, 12, "/var/mail", NOLOGIN),
    ("cron", 16, 16, "/var/spool/cron", NOLOGIN),
    ("guest", 405, 100, "/dev/null", NOLOGIN),
    ("nobody", 65534, 65534, "/", NOLOGIN),
]
GROUPS = [  # name, gid, members
    ("root", 0, "root"),
    ("bin", 1, "root,bin,daemon"),
    ("daemon", 2, "root,bin,daemon"),
    ("tty", 5, ""),
    ("disk", 6, "root"),
    ("mail", 12, "mail"),
    ("cron", 16, "cron"),
    ("shadow", 42, ""),
    ("www-data", 82, ""),
    ("users", 100, ""),
    ("nogroup", 65533, ""),
    ("nobody", 65534, ""),
]
NODE_USER = ("node", 1000, 1000, "/home/node", SHELL)
NODE_GROUP = ("node", 1000, "node")

DIRECTORIES = """
    bin dev etc/apk/keys etc/apk/protected_paths.d etc/crontabs etc/periodic etc/profile.d etc/ssl/certs home lib/apk/db
    media/cdrom media/floppy media/usb mnt opt run/lock sbin srv sys usr/bin usr/lib usr/local/bin usr/local/lib
    usr/local/share usr/sbin usr/share/man usr/share/misc var/cache/apk var/lib/misc var/local var/log var/mail var/opt
    var/spool/cron
""".split()
SYMLINKS = {
    "etc/mtab": "../proc/mounts",
    "etc/os-release": "../usr/lib/os-release",
    "var/lock": "../run/lock",
    "var/run": "../run",
    "var/spool/cron/crontabs": "../../../etc/crontabs",
    "var/spool/mail": "../mail",
}
PACKAGES = {
    "alpine-baselayout": "3.6.8-r1",
    "alpine-release": ALPINE + "-r0",
    "busybox": "1.37.0-r12",
    "libgcc": "14.2.0-r4",
    "libstdc++": "14.2.0-r4",
    "musl": "1.2.5-r9",
}
OS_RELEASE = f"""NAME="Alpine Linux"
ID=alpine
VERSION_ID={ALPINE}
PRETTY_NAME="Alpine Linux v{ALPINE.rpartition(".")[0]}"
HOME_URL="https://alpinelinux.org/"
"""
ENTRYPOINT = """#!/bin/sh
# Start what was asked for. An option, a name that is no command here, or a plain script goes to node.
set -e

case "$1" in
  -*) set -- node "$@" ;;
  *)
    if ! command -v "$1" >/dev/null 2>&1; then
      set -- node "$@"
    elif [ -f "$1" ] && [ ! -x "$1" ]; then
      set -- node "$@"
    fi
    ;;
esac

exec "$@"
"""


def add_accounts(tree, users, groups):
    """etc/passwd, etc/group and etc/shadow. Nobody has a password: `*` for root, `!` for the rest."""
    tree.file("etc/passwd", "".join(f"{name}:x:{uid}:{gid}:{name}:{home}:{shell}\n" for name, uid, gid, home, shell in users))
    tree.file("etc/group", "".join(f"{name}:x:{gid}:{members}\n" for name, gid, members in groups))
    locked = {"root": "*"}
    shadow = "".join(f"{user[0]}:{locked.get(user[0], '!')}::0:::::\n" for user in users)
    tree.file("etc/shadow", shadow, 0o640, (0, 42))


def root_tree(architecture):
    """The first layer: an Alpine-like root without a single program."""
    tree, release = Tree(), ALPINE.rpartition(".")[0]
    for path in DIRECTORIES:
        tree.directory(path)
    for path, mode in (("proc", 0o555), ("root", 0o700), ("tmp", 0o1777), ("var/empty", 0o555), ("var/tmp", 0o1777)):
        tree.directory(path, mode)
    for path, target in SYMLINKS.items():
        tree.symlink(path, target)
    add_accounts(tree, USERS, GROUPS)
    machine = MACHINES[architecture]
    tree.file("usr/lib/os-release", OS_RELEASE)
    tree.file("etc/alpine-release", ALPINE + "\n")
    tree.file("etc/apk/arch", machine + "\n")
    tree.file("etc/apk/world", "".join(name + "\n" for name in PACKAGES))
    mirrors = (f"https://dl-cdn.alpinelinux.org/alpine/v{release}/{part}\n" for part in ("main", "community"))
    tree.file("etc/apk/repositories", "".join(mirrors))
    installed = (f"P:{name}\nV:{version}\nA:{machine}\nT:stands in for the package\n\n" for name, version in PACKAGES.items())
    tree.file("lib/apk/db/installed", "".join(installed))
    tree.file("etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost\n")
    tree.file("etc/nsswitch.conf", "hosts: files dns\n")
    tree.file("etc/profile", "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n")
    tree.file("etc/shells", "/bin/sh\n/bin/ash\n")
    return tree


def node_tree():
    """The second layer: what the node image adds to its base, still without node."""
    tree = Tree()
    add_accounts(tree, [*USERS, NODE_USER], [*GROUPS, NODE_GROUP])
    tree.directory("home/node", 0o2755, (1000, 1000))
    tree.file("usr/local/bin/docker-entrypoint.sh", ENTRYPOINT, 0o755)
    return tree


def node_settings(node=NODE):
    return {
        "Cmd": ["node"],
        "Entrypoint": ["docker-entrypoint.sh"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", f"NODE_VERSION={node}"],
    }


def node_history(architecture, node=NODE):
    """Two steps made a layer, the others only changed the config."""
    def step(text, empty=True):
        return {"created": CREATED, "created_by": text, **({"empty_layer": True} if empty else {})}

    return [
        step(f"ADD alpine-like root for {MACHINES[architecture]}", empty=False),
        step('CMD ["/bin/sh"]'),
        step(f"ENV NODE_VERSION={node}"),
        step("COPY node, its user and docker-entrypoint.sh", empty=False),
        step('ENTRYPOINT ["docker-entrypoint.sh"]'),
        step('CMD ["node"]'),
    ]
