"""The tutorial with requests: get a token, print it, call the API with it."""
import requests

from check import CLIENT_ID, CLIENT_SECRET, ISSUER, check

answer = requests.post(f"{ISSUER}/token", timeout=10, data={
    "client_id": CLIENT_ID,
    "client_secret": CLIENT_SECRET,
    "grant_type": "client_credentials",
})
check("POST /token", answer.status_code, 200)
token = answer.json()["access_token"]
print(f"{token[:12]}…{token[-6:]}")

bearer = {"Authorization": f"Bearer {token}"}
check("GET /v1/orders", requests.get(f"{ISSUER}/v1/orders", headers=bearer, timeout=10).status_code, 200)
made = requests.post(f"{ISSUER}/v1/orders", headers=bearer, json={"item": "tea", "quantity": 1}, timeout=10)
check("POST /v1/orders", made.status_code, 201)
whoami = requests.get(f"{ISSUER}/v1/whoami", headers=bearer, timeout=10).json()
check("whoami: client_id", whoami["client_id"], CLIENT_ID)
check("whoami: scopes", sorted(whoami["scopes"]), ["orders:read", "orders:write"])
check("GET /v1/orders without a token", requests.get(f"{ISSUER}/v1/orders", timeout=10).status_code, 401)
