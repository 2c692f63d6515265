"""authlib as an issuer of opaque machine tokens: its client credentials grant and its metadata, on Python's HTTP server.

It knows no resources (RFC 8707) and ignores the parameter. Its HTTP Basic does not decode id and secret.
"""
import json
import os
import secrets
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl

os.environ["AUTHLIB_INSECURE_TRANSPORT"] = "1"

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6750 import BearerTokenGenerator
from authlib.oauth2.rfc8414 import AuthorizationServerMetadata

ISSUER = os.environ["ISSUER"]


class Client(ClientMixin):
    """A client that may use one method of authentication."""

    def __init__(self, client_id, method):
        self.client_id, self.method = client_id, method

    def get_client_id(self):
        return self.client_id

    def get_allowed_scope(self, scope):
        return " ".join(s for s in scope.split() if s in ("orders:read", "orders:write"))

    def check_client_secret(self, client_secret):
        return secrets.compare_digest(os.environ["CLIENT_SECRET"].encode(), client_secret.encode())

    def check_endpoint_auth_method(self, method, endpoint):
        return method == self.method

    def check_grant_type(self, grant_type):
        return grant_type == "client_credentials"


class Grant(ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ["client_secret_basic", "client_secret_post"]


class Issuer(AuthorizationServer):
    """authlib's server, for requests of Python's own HTTP server."""

    clients = {c.client_id: c for c in (
        Client(os.environ["CLIENT_ID"], "client_secret_basic"),
        Client(os.environ["CLIENT_ID"] + "-post", "client_secret_post"),
    )}

    def query_client(self, client_id):
        return self.clients.get(client_id)

    def save_token(self, token, request):
        pass  # nothing here asks for tokens

    def send_signal(self, name, *args, **kwargs):
        pass

    def create_oauth2_request(self, request):
        body = request.rfile.read(int(request.headers.get("Content-Length", 0))).decode()
        return OAuth2Request(request.command, ISSUER + request.path, dict(parse_qsl(body)), request.headers)

    def handle_response(self, status, body, headers):
        return status, json.dumps(dict(body)).encode(), headers


issuer = Issuer(scopes_supported=["orders:read", "orders:write"])
issuer.register_grant(Grant)
issuer.register_token_generator("default", BearerTokenGenerator(lambda **_: secrets.token_urlsafe(32), expires_generator=int(os.environ["LIFE"])))

metadata = AuthorizationServerMetadata({
    "issuer": ISSUER,
    "token_endpoint": ISSUER + "/oauth/token",
    "grant_types_supported": ["client_credentials"],
    "token_endpoint_auth_methods_supported": Grant.TOKEN_ENDPOINT_AUTH_METHODS,
})
metadata.validate_token_endpoint_auth_methods_supported()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/.well-known/oauth-authorization-server":
            self.answer(200, json.dumps(metadata).encode(), [("Content-Type", "application/json")])
        else:
            self.answer(200 if self.path == "/healthz" else 404, b"", [])

    def do_POST(self):
        if self.path == "/oauth/token":
            self.answer(*issuer.create_token_response(self))
        else:
            self.answer(404, b"", [])

    def answer(self, status, body, headers):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


host, port = os.environ["ADDR"].split(":")
ThreadingHTTPServer((host, int(port)), Handler).serve_forever()
