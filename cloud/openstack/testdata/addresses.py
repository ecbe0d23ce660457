"""Asks openstacksdk what it thinks of servers.

Reads a list of cases and writes a list of answers, as JSON. Nothing is sent to
anybody: what the SDK would ask a cloud for is in the cases, and of several
addresses the first is taken instead of trying which one answers.
"""
import json
import sys

import munch
from openstack.cloud import _floating_ip
from openstack.cloud import _network_common
from openstack.cloud import exc
from openstack.cloud import meta

meta.find_best_address = lambda addresses, **_: addresses[0] if addresses else None


class Config:
    def __init__(self, networks):
        self.config = {}
        self.networks = networks

    def named(self, key, want=True):
        return [n['name'] for n in self.networks if bool(n.get(key)) == want]

    def first(self, key):
        return (self.named(key) or [None])[0]

    def get_external_ipv4_networks(self):
        return self.named('external')

    def get_internal_ipv4_networks(self):
        return self.named('external', False)

    get_external_ipv6_networks = get_external_ipv4_networks
    get_internal_ipv6_networks = get_internal_ipv4_networks

    def get_nat_destination(self):
        return self.first('nat_destination')

    def get_nat_source(self):
        return self.first('nat_source')

    def get_default_network(self):
        return self.first('standard')


class Cloud(_network_common.NetworkCommonCloudMixin, _floating_ip.FloatingIPCloudMixin):
    def __init__(self, case):
        self.case = case
        self.config = Config(case.get('roles') or [])
        _network_common.NetworkCommonCloudMixin.__init__(self)
        _floating_ip.FloatingIPCloudMixin.__init__(self)
        self.private = case.get('private', False)
        self.force_ipv4 = case.get('force_ipv4', False)
        self._local_ipv6 = case.get('six', False) and not self.force_ipv4
        self._floating_ip_source = None if case.get('no_floating_ip') else 'neutron'

    _PORT_AGE = 0

    def has_service(self, name):
        return not (name == 'network' and self.case.get('no_network'))

    def list_networks(self, filters=None):
        return [munch.Munch(id=n['id'], name=n['name'], is_router_external=n.get('router:external', False),
                            provider_physical_network=n.get('provider:physical_network'))
                for n in self.case.get('networks') or []]

    def list_subnets(self, filters=None):
        return [{'network_id': i, 'gateway_ip': '10.0.0.1'} for i in self.case.get('gated') or []]

    def list_routers(self, filters=None):
        return [{'admin_state_up': r['admin_state_up'], 'external_gateway_info': r.get('external_gateway_info') or {}}
                for r in self.case.get('routers') or []]

    def search_ports(self, name_or_id=None, filters=None):
        return [dict(p, device_id=filters['device_id']) for p in self.case.get('ports') or []]

    def search_floating_ips(self, id=None, filters=None):
        return []


def ask(case):
    cloud = Cloud(case)
    server = munch.Munch(
        id='server', status='ACTIVE', addresses=case['addresses'] or {}, metadata={},
        accessIPv4=case.get('access4', ''), accessIPv6=case.get('access6', ''))
    try:
        server = meta.add_server_interfaces(cloud, server)
        answer = {'public4': server['public_v4'], 'public6': server['public_v6'],
                  'private4': server['private_v4'], 'connect': server['interface_ip']}
    except exc.OpenStackCloudException as e:
        return {'error': str(e)}
    try:
        answer['needs'] = bool(cloud._needs_floating_ip(server, None))
        if answer['needs'] and not case.get('no_network'):
            answer['port'] = cloud._nat_destination_port(server)[0]['id']
            answer['source'] = cloud._get_floating_network_id()
    except exc.OpenStackCloudException as e:
        answer['error'] = str(e)
    return answer


json.dump([ask(c) for c in json.load(sys.stdin)], sys.stdout)
