"""moto's AWS KMS on a free port of loopback: prints the port, and ends when its standard
input does, so that it never outlives whoever started it."""
import logging
import os
import sys
import urllib.request

from moto.moto_server.threaded_moto_server import ThreadedMotoServer

logging.getLogger("werkzeug").setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
server.start()
host, port = server.get_host_and_port()
# The first call loads the code of the service: not within a test's time limit.
first = urllib.request.Request(f"http://{host}:{port}/", b"{}", {
    "X-Amz-Target": "TrentService.ListKeys",
    "Content-Type": "application/x-amz-json-1.1",
    "Authorization": "AWS4-HMAC-SHA256 Credential=test/20260101/eu-central-1/kms/aws4_request, "
                     "SignedHeaders=host, Signature=0",
})
urllib.request.urlopen(first, timeout=60).read()
print(port, flush=True)
sys.stdin.read()
os._exit(0)
