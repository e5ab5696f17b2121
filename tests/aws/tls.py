"""An AWS KMS over TLS that refuses every call: tls.py DIRECTORY KIND. Its root certificate
lies in DIRECTORY/ca.pem; its own is right, or of a KIND that nobody should trust. Prints its
port, then a line for every request, and ends when its standard input does."""
import datetime
import os
import pathlib
import socket
import ssl
import sys
import threading

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

directory, kind = pathlib.Path(sys.argv[1]), sys.argv[2]
NOW = datetime.datetime.now(datetime.timezone.utc)
DAY = datetime.timedelta(days=1)


def certificate(subject, key, issuer, issuer_key, host=None, until=NOW + DAY):
    name = lambda text: x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
    builder = x509.CertificateBuilder(
        issuer_name=name(issuer), subject_name=name(subject), public_key=key.public_key(),
        serial_number=x509.random_serial_number(), not_valid_before=NOW - 30 * DAY, not_valid_after=until,
    ).add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
    if host:
        builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def new_key():
    return ec.generate_private_key(ec.SECP256R1())


def pem(item):
    return item.public_bytes(serialization.Encoding.PEM)


root_key, other_key, key = new_key(), new_key(), new_key()
own = {
    "right": lambda: certificate("leaf", key, "root", root_key, "localhost"),
    "other-host": lambda: certificate("leaf", key, "root", root_key, "kms.example"),
    "expired": lambda: certificate("leaf", key, "root", root_key, "localhost", NOW - DAY),
    "stranger": lambda: certificate("leaf", key, "stranger", other_key, "localhost"),
    "impostor": lambda: certificate("leaf", key, "root", other_key, "localhost"),
    "self-signed": lambda: certificate("leaf", key, "leaf", key, "localhost"),
}[kind]()
(directory / "ca.pem").write_bytes(pem(certificate("root", root_key, "root", root_key)))
secret = key.private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
(directory / "own.pem").write_bytes(pem(own) + secret)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(directory / "own.pem")


def serve(listener):
    while True:
        connection, _ = listener.accept()
        try:
            with context.wrap_socket(connection, server_side=True) as tls:
                if tls.recv(4096):
                    print("asked", flush=True)
                    body = b'{"__type":"AccessDeniedException"}'
                    tls.sendall(b"HTTP/1.1 400 no\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
        except OSError:
            pass


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(listener,), daemon=True).start()
print(listener.getsockname()[1], flush=True)
sys.stdin.read()
os._exit(0)
