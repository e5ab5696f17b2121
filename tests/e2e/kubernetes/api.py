"""A cluster's clients: Kubernetes' API over HTTPS, etcd's JSON gateway, and what is stored in it."""
import base64
import collections
import concurrent.futures
import hashlib
import http.client
import json
import ssl
import threading
import urllib.request

CLIENTS = 8


class Api:
    """kube-apiserver on a port of loopback, whose certificate it made itself."""

    def __init__(self, port):
        self.port = port
        self.local = threading.local()
        self.tls = ssl.create_default_context()
        self.tls.check_hostname = False
        self.tls.verify_mode = ssl.CERT_NONE

    def call(self, method, path, body=None):
        """Status and body; 0 where nobody answers."""
        connection = getattr(self.local, "connection", None)
        if connection is None:
            connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=40, context=self.tls)
            self.local.connection = connection
        is_kept = connection.sock is not None
        headers = {"Authorization": "Bearer admin-token", "Content-Type": "application/json"}
        try:
            connection.request(method, path, body and json.dumps(body), headers)
            reply = connection.getresponse()
            return reply.status, reply.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            # The server it led to may have been another one.
            return self.call(method, path, body) if is_kept else (0, str(error).encode())


def content(name):
    """What an object of that name holds: a function of it, so that a reader can check it."""
    digest = hashlib.sha256(name.encode())
    return (digest.hexdigest() * 17)[: 16 + digest.digest()[0] * 4]


class Objects:
    """Objects of one kind, NAME-0000 and on, in the default namespace."""

    def __init__(self, api, kind="secrets"):
        self.api = api
        self.path = f"/api/v1/namespaces/default/{kind}"
        self.kind = kind

    def manifest(self, name):
        meta = {"name": name, "namespace": "default"}
        if self.kind == "configmaps":
            return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {"v": content(name)}}
        data = {"v": base64.b64encode(content(name).encode()).decode()}
        return {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": meta, "data": data}

    def create(self, name):
        return expect(self.api.call("POST", self.path, self.manifest(name)), 201)

    def read(self, name):
        got = expect(self.api.call("GET", f"{self.path}/{name}"), 200)
        if json.loads(got)["data"] != self.manifest(name)["data"]:
            raise AssertionError(f"{name}: other content")
        return got

    def rewrite(self, name):
        """A PUT of what is there: the server stores it anew only if it is stale."""
        return expect(self.api.call("PUT", f"{self.path}/{name}", json.loads(self.read(name))), 200)


def expect(reply, status):
    if reply[0] != status:
        raise AssertionError(f"HTTP {reply[0]}: {reply[1][:300].decode(errors='replace')}")
    return reply[1]


def each(work, names):
    """`work` on each name, by several clients at once. Raises the first failure."""
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
        collections.deque(pool.map(work, names), maxlen=0)


def names(prefix, count):
    return [f"{prefix}-{i:04}" for i in range(count)]


def stored(port, prefix):
    """Path and value of everything in etcd below `prefix`."""
    end = prefix[:-1] + chr(ord(prefix[-1]) + 1)
    encode = lambda text: base64.b64encode(text.encode()).decode()
    body = json.dumps({"key": encode(prefix), "range_end": encode(end)}).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v3/kv/range", body, timeout=60) as reply:
        pairs = json.load(reply).get("kvs", [])
    return {base64.b64decode(p["key"]).decode(): base64.b64decode(p["value"]) for p in pairs}


def key_id(value, prefix):
    """Field 2 of the EncryptedObject behind `prefix`."""
    if not value.startswith(prefix):
        raise AssertionError(f"begins with {value[:40]!r}")
    at = len(prefix)
    while at < len(value):
        tag, at = varint(value, at)
        number, at = varint(value, at)
        if tag == 2 << 3 | 2:
            return value[at : at + number].decode()
        at += number if tag & 7 == 2 else 0
    raise AssertionError("no key id")


def varint(value, at):
    number = shift = 0
    while True:
        number |= (value[at] & 0x7F) << shift
        shift, at = shift + 7, at + 1
        if value[at - 1] < 0x80:
            return number, at
