"""Write OCI image layouts with nothing but Python's standard library.

The same input gives the same bytes: entries are sorted, times and names of the host are left out, and the gzip header
says nothing about where or when it was written. (The compressed bytes also depend on the zlib that Python was built
with; the tar bytes, hence the diff IDs, do not.)
"""
import hashlib
import io
import json
import os
import shutil
import struct
import tarfile
import zlib

CREATED = "2025-01-01T00:00:00Z"
MTIME = 1735689600  # the same instant

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Tree:
    """The entries of one layer, by path without a leading slash. The last one written to a path wins."""

    def __init__(self):
        self.entries = {}

    def _put(self, path, kind, mode, owner, target="", content=b""):
        entry = tarfile.TarInfo(path)
        entry.type, entry.mode, entry.mtime = kind, mode, MTIME
        entry.uid, entry.gid = owner
        entry.linkname, entry.size = target, len(content)
        self.entries[path] = entry, content

    def directory(self, path, mode=0o755, owner=(0, 0)):
        self._put(path, tarfile.DIRTYPE, mode, owner)

    def file(self, path, content, mode=0o644, owner=(0, 0)):
        content = content.encode() if isinstance(content, str) else content
        self._put(path, tarfile.REGTYPE, mode, owner, content=content)

    def copy(self, path, source, mode=0o644):
        with open(source, "rb") as file:
            self.file(path, file.read(), mode)

    def symlink(self, path, target):
        self._put(path, tarfile.SYMTYPE, 0o777, (0, 0), target=target)

    def tar(self):
        for path in list(self.entries):
            while "/" in path:
                path = path.rpartition("/")[0]
                if path not in self.entries:
                    self.directory(path)
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
            for path in sorted(self.entries, key=str.encode):
                entry, content = self.entries[path]
                tar.addfile(entry, io.BytesIO(content))
        return out.getvalue()


def gzip(content):
    """One gzip member whose header has no time, no name and an unknown operating system, on any Python."""
    deflate = zlib.compressobj(9 if len(content) < 1 << 20 else 6, zlib.DEFLATED, -15)
    header = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
    end = struct.pack("<II", zlib.crc32(content), len(content) & 0xFFFFFFFF)
    return header + deflate.compress(content) + deflate.flush() + end


class Layout:
    """An image layout directory, written from the leaves up."""

    def __init__(self, path):
        self.path = path
        shutil.rmtree(path, ignore_errors=True)
        os.makedirs(f"{path}/blobs/sha256")
        self._write("oci-layout", b'{"imageLayoutVersion":"1.0.0"}')

    def _write(self, name, content):
        with open(f"{self.path}/{name}", "wb") as file:
            file.write(content)

    def blob(self, media_type, content):
        digest = hashlib.sha256(content).hexdigest()
        self._write(f"blobs/sha256/{digest}", content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}

    def document(self, media_type, document):
        return self.blob(media_type, encode(document))

    def image(self, platform, trees, settings, history):
        """One image for one platform; returns its descriptor."""
        layers, diff_ids = [], []
        for tree in trees:
            tar = tree.tar()
            diff_ids.append("sha256:" + hashlib.sha256(tar).hexdigest())
            layers.append(self.blob(GZIP, gzip(tar)))
        config = self.document(CONFIG, {
            **platform,
            "config": settings,
            "created": CREATED,
            "history": history,
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        })
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": layers}
        return {**self.document(MANIFEST, manifest), "platform": platform}

    def attestation(self, image):
        """What BuildKit puts next to an image in an index: a manifest of no platform about where the image is from."""
        statement = self.document("application/vnd.in-toto+json", {
            "_type": "https://in-toto.io/Statement/v0.1",
            "predicateType": "https://slsa.dev/provenance/v0.2",
            "subject": [{"name": "base", "digest": {"sha256": image["digest"].partition(":")[2]}}],
        })
        unknown = {"architecture": "unknown", "os": "unknown"}
        config = self.document(CONFIG, {
            **unknown, "config": {}, "rootfs": {"type": "layers", "diff_ids": [statement["digest"]]},
        })
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [statement]}
        notes = {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": image["digest"]}
        return {**self.document(MANIFEST, manifest), "platform": unknown, "annotations": notes}

    def index(self, images):
        return self.document(INDEX, {"schemaVersion": 2, "mediaType": INDEX, "manifests": images})

    def tag(self, descriptor, name):
        """Name the finished image. index.json comes last: a layout without it is unfinished."""
        tagged = {**descriptor, "annotations": {"org.opencontainers.image.ref.name": name}}
        self._write("index.json", encode({"schemaVersion": 2, "mediaType": INDEX, "manifests": [tagged]}))


def encode(document):
    return json.dumps(document, separators=(",", ":"), sort_keys=True).encode()
