"""Be nodepool in a project of a simulated cloud: neighbour.py make CLOUDS-FILE
NAME makes an image and a server with its marks, neighbour.py check does nothing but
look whether they are there as they were."""

import json
import sys
import urllib.request

verb, clouds, name = sys.argv[1:]
cloud = json.load(open(clouds))["clouds"][name]
auth = cloud["auth"]


def call(method, url, body=None, token=None, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else None
    ask = urllib.request.Request(url, data, {"Content-Type": kind, "X-Auth-Token": token or ""}, method=method)
    with urllib.request.urlopen(ask, timeout=60) as answer:
        text = answer.read()
        return json.loads(text) if text else None, answer.headers


domain = {"name": "Default"}
issued, headers = call("POST", auth["auth_url"] + "/auth/tokens", {"auth": {
    "identity": {"methods": ["password"], "password": {
        "user": {"name": auth["username"], "domain": domain, "password": auth["password"]}}},
    "scope": {"project": {"name": auth["project_name"], "domain": domain}},
}})
token = headers["X-Subject-Token"]
urls = {s["type"]: s["endpoints"][0]["url"].rstrip("/") for s in issued["token"]["catalog"]}
image_url = urls["image"] + ("" if urls["image"].endswith("/v2") else "/v2") + "/images"

if verb == "make":
    image, _ = call("POST", image_url, {
        "name": "ubuntu-noble-1234567890", "disk_format": cloud["image_format"], "container_format": "bare",
        "nodepool_build_id": "1", "nodepool_upload_id": "1",
    }, token)
    call("PUT", image_url + "/" + image["id"] + "/file", b"an image of nodepool", token, "application/octet-stream")
    flavors, _ = call("GET", urls["compute"] + "/flavors/detail", token=token)
    networks, _ = call("GET", urls["network"] + ("" if urls["network"].endswith("/v2.0") else "/v2.0") + "/networks", token=token)
    call("POST", urls["compute"] + "/servers", {"server": {
        "name": "np0000000017", "imageRef": image["id"], "flavorRef": flavors["flavors"][0]["id"],
        "networks": [{"uuid": networks["networks"][0]["id"]}],
        "metadata": {"nodepool_node_id": "0000000017", "nodepool_provider_name": "north"},
    }}, token)

servers, _ = call("GET", urls["compute"] + "/servers/detail", token=token)
images, _ = call("GET", image_url, token=token)
mine = [s for s in servers["servers"] if s["name"] == "np0000000017" and s["status"] != "DELETED"]
kept = [i for i in images["images"] if i["name"] == "ubuntu-noble-1234567890" and i["status"] == "active"]
if len(mine) != 1 or len(kept) != 1:
    sys.exit("nodepool's server and image are no more: %s %s" % (mine, kept))
print("nodepool's server and image are there,", len(servers["servers"]), "servers in all")
