# Asks openstacksdk how it reads the clouds.yaml that the environment names, or
# the one that is found in the current folder, and prints that as JSON: every
# cloud in every region. It touches no network.
import json
import os
import sys
import warnings

warnings.simplefilter("ignore")
from openstack.config import OpenStackConfig, vendors  # noqa: E402


class Reply:
    """What the one vendor that openstacksdk asks over the network says."""

    ok = True

    def json(self):
        return {"name": "vexxhost", "profile": {
            "auth_type": "v3password", "auth": {"auth_url": "https://auth.vexxhost.net/v3"},
            "identity_api_version": "3", "image_format": "raw",
            "floating_ip_source": "None", "requires_floating_ip": False}}


vendors.requests.get = lambda url: Reply()


class Loader:
    """A loader of plug-ins that loads none: only the options count."""

    def __init__(self, real):
        self.get_options = real.get_options

    def load_from_options(self, **kwargs):
        return None


class Config(OpenStackConfig):
    def _get_auth_loader(self, config):
        return Loader(super()._get_auth_loader(config))


def endpoint(r, service):
    try:
        return r.get_endpoint(service) or ""
    except TypeError:  # it wants to add the id of a project that has only a name
        return r._get_config("endpoint_override", service)


def describe(r):
    verify, cert = r.get_requests_verify_args()
    c = r.config
    services = {}
    for s in ("identity", "compute", "image", "network", "block-storage", "object-store"):
        services[s] = {
            "endpoint": endpoint(r, s) if s != "identity" else "",
            "interface": r.get_interface(s), "region": r.get_region_name(s) or "",
            "name": r.get_service_name(s) or "", "version": str(r._get_config("api_version", s) or ""),
            "absent": not c.get("has_" + s.replace("-", "_"), True),
        }
    return {
        "auth_type": c["auth_type"], "auth": c["auth"], "region": r.region_name,
        "verify": verify, "cert": cert, "timeout": c.get("api_timeout"),
        "image_format": c["image_format"], "tasks": bool(c["image_api_use_tasks"]),
        "source": c["floating_ip_source"], "requires": r.requires_floating_ip(),
        "force_ipv4": bool(r.force_ipv4), "private": bool(c.get("private", False)),
        "networks": c.get("networks", []), "services": services,
    }


def main():
    if len(sys.argv) > 1 and sys.argv[1] == "vendors":
        print(json.dumps({n: [x if isinstance(x, str) else x["name"] for x in p.get("regions", [])]
                          for n, p in vendors._get_vendor_defaults().items()}))
        return
    config = Config()
    found = []
    for name in config.get_cloud_names():
        asked = os.environ.get("OS_REGION_NAME")
        regions = [asked] if asked else [None] + [x["name"] for x in (config._get_known_regions(name) or [])]
        for region in regions:
            entry = {"cloud": name, "asked": region or ""}
            try:
                entry["got"] = describe(config.get_one(name, region_name=region))
            except Exception as e:
                entry["error"] = "%s: %s" % (type(e).__name__, e)
            found.append(entry)
    print(json.dumps({"default": config.default_cloud, "clouds": found}))


main()
