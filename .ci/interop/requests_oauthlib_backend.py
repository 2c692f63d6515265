"""requests-oauthlib, BackendApplicationClient: secret in the header, then in the body."""
from oauthlib.oauth2 import BackendApplicationClient, InvalidClientError
from requests_oauthlib import OAuth2Session

from check import CLIENT_ID, CLIENT_SECRET, ISSUER, check

for place, in_body in [("header", False), ("body", True)]:
    session = OAuth2Session(client=BackendApplicationClient(client_id=CLIENT_ID, scope=["orders:read"]))
    token = session.fetch_token(f"{ISSUER}/token", client_secret=CLIENT_SECRET,
                                include_client_id=in_body, auth=False if in_body else None, timeout=10)
    check(f"secret in the {place}: scope", token["scope"], ["orders:read"])
    check(f"secret in the {place}: GET /v1/orders", session.get(f"{ISSUER}/v1/orders", timeout=10).status_code, 200)

try:
    session.fetch_token(f"{ISSUER}/token", client_id=CLIENT_ID, client_secret="wrong", timeout=10)
    refusal = None
except InvalidClientError as error:
    refusal = (error.status_code, error.error)
check("wrong secret raises InvalidClientError", refusal, (401, "invalid_client"))
