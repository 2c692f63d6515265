"""check(what, got, want): one `ok <what>` line, or exit 1."""
import os
import sys

# The servers under test are on loopback and speak plain http.
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"
os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

ISSUER = os.environ["ISSUER"]
AUDIENCE = os.environ.get("AUDIENCE", ISSUER + "/v1")
CLIENT_ID = os.environ["CLIENT_ID"]
CLIENT_SECRET = os.environ["CLIENT_SECRET"]


def check(what, got, want):
    what = f"{os.path.basename(sys.argv[0])}: {what}"
    if got != want:
        sys.exit(f"FAIL {what}: got {got!r}, want {want!r}")
    print("ok", what)
