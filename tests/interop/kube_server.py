"""The API server of a cluster on loopback, as far as Secrets go, and strict about it: server-side apply alone changes one, each
field has its manager, and a field of another one's is a conflict (409).

kube_server.py CERTIFICATE KEY CALLS [NAMESPACE...]: prints its port, writes each call as a line to CALLS. Whoever comes with the
token `good` may do all; `blind` may put and not read, `reader` the other way round.
"""

import http.server
import json
import ssl
import sys
import urllib.parse

certificate, key, calls, *namespaces = sys.argv[1:]
secrets: dict[tuple[str, str], dict] = {}
managers: dict[tuple[str, str], dict[str, set[str]]] = {}


class Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        self.code, self.reason, self.message = code, reason, message


def fields(document: dict) -> dict[str, object]:
    """What of a Secret has managers, each by its path."""
    flat: dict[str, object] = {}
    for part in ("data", "stringData"):
        for name, value in (document.get(part) or {}).items():
            flat[f".{part}.{name}"] = value
    for part in ("labels", "annotations"):
        for name, value in (document.get("metadata", {}).get(part) or {}).items():
            flat[f".metadata.{part}.{name}"] = value
    if "type" in document:
        flat[".type"] = document["type"]
    return flat


def store(place: dict, path: str, value: object) -> None:
    *parts, name = (path[1:].split(".", 1) if path.startswith(".data") else path[1:].rsplit(".", 1))
    for part in ".".join(parts).split(".") if parts else []:
        place = place.setdefault(part, {})
    if value is None:
        place.pop(name, None)
    else:
        place[name] = value


def apply(at: tuple[str, str], document: dict, manager: str, force: bool) -> tuple[int, dict]:
    if document.get("apiVersion") != "v1" or document.get("kind") != "Secret":
        raise Refusal(400, "BadRequest", "the object provided is unrecognized")
    metadata = document.get("metadata", {})
    if metadata.get("name") != at[1] or metadata.get("namespace", at[0]) != at[0] or metadata.get("managedFields"):
        raise Refusal(400, "BadRequest", "the object is not the one of the path")
    if at[0] not in namespaces:
        raise Refusal(404, "NotFound", f'namespaces "{at[0]}" not found')
    wanted = fields(document)
    known = managers.setdefault(at, {})
    found = secrets.get(at)
    before = fields(found) if found else {}
    against: dict[str, list[str]] = {}
    for path, value in wanted.items():
        for other, theirs in known.items():
            if other != manager and path in theirs and before.get(path) != value:
                if not force:
                    against.setdefault(other, []).append(path)
                else:
                    theirs.discard(path)
    if against:
        count = sum(map(len, against.values()))
        if count == 1:
            [(other, [path])] = against.items()
            raise Refusal(409, "Conflict", f'Apply failed with 1 conflict: conflict with "{other}" using v1: {path}')
        lines = "".join(f'\nconflicts with "{other}" using v1:\n' + "\n".join(f"- {p}" for p in paths)
                        for other, paths in against.items())
        raise Refusal(409, "Conflict", f"Apply failed with {count} conflicts:{lines}")
    created = found is None
    if found is None:
        found = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": at[1], "namespace": at[0]}, "type": "Opaque"}
        found["metadata"]["uid"] = "00000000-0000-0000-0000-000000000001"
        secrets[at] = found
    elif ".type" in wanted and wanted[".type"] != found["type"]:
        raise Refusal(422, "Invalid", "type: Invalid value: field is immutable")
    for path in known.get(manager, set()) - wanted.keys():
        if not any(path in theirs for other, theirs in known.items() if other != manager):
            store(found, path, None)
    for path, value in wanted.items():
        store(found, path, value)
    known[manager] = set(wanted)
    version = int(found["metadata"].get("resourceVersion", "0")) + 1
    found["metadata"]["resourceVersion"] = str(version)
    found["metadata"]["managedFields"] = [
        {"manager": name, "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
         "fieldsV1": {f"f:{path}": {} for path in sorted(paths)}}
        for name, paths in sorted(known.items())
    ]
    return (201 if created else 200), found


RESOURCES = {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "v1", "resources": [
    {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret",
     "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"]},
]}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_call(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        address = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(address.query))
        kind = (self.headers.get("content-type") or "").split(";")[0]
        try:
            status, document = self.judge(address.path, query, kind, body)
        except Refusal as refusal:
            status = refusal.code
            document = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                        "message": refusal.message, "reason": refusal.reason, "code": refusal.code}
        if "/secrets" in address.path:
            with open(calls, "a") as file:
                file.write(f"{self.command} {address.path} {query.get('fieldManager', '-')} {status}\n")
        self.answer(status, document)

    do_GET = do_PATCH = do_POST = do_PUT = do_DELETE = handle_call

    def judge(self, path: str, query: dict[str, str], kind: str, body: bytes) -> tuple[int, dict]:
        who = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        if who not in ("good", "blind", "reader"):
            raise Refusal(401, "Unauthorized", "Unauthorized")
        match path.strip("/").split("/"):
            case ["api"]:
                return 200, {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                return 200, {"kind": "APIGroupList", "apiVersion": "v1", "groups": []}
            case ["api", "v1"]:
                return 200, RESOURCES
            case ["api", "v1", "namespaces", namespace, "secrets", name]:
                at = (namespace, name)
            case _:
                raise Refusal(404, "NotFound", "the server could not find the requested resource")
        may = {"GET": ("good", "reader"), "PATCH": ("good", "blind")}.get(self.command, ())
        if who not in may:
            verb = {"GET": "get", "PATCH": "patch"}.get(self.command, self.command)
            raise Refusal(403, "Forbidden", f'secrets "{name}" is forbidden: User "{who}" cannot {verb} resource')
        if self.command == "GET":
            if at not in secrets:
                raise Refusal(404, "NotFound", f'secrets "{name}" not found')
            return 200, secrets[at]
        if kind != "application/apply-patch+yaml":
            raise Refusal(415, "UnsupportedMediaType", f"{kind} is no server-side apply")
        if not query.get("fieldManager"):
            raise Refusal(400, "BadRequest", "fieldManager is required for apply patch")
        return apply(at, json.loads(body), query["fieldManager"], query.get("force") == "true")

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
