"""Encryption at rest with our plugin, told by a real kube-apiserver over a real etcd.

    python3 story.py local|aws PROGRAMS KMS FOLDER

PROGRAMS: the folder of kube-apiserver and etcd. KMS: our program. FOLDER: a new one, for the run.
Nothing is sped up: minutes are waited for.
"""
import base64
import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from api import Api, Objects, content, each, key_id, names, stored
from servers import ApiServer, AwsKey, Etcd, LocalKey, Plugin, answers, wait_for

PREFIX = b"k8s:enc:kms:v2:libkms:"
CONFIG = """\
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
- resources: [secrets]
  providers:
  - kms: {{apiVersion: v2, name: libkms, endpoint: "unix://{socket}", timeout: 3s}}
  - identity: {{}}
"""


class Story:
    def __init__(self, kind, programs, program, folder):
        self.kind, self.folder, self.program, self.begun = kind, folder, program, time.monotonic()
        folder.mkdir(mode=0o700)
        self.key = (LocalKey if kind == "local" else AwsKey)(folder, program)
        self.plugin = Plugin(folder, program, self.key.kek, self.key.env)
        self.config = folder / "encryption.yaml"
        self.config.write_text(CONFIG.format(socket=self.plugin.socket))
        self.etcd = Etcd(folder, programs)
        self.server = ApiServer(folder, programs, self.etcd, self.config)
        self.api = Api(self.server.port)
        self.secrets, self.maps = Objects(self.api), Objects(self.api, "configmaps")
        self.thousand, self.passed = names("s", 1000), 0

    def tell(self):
        for chapter in (
            self.written_and_read, self.stored_values_open_here, self.everything_restarts, self.the_key_rotates,
            self.the_plugin_is_killed, self.the_server_starts_without_the_plugin,
            self.the_kms_is_away, self.no_plaintext_in_etcd,
        ):
            begun = time.monotonic()
            said = chapter()
            self.passed += 1
            name = chapter.__name__.replace("_", " ")
            print(f"ok   {self.kind}: {name}: {said} ({time.monotonic() - begun:.0f} s)", flush=True)

    def written_and_read(self):
        self.plugin.start()
        self.plugin.check()
        before = self.plugin_calls("Encrypt", "Decrypt")
        self.server.start()
        each(self.secrets.create, self.thousand)
        each(self.secrets.read, self.thousand)
        # A seed for all of them, not a call for each.
        calls = self.plugin_calls("Encrypt", "Decrypt") - before
        assert 1 <= calls <= 3, f"{calls} calls of the plugin"
        (first,) = self.key_ids("s-")
        return f"1,000 secrets by 8 clients, {calls} Encrypts and Decrypts, under {first}"

    def stored_values_open_here(self):
        values = {path: v for path, v in stored(self.etcd.port, "/registry/secrets/default/").items() if "/s-" in path}
        lines = "".join(
            json.dumps({"path": path, "value": base64.b64encode(v).decode()}) + "\n" for path, v in values.items()
        )
        run = subprocess.run(
            [self.program, "k8s", "decrypt", "--config", self.config, "--lines"],
            input=lines.encode(), capture_output=True, check=True,
        )
        for line in run.stdout.splitlines():
            answer = json.loads(line)
            secret = self.secrets.manifest(answer["path"].rsplit("/", 1)[1])
            # Protobuf, as the server stores it: what was given stands in it as bytes.
            assert base64.b64decode(secret["data"]["v"]) in base64.b64decode(answer["plaintext"]), answer["path"]
            assert answer["stale"] is False, answer["path"]
        assert len(run.stdout.splitlines()) == len(values) == 1000
        return "1,000 values opened by kms k8s decrypt, none stale"

    def everything_restarts(self):
        self.server.process.stop()
        self.plugin.process.stop()
        self.etcd.process.stop()
        self.etcd.start()
        self.plugin.start()
        self.server.start()
        each(self.secrets.read, self.thousand)
        decrypts = self.plugin_calls("Decrypt")
        assert 1 <= decrypts <= 40, f"{decrypts} Decrypts"
        return f"1,000 secrets read with {decrypts} Decrypts"

    def the_key_rotates(self):
        (old,) = self.key_ids("s-")
        self.key.rotate()
        count = iter(range(1000))

        def writes_new():
            name = f"r-{next(count):04}"
            self.secrets.create(name)
            return old not in self.key_ids(name)

        # The server asks for the Status each minute.
        _, seconds = wait_for(writes_new, 100, every=1)
        each(self.secrets.rewrite, self.thousand)
        (new,) = self.key_ids("s-")
        assert new != old
        self.key.forget_the_first()
        self.server.process.stop()
        self.plugin.process.stop()
        self.plugin.start()
        self.delete_stale(old)
        self.server.start()
        each(self.secrets.read, self.thousand)
        return f"new key in use after {seconds:.0f} s, 1,000 rewritten to {new}"

    def delete_stale(self, old):
        """Behind the server's back: under a key that is gone they could not be listed."""
        for path, value in stored(self.etcd.port, "/registry/secrets/").items():
            if key_id(value, PREFIX) == old:
                body = json.dumps({"key": base64.b64encode(path.encode()).decode()}).encode()
                urllib.request.urlopen(f"http://127.0.0.1:{self.etcd.port}/v3/kv/deleterange", body).read()

    def the_plugin_is_killed(self):
        self.plugin.process.stop(9)
        killed = time.monotonic()
        assert self.plugin.socket.exists(), "a killed plugin leaves its socket"
        each(self.secrets.read, self.thousand[:50])
        count = iter(range(10_000))

        def fails():
            self.secrets.read(self.thousand[0])
            status, said = self.api.call("POST", self.secrets.path, self.secrets.manifest(f"k-{next(count):04}"))
            assert status in (201, 500), said
            return status == 500 and b"expired" in said

        wait_for(fails, 200, every=1)
        stopped = time.monotonic() - killed
        # The last good Status was up to a minute before.
        assert 115 < stopped < 185, f"writes stopped after {stopped:.0f} s"
        each(self.secrets.read, self.thousand[:50])
        self.plugin.start()
        status = lambda: self.api.call("POST", self.secrets.path, self.secrets.manifest("back-0000"))[0]
        _, seconds = wait_for(lambda: status() in (201, 409), 200, every=1)
        return f"reads went on, writes stopped after {stopped:.0f} s and came back {seconds:.0f} s after the plugin"

    def the_server_starts_without_the_plugin(self):
        self.server.process.stop()
        self.plugin.process.stop()
        assert not self.plugin.socket.exists(), "a plugin that ends takes its socket along"
        self.server.start(ready=False)
        config_map = iter(names("m", 1000))
        wait_for(lambda: self.maps.create(next(config_map)), 60)
        status, _ = self.api.call("GET", f"{self.secrets.path}/{self.thousand[0]}")
        assert status == 500, f"without the plugin a secret is answered with {status}"
        self.plugin.start()
        _, seconds = wait_for(lambda: self.secrets.read(self.thousand[0]), 150)
        each(self.secrets.read, self.thousand)
        self.secrets.create("cold-0000")
        wait_for(self.server.is_ready, 150)
        return f"configmaps were served, secrets {seconds:.0f} s after the plugin came"

    def the_kms_is_away(self):
        if not self.key.can_be_away:
            return "not told of a file"
        self.server.process.stop()
        self.plugin.process.stop()
        self.key.pause()
        try:
            self.plugin.start(ready=False)
            assert not answers(f"http://127.0.0.1:{self.plugin.http}/readyz")
        finally:
            self.key.go_on()
        wait_for(lambda: answers(f"http://127.0.0.1:{self.plugin.http}/readyz"), 90)
        self.server.start()
        each(self.secrets.read, self.thousand)
        return "the plugin came up without it, and recovered by itself"

    def no_plaintext_in_etcd(self):
        # One that is not encrypted is found: the search works.
        self.maps.create("control-0000")
        self.server.process.stop()
        self.etcd.process.stop()
        assert self.is_in_etcd("control-0000"), "the control is not found"
        assert not any(self.is_in_etcd(name) for name in self.thousand[:50] + ["cold-0000", "back-0000"])
        self.plugin.process.stop()
        return "not in its files; a configmap is"

    def is_in_etcd(self, name):
        run = subprocess.run(["grep", "-rqaF", content(name)[:64], self.folder / "etcd"], check=False)
        assert run.returncode in (0, 1), name
        return run.returncode == 0

    def key_ids(self, prefix):
        values = stored(self.etcd.port, "/registry/secrets/default/")
        return {key_id(v, PREFIX) for path, v in values.items() if path.rsplit("/", 1)[1].startswith(prefix)}

    def plugin_calls(self, *methods):
        """How many calls the plugin has answered, by its own count."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.plugin.http}/metrics", timeout=10) as reply:
            lines = reply.read().decode().splitlines()
        is_one = lambda line: any(f'calls_total{{method="{method}"' in line for method in methods)
        return sum(int(line.rsplit(" ", 1)[1]) for line in lines if is_one(line))


if __name__ == "__main__":
    kind, programs, program, folder = sys.argv[1], *map(Path, sys.argv[2:])
    story = Story(kind, programs, program, folder)
    story.tell()
    print(f"{story.passed} passed, 0 failed", flush=True)
