#!/usr/bin/env python3
"""Ask poold for nodes, from Python. It needs nothing but the standard library,
and speaks docs/protocol.md through etcd's JSON gateway.

As a program it runs a command on nodes, and gives them back when it is over:

    poold.py --etcd http://127.0.0.1:2379 --client ci ubuntu-noble ubuntu-noble -- ./job.sh

The command finds the nodes, as JSON, in the variable POOLD_NODES. As a module:

    with Client("http://127.0.0.1:2379", "ci").ask(["ubuntu-noble"]) as request:
        for node in request.wait(timeout=600):
            print(node["interface_ip"], node["username"], node["host_keys"])
"""

import argparse
import base64
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid


class Failed(Exception):
    """The request cannot be served, ever; the text says why."""


class Lost(Exception):
    """The request is not there any more: its lease ended, or somebody deleted it."""


def _encode(text):
    return base64.b64encode(text.encode()).decode()


def _decode(value):
    return json.loads(base64.b64decode(value))


class Client:
    """A CI system. Requests of others cannot be seen by it where etcd knows users."""

    def __init__(self, etcd, name, prefix="/poold/v1", ttl=60):
        self.urls, self.name, self.prefix, self.ttl = etcd.split(","), name, prefix, ttl

    def ask(self, labels, id=None, **fields):
        """Asks for a node of each label. Fields are those of a request, such as
        priority, tenant, provider or annotations."""
        id = id or uuid.uuid4().hex
        value = json.dumps({"v": 1, "labels": labels, **fields})
        lease = self.call("/v3/lease/grant", {"TTL": self.ttl})["ID"]
        key = _encode("%s/requests/%s/%s" % (self.prefix, self.name, id))
        done = self.call("/v3/kv/txn", {
            "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": 0}],
            "success": [{"request_put": {"key": key, "value": _encode(value), "lease": lease}}],
            "failure": [{"request_range": {"key": key}}],
        })
        revision = int(done["header"]["revision"])
        if not done.get("succeeded"):
            # Either somebody has asked so before, or this call was made twice
            # because its first answer was lost.
            there = done["responses"][0]["response_range"]["kvs"][0]
            if there.get("lease") != lease:
                self.call("/v3/lease/revoke", {"ID": lease})
                raise FileExistsError("request %s is there already; resume(%r) goes on with it" % (id, id))
            revision = int(there["create_revision"])
        return Request(self, id, lease, revision)

    def resume(self, id):
        """Goes on with a request of before, after a restart within its lease."""
        found = self.call("/v3/kv/range", {"key": _encode("%s/requests/%s/%s" % (self.prefix, self.name, id))})
        if not found.get("kvs"):
            raise Lost(id)
        return Request(self, id, found["kvs"][0]["lease"], int(found["kvs"][0]["create_revision"]))

    def call(self, path, body, timeout=10, patience=30):
        """Calls etcd, and tries all of its members for as long as none answers."""
        end = time.monotonic() + patience
        while True:
            for url in self.urls:
                try:
                    with self.open(url, path, body, timeout) as answer:
                        return json.load(answer)
                except urllib.error.HTTPError as err:
                    if err.code < 500 or time.monotonic() > end:
                        raise OSError("etcd: %s: %s" % (path, err.read().decode())) from err
                except (OSError, ValueError):
                    if time.monotonic() > end:
                        raise
            time.sleep(0.5)

    @staticmethod
    def open(url, path, body, timeout):
        ask = urllib.request.Request(url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        return urllib.request.urlopen(ask, timeout=timeout)


class Request:
    """A request that is kept alive until it is released, or until the program
    ends: then it dies with its lease, and its nodes with it."""

    def __init__(self, client, id, lease, revision):
        self.client, self.id, self.lease, self.revision = client, id, lease, revision
        self.answer = "%s/allocations/%s/%s" % (client.prefix, client.name, id)
        self.over, self.lost = threading.Event(), False
        threading.Thread(target=self._keep, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release()

    def _keep(self):
        renewed = time.monotonic()
        while not self.over.wait(self.client.ttl / 3):
            try:
                answer = self.client.call("/v3/lease/keepalive", {"ID": self.lease}, patience=self.client.ttl / 3)
                alive = int(answer["result"].get("TTL", 0)) > 0
                renewed = time.monotonic()
            except OSError:
                # etcd keeps the lease for at least its TTL once it is back.
                alive = time.monotonic() - renewed < 10 * self.client.ttl
            if not alive:
                self.lost = True
                return

    def wait(self, timeout=None, told=None):
        """Returns the nodes, in the order of the labels. Raises Failed, Lost or
        TimeoutError. told is called with the reasons for waiting when they change."""
        end = None if timeout is None else time.monotonic() + timeout
        known = None
        for allocation in self._answers(end):
            if allocation["state"] == "fulfilled":
                return allocation["nodes"]
            if allocation["state"] == "failed":
                raise Failed(allocation.get("error", ""))
            if told and allocation.get("reasons", []) != known:
                known = allocation.get("reasons", [])
                told(known)
        raise TimeoutError("no nodes within %s s" % timeout)

    def _answers(self, end):
        """Gives each state of the answer to this request, until a time."""
        while end is None or time.monotonic() < end:
            if self.lost:
                raise Lost(self.id)
            found = self.client.call("/v3/kv/range", {"key": _encode(self.answer)})
            for item in found.get("kvs", []):
                allocation = _decode(item["value"])
                # What stands there may be the answer to an older request of this id.
                if int(allocation["request_revision"]) == self.revision:
                    yield allocation
            self._await_change(int(found["header"]["revision"]) + 1)

    def _await_change(self, revision):
        """Returns when the answer has changed since a revision, or some seconds later."""
        body = {"create_request": {"key": _encode(self.answer), "start_revision": revision}}
        for url in self.client.urls:
            try:
                with self.client.open(url, "/v3/watch", body, timeout=5) as stream:
                    for line in stream:
                        if json.loads(line).get("result", {}).get("events"):
                            return
            except (OSError, ValueError):
                continue  # nothing happened for the time of the timeout, or etcd is away

    def release(self):
        """Gives the nodes back. They are deleted, never used again."""
        self.over.set()
        key = _encode("%s/requests/%s/%s" % (self.client.prefix, self.client.name, self.id))
        self.client.call("/v3/kv/txn", {
            "compare": [{"key": key, "target": "CREATE", "result": "EQUAL", "create_revision": self.revision}],
            "success": [{"request_delete_range": {"key": key}}],
        })
        try:
            self.client.call("/v3/lease/revoke", {"ID": self.lease})
        except OSError:
            pass  # it has ended, or ends by itself


def main():
    parser = argparse.ArgumentParser(description="Run a command on nodes of poold.")
    parser.add_argument("--etcd", default="http://127.0.0.1:2379", help="etcd's URLs, separated by commas")
    parser.add_argument("--client", default="python", help="who asks")
    parser.add_argument("--timeout", type=float, help="how many seconds to wait for the nodes")
    parser.add_argument("label", nargs="+")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    args, command = parser.parse_args(words[:cut]), words[cut + 1:]

    def told(reasons):
        for reason in reasons:
            print("waiting: %s: %s" % (reason["provider"], reason["text"]), file=sys.stderr)

    with Client(args.etcd, args.client).ask(args.label) as request:
        nodes = json.dumps(request.wait(args.timeout, told))
        if not command:
            print(nodes)
            return 0
        return subprocess.call(command, env={**os.environ, "POOLD_NODES": nodes})


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Failed, Lost, TimeoutError, OSError) as problem:
        sys.exit("%s: %s" % (type(problem).__name__, problem))
