"""Signs recorded requests once more, as botocore does, and says whether what they carry is
that: a JSON list of requests (method, path, headers, text) on standard input, of access keys
given as ID=SECRET. Prints for each who signed what for whom, and whether it is right."""
import json
import sys

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

SECRETS = dict(key.split("=", 1) for key in sys.argv[1:])


def look(recorded):
    headers = {name.lower(): value for name, value in recorded["headers"]}
    scheme, fields = headers["authorization"].split(" ", 1)
    fields = dict(field.strip().split("=", 1) for field in fields.split(","))
    access, day, region, service, end = fields["Credential"].split("/")
    signed = fields["SignedHeaders"].split(";")
    request = AWSRequest(
        method=recorded["method"], url=f"http://{headers['host']}{recorded['path']}",
        headers={name: headers[name] for name in signed}, data=recorded["text"].encode(),
    )
    request.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(access, SECRETS[access]), service, region)
    signature = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    right = (scheme, end, day) == ("AWS4-HMAC-SHA256", "aws4_request", headers["x-amz-date"][:8])
    return {
        "access": access, "region": region, "service": service, "signed": signed,
        "at": headers["x-amz-date"], "right": right and signature == fields["Signature"],
    }


print(json.dumps([look(recorded) for recorded in json.load(sys.stdin)]))
