"""The processes of a story: etcd, kube-apiserver, the plugin, a KMS. Each ends with this program."""
import ctypes
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

from api import Api

ROOT = Path(__file__).resolve().parents[3]
ACCOUNT = "123456789012"
REGION = "eu-central-1"


def wait_for(what, seconds, every=0.2):
    """Until `what` gives a truth, which is returned, and the seconds that it took."""
    begun = time.monotonic()
    while True:
        try:
            if found := what():
                return found, time.monotonic() - begun
        except (OSError, AssertionError, ValueError) as error:
            found = error
        if time.monotonic() - begun > seconds:
            raise AssertionError(f"not within {seconds} s: {found}")
        time.sleep(every)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Process:
    """A server, whose output is appended to a file in the story's folder."""

    def __init__(self, name, folder, arguments, env=None):
        self.name = name
        self.log = folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                [str(a) for a in arguments], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})}, preexec_fn=die_with_parent,
            )

    def ready(self, what, seconds):
        def alive_and_ready():
            if self.child.poll() is not None:
                tail = self.log.read_text(errors="replace")[-1500:]
                raise SystemExit(f"{self.name} ended with {self.child.returncode}:\n{tail}")
            return what()

        wait_for(alive_and_ready, seconds)
        return self

    def stop(self, how=signal.SIGTERM, seconds=30):
        self.child.send_signal(how)
        return self.child.wait(seconds)


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=5) as reply:
            return reply.status == 200
    except urllib.error.HTTPError:
        return False


class Etcd:
    def __init__(self, folder, programs):
        self.folder, self.program = folder, programs / "etcd"
        self.port, self.peers = free_port(), free_port()
        self.start()

    def start(self):
        me, peers = f"http://127.0.0.1:{self.port}", f"http://127.0.0.1:{self.peers}"
        self.process = Process("etcd", self.folder, [
            self.program, "--name", "t", "--data-dir", self.folder / "etcd", "--unsafe-no-fsync",
            "--listen-client-urls", me, "--advertise-client-urls", me, "--listen-peer-urls", peers,
            "--initial-advertise-peer-urls", peers, "--initial-cluster", f"t={peers}",
        ]).ready(lambda: answers(f"{me}/health"), 60)


class ApiServer:
    """Alone: no controllers, no nodes. What it needs to start is made in `folder`."""

    def __init__(self, folder, programs, etcd, config):
        self.folder, self.program, self.etcd, self.config = folder, programs / "kube-apiserver", etcd, config
        self.port = free_port()
        signing = folder / "sa.key"
        subprocess.run(["openssl", "genrsa", "-out", signing, "2048"], check=True, capture_output=True)
        (folder / "tokens.csv").write_text('admin-token,admin,1,"system:masters"\n')

    def start(self, ready=True):
        signing = self.folder / "sa.key"
        self.process = Process("kube-apiserver", self.folder, [
            self.program, f"--etcd-servers=http://127.0.0.1:{self.etcd.port}", "--bind-address=127.0.0.1",
            f"--secure-port={self.port}", f"--cert-dir={self.folder / 'certs'}",
            "--endpoint-reconciler-type=none", "--service-cluster-ip-range=10.0.0.0/24",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={signing}", f"--service-account-signing-key-file={signing}",
            "--authorization-mode=RBAC", f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--disable-admission-plugins=ServiceAccount",
            f"--encryption-provider-config={self.config}",
            "--encryption-provider-config-automatic-reload=true",
        ])
        if ready:
            self.process.ready(self.is_ready, 90)

    def is_ready(self):
        return Api(self.port).call("GET", "/readyz")[0] == 200


class Plugin:
    """`kms plugin serve` over a KEK."""

    def __init__(self, folder, program, kek, env):
        self.folder, self.program, self.kek, self.env = folder, program, kek, env
        self.socket, self.http = folder / "kms.sock", free_port()

    def start(self, ready=True):
        self.process = Process("plugin", self.folder, [
            self.program, "plugin", "serve", "--kek", self.kek, "--listen", f"unix://{self.socket}",
            "--http", f"127.0.0.1:{self.http}", "--health-interval", "5s",
        ], self.env)
        self.process.ready(lambda: answers(f"http://127.0.0.1:{self.http}/{'readyz' if ready else 'livez'}"), 30)

    def check(self):
        subprocess.run([self.program, "plugin", "check", self.socket], check=True, capture_output=True)


class LocalKey:
    """A key of a keyring file."""

    def __init__(self, folder, program):
        self.program, self.file, self.env = program, folder / "keys.json", {}
        self.kms("keyring", "create", self.file, "--key", "cluster")
        self.kek = f"local:{self.file}#cluster"

    def rotate(self):
        self.kms("keyring", "rotate", self.file, "--key", "cluster")

    def forget_the_first(self):
        self.kms("keyring", "disable", self.file, "--key", "cluster", "--key-version", "1")

    can_be_away = False

    def kms(self, *arguments):
        subprocess.run([self.program, *map(str, arguments)], check=True, capture_output=True)


class AwsKey:
    """An alias in AWS KMS, as far as moto has it."""

    def __init__(self, folder, program):
        python = os.environ["LIBKMS_MOTO"]
        self.server = subprocess.Popen(
            [python, "-B", ROOT / "tests/aws/server.py"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        self.url = f"http://127.0.0.1:{int(self.server.stdout.readline())}"
        self.env = {
            "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }
        self.call("CreateAlias", AliasName="alias/cluster", TargetKeyId=self.new_key())
        self.kek = f"aws-kms:alias/cluster?region={REGION}&accept-account={ACCOUNT}&endpoint={self.url}"

    def rotate(self):
        self.call("UpdateAlias", AliasName="alias/cluster", TargetKeyId=self.new_key())

    def forget_the_first(self):
        """moto opens under a disabled key all the same: nothing to be shown here."""

    can_be_away = True

    def pause(self):
        self.server.send_signal(signal.SIGSTOP)

    def go_on(self):
        self.server.send_signal(signal.SIGCONT)

    def new_key(self):
        return self.call("CreateKey")["KeyMetadata"]["Arn"]

    def call(self, operation, **body):
        request = urllib.request.Request(self.url, json.dumps(body).encode(), {
            "X-Amz-Target": f"TrentService.{operation}",
            "Content-Type": "application/x-amz-json-1.1",
            "Authorization": f"AWS4-HMAC-SHA256 Credential=test/20260101/{REGION}/kms/aws4_request, "
                             "SignedHeaders=host, Signature=0",
        })
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.loads(reply.read() or b"null")
