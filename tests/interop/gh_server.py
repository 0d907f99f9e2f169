"""GitHub's API for Actions secrets on loopback, as far as `gh secret set` and `gh api repos/…` go: it opens what gh seals for it.

gh_server.py CERTIFICATE KEY OUTPUT: prints its port, and writes what it was given to OUTPUT as one JSON object.
"""

import base64
import http.server
import json
import ssl
import sys

from nacl.public import PrivateKey, SealedBox

certificate, key, output = sys.argv[1:]
box_key = PrivateKey.generate()
secrets: dict[str, str] = {}


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def refuses(self) -> bool:
        if self.headers["authorization"] == "token nobody":
            self.answer(401, {"message": "Bad credentials"})
            return True
        if "/nowhere" in self.path:
            self.answer(404, {"message": "Not Found"})
            return True
        return False

    def do_GET(self) -> None:
        if self.refuses():
            return
        *_, before, owner, name = self.path.split("/")
        if before == "repos":
            self.answer(200, {"id": 42, "html_url": f"https://{self.headers['host']}/{owner}/{name}"})
            return
        public = base64.b64encode(bytes(box_key.public_key)).decode()
        self.answer(200, {"key_id": "1", "key": public})

    def do_PUT(self) -> None:
        if self.refuses():
            return
        if "/environments/" in self.path:
            secrets["of"] = self.path.split("/environments/")[1].split("/")[0]
        document = json.loads(self.rfile.read(int(self.headers["content-length"])))
        sealed = base64.b64decode(document["encrypted_value"])
        secrets[self.path.rsplit("/", 1)[-1]] = SealedBox(box_key).decrypt(sealed).decode()
        with open(output, "w") as file:
            json.dump(secrets, file)
        self.answer(201, {})

    def log_message(self, *_: object) -> None:
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
print(server.server_port, flush=True)
server.serve_forever()
