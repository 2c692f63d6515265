"""authlib: private_key_jwt. The audience is the issuer identifier (RFC 10070), and the assertion lives for a minute."""
import os

from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session
from authlib.oauth2.rfc7523 import PrivateKeyJWT, private_key_jwt_sign

from check import ISSUER, check

API = os.environ["API"]
with open(os.path.join(os.environ["KEYS"], "client.key")) as file:
    key = file.read()


class MinuteJWT(PrivateKeyJWT):
    """authlib's own assertion would live for an hour, and with claims= each one would have the same jti."""

    def sign(self, auth, audience):
        return private_key_jwt_sign(auth.client_secret, auth.client_id, audience, alg="ES256", expires_in=60)


def session(method):
    s = OAuth2Session("key", key, token_endpoint_auth_method="private_key_jwt", scope="orders:read")
    s.register_client_auth_method(method)
    return s


def refused(what, method):
    try:
        session(method).fetch_token(f"{ISSUER}/token", grant_type="client_credentials", timeout=10)
    except OAuthError as error:
        check(f"{what}: error", error.error, "invalid_client")
    else:
        check(f"{what}: refused", False, True)


s = session(MinuteJWT(ISSUER))  # in place of the token endpoint: this is the audience
for what in ["first", "second"]:
    token = s.fetch_token(f"{ISSUER}/token", grant_type="client_credentials", timeout=10)
    check(f"{what} token: token_type", token["token_type"], "Bearer")
    check(f"{what} token: GET /v1/orders", s.get(f"{API}/v1/orders", timeout=10).status_code, 200)
refused("audience of authlib's choice, the token endpoint", MinuteJWT())
refused("lifetime of authlib's choice, an hour", PrivateKeyJWT(ISSUER, alg="ES256"))
