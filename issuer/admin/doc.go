// Package admin is a JSON API that manages the clients of an issuer. It registers,
// lists, reads, changes and deletes clients, adds, rotates and removes their secrets,
// and revokes the tokens of a secret, a client or all clients.
//
// [New] returns an [API], an [http.Handler] for /clients and the paths below it.
//
//	api, err := admin.New(admin.Config{Issuer: iss, Manager: store})
//	mux.Handle("/admin/", http.StripPrefix("/admin", guard(api)))    // net/http
//	api.Mount(e.Group("/admin", auth.Require("clients:admin")), nil) // Echo
//
// [ReadRecords] reads clients in the same form from a file.
//
// # Access
//
// The API does not authenticate. The guard in front decides who may call it.
//
// If that guard takes a credential that browsers send by themselves, such as a cookie,
// requests from pages of other origins are refused ([http.CrossOriginProtection]). A
// bearer token is not such a credential. The check reads Sec-Fetch-Site and Origin. A
// request with neither passes, because no current browser sends it; one older than 2020
// may. An empty body needs no Content-Type, so for actions without members, such as
// POST /clients/revoke, this check is the only one that refuses a form of another origin.
//
// # Requests
//
// GET /openapi.json, behind the same guard, returns the OpenAPI 3.1 document of the API:
// every path, parameter, body and answer. [OpenAPI] returns it in Go. In short, with the
// answer (200 and {} where none is given):
//
//	GET    /clients                        list: {"clients": […]}; ?search=, ?after= and ?limit= are those of registry.Query
//	POST   /clients                        register: 201 and the client with its generated client_secret, this once;
//	                                       a client with keys, a certificate or a workload gets none
//	       {"client_secret_expires_at": 1800000000, "label": "trial", …}  the same; the secret expires
//	GET    /clients/{id}                   read: the client
//	PUT    /clients/{id}                   replace everything but the secrets; what is left out is cleared: the client
//	DELETE /clients/{id}                   delete it and revoke its tokens
//	POST   /clients/{id}/revoke            revoke its tokens; it can get new ones
//	POST   /clients/revoke                 revoke the tokens of ALL clients, the operator's own among them
//
//	POST   /clients/{id}/secrets                   generate a secret that replaces the others: 201 {"client_id", "secret_id",
//	                                               "client_secret", "client_secret_expires_at": 0}, this once; the others end after a day
//	       {"overlap": 3600, "label": "blue"}      the same; the others end after overlap seconds, with 0 at once
//	       {"revoke": true}                        the same; the others end at once, and all tokens of the client are revoked
//	POST   /clients/{id}/secrets/add               generate a secret and leave the others as they are: the same answer
//	       {"client_secret_expires_at": 1800000000, "label": "green"}  the same; it expires
//	       {"client_secret_hash": "$2b$10$…"}      import a secret that another system has hashed
//	DELETE /clients/{id}/secrets/{secret}          remove this secret; tokens got with it stay valid
//	DELETE /clients/{id}/secrets/{secret}?revoke=true  remove it, and revoke the tokens got with it
//	POST   /clients/{id}/secrets/{secret}/revoke   revoke the tokens got with it; the secret stays valid
//
// {secret} is a secret_id. A change counts in this process when it is answered, and in
// other replicas within 2 s. After POST /clients/revoke the operator needs a new token
// for the next request. A 503 says that the store did not answer within 3 s. The change
// may have been written, so send it again.
//
// To disable a client, GET it, set "disabled" to true and PUT the whole answer back:
//
//	curl -s $ISSUER/admin/clients/reports -H "Authorization: Bearer $TOKEN" | jq '.disabled = true' |
//	  curl -X PUT $ISSUER/admin/clients/reports -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d @-
//
// A PUT of that member alone would clear the rest. It is refused, because it has no
// version.
//
// A body is one JSON object, application/json, at most 64 KiB, in UTF-8. Unknown and
// repeated members are refused, and so is anything after the object. An empty body is an
// empty object, and needs no Content-Type. The body of a GET is not read. A member that is
// null counts as left out. A whole number is taken in every spelling of JSON, such as 3e2.
// Unknown and repeated query parameters are refused.
//
// A PUT names the version that was read. Another version is a conflict (409). A PUT that
// disables a client also revokes its tokens. What GET gave can be sent back in a PUT.
// It refuses client_secret, label and client_secret_expires_at, and other secrets or times
// than GET gave. last_used_at is written up to a minute late.
//
// # A client
//
// Members have the names of RFC 7591 where it has one. Only client_id is required, and
// POST generates one. A client without audiences gets no token.
//
//	{
//	  "client_id": "reports",
//	  "client_name": "Monthly reports",
//	  "scope": "orders:read orders:write",
//	  "audiences": ["https://api.example.com"],
//	  "default_audience": "https://api.example.com",
//	  "introspects": ["https://api.example.com"],
//	  "token_endpoint_auth_method": "client_secret_basic",
//	  "token_ttl": 300,
//	  "metadata": {"tenant": "acme"},
//	  "disabled": false,
//	  "version": 1
//	}
//
// How a client authenticates, and how its tokens are bound, is in these members:
//
//	"jwks": {"keys": […]}                          its public keys, or
//	"jwks_uri": "https://reports.example.com/jwks" where it publishes them
//	"tls_client_auth_subject_dn": "CN=reports"     its certificate: one of these five (RFC 8705, section 2.1.2)
//	"tls_client_auth_san_dns", …_uri, …_ip, …_email
//	"workload": [{"issuer": "https://…", "subject": "…", "audience": "…"}]
//	"dpop_bound_access_tokens": true               tokens are bound by DPoP (RFC 9449)
//	"tls_client_certificate_bound_access_tokens": true
//
// A key that the issuer could not use is refused and named. A private key is refused. The
// issuer fetches jwks_uri, so give the scope of this API to administrators only. A client
// that authenticates with something else than a secret gets none: the answer has no
// client_secret. POST to its /secrets/add adds one. To take a key away, PUT jwks without it;
// the tokens that the client has stay valid until they are revoked.
//
// token_ttl is in seconds. [registry.Client] says what each member means; its own JSON is
// another form. POST also takes client_secret_hash, a hash that [registry.ImportSecret]
// takes: the client then has that secret instead of a generated one. label and
// client_secret_expires_at are those of the secret, generated or imported. The answer has
// its client_secret_expires_at, 0 for never (RFC 7591, section 3.2.1). Answers add
// client_id_issued_at, grant_types and secrets: their secret_id, label and times, never a
// hash.
//
// # Errors
//
// Errors have the form of RFC 6749, section 5.2, also those for an unknown path (404) and
// method (405). What a store would refuse is 400 and names the member. The error is
// invalid_client_metadata if the record of a client is not valid, and invalid_request
// otherwise.
package admin
