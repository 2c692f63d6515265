"""authlib: a token with both secret methods, then its claims verified by the issuer's key set."""
import time

import requests
from authlib.integrations.requests_client import OAuth2Session
from authlib.jose import JsonWebKey, JsonWebToken

from check import AUDIENCE, CLIENT_ID, CLIENT_SECRET, ISSUER, check

for method in ["client_secret_basic", "client_secret_post"]:
    session = OAuth2Session(CLIENT_ID, CLIENT_SECRET, token_endpoint_auth_method=method, scope="orders:read orders:write")
    token = session.fetch_token(f"{ISSUER}/token", grant_type="client_credentials", timeout=10)
    check(f"{method}: token_type", token["token_type"], "Bearer")
    check(f"{method}: GET /v1/orders", session.get(f"{ISSUER}/v1/orders", timeout=10).status_code, 200)

keys = JsonWebKey.import_key_set(requests.get(f"{ISSUER}/.well-known/jwks.json", timeout=10).json())
claims = JsonWebToken(["ES256"]).decode(token["access_token"], keys, claims_options={
    "iss": {"essential": True, "value": ISSUER},
    "aud": {"essential": True, "value": AUDIENCE},
    "sub": {"essential": True, "value": CLIENT_ID},
    **{name: {"essential": True} for name in ["exp", "iat", "jti", "client_id", "scope"]},
})
claims.validate(leeway=5)
check("token verified by the key set", claims["client_id"], CLIENT_ID)
check("header typ is at+jwt", claims.header["typ"], "at+jwt")
check("header alg is ES256", claims.header["alg"], "ES256")
check("expires_in is the life of the token", claims["exp"] - claims["iat"], token["expires_in"])
check("iat is now", abs(time.time() - claims["iat"]) < 10, True)
