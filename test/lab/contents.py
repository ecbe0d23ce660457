"""What the cloud of the lab contains: users, catalogue, flavors, images, networks.

Run by the script "openstack" next to this file, which starts the cloud; in
Python because one openstacksdk process is far faster than forty command line
calls. Idempotent: everything is looked up by name first.

  contents.py identity PASSWORD CATALOGUE
  contents.py resources REGION-NUMBER PUBLIC-KEY-FILE
  contents.py kvm IMAGE-DIRECTORY
"""

import os
import sys

import openstack

USERS = [  # name, project, roles
    ('nova', 'service', ('admin', 'service')),
    ('neutron', 'service', ('admin', 'service')),
    ('glance', 'service', ('admin', 'service')),
    ('placement', 'service', ('admin', 'service')),
    ('cinder', 'service', ('admin', 'service')),
    ('swift', 'service', ('admin', 'service')),
    ('ci', 'ci', ('member', 'reader')),
    ('ci-small', 'ci-small', ('member', 'reader')),
]
FLAVORS = [  # name, vcpus, ram MB, disk GB
    ('lab.tiny', 1, 512, 1),
    ('lab.small', 1, 2048, 10),
    ('lab.medium', 2, 4096, 20),
    ('lab.large', 4, 8192, 40),
    ('lab.xlarge', 8, 16384, 80),
]


def connect(cloud):
    return openstack.connect(cloud=cloud)


def identity(password, catalogue):
    """Projects, users and roles, and the service catalogue."""
    ident = connect('admin-r1').identity
    accounts(ident, password)
    endpoints(ident, catalogue)


def accounts(ident, password):
    roles = {r: ident.find_role(r) or ident.create_role(name=r)
             for r in ('admin', 'member', 'reader', 'service')}
    projects = {p: ident.find_project(p) or ident.create_project(name=p, domain_id='default')
                for p in ('service', 'ci', 'ci-small')}
    for name, project, grants in USERS:
        user = ident.find_user(name) or ident.create_user(
            name=name, password=password, domain_id='default',
            default_project_id=projects[project].id)
        for grant in grants:
            ident.assign_project_role_to_user(projects[project], user, roles[grant])


def endpoints(ident, catalogue):
    """The catalogue has one "region|type|name|url" per line."""
    services = {s.type: s for s in ident.services()}
    have = {(e.service_id, e.region_id, e.interface): e for e in ident.endpoints()}
    for line in catalogue.split():
        region, kind, name, url = line.split('|')
        if not ident.find_region(region):
            ident.create_region(id=region)
        if kind not in services:
            services[kind] = ident.create_service(type=kind, name=name)
        for interface in ('public', 'internal', 'admin'):
            endpoint = have.get((services[kind].id, region, interface))
            if endpoint is None:
                ident.create_endpoint(service_id=services[kind].id, interface=interface,
                                      region_id=region, url=url)
            elif endpoint.url != url:
                ident.update_endpoint(endpoint, url=url)


def resources(r, public_key):
    """Flavors, quotas, the image and the networks of region number r."""
    admin = connect('admin-r' + r)
    for name, vcpus, ram, disk in FLAVORS:
        if not admin.compute.find_flavor(name):
            admin.compute.create_flavor(name=name, vcpus=vcpus, ram=ram, disk=disk)
    quotas(admin)
    image(admin)
    zone(admin, 'spare', 'spare-r' + r)
    public = public_network(admin.network)
    project_contents(connect('ci-r' + r), 'ci', '10.10.0.0/16', public, public_key)
    project_contents(connect('ci-small-r' + r), 'ci-small', '10.11.0.0/16', public, public_key)


def quotas(admin):
    ci = admin.identity.find_project('ci')
    small = admin.identity.find_project('ci-small')
    admin.set_compute_quotas(ci.id, instances=10000, cores=80000, ram=160000000,
                             key_pairs=5000, server_groups=1000,
                             server_group_members=1000, metadata_items=128)
    admin.set_compute_quotas(small.id, instances=5, cores=10, ram=20480)
    admin.set_network_quotas(small.id, floatingip=3, port=10, network=2,
                             subnet=2, router=1)
    if admin.has_service('block-storage'):
        admin.set_volume_quotas(ci.id, volumes=5000, gigabytes=1000000, snapshots=1000)


def zone(admin, name, host):
    """An availability zone of one host."""
    aggregate = admin.get_aggregate(name) or admin.create_aggregate(name, availability_zone=name)
    if host not in (aggregate.hosts or []):
        admin.add_host_to_aggregate(name, host)


def image(admin):
    """The fake hypervisor never reads it: one MiB that says what it is."""
    if admin.image.find_image('lab-image'):
        return
    path = os.path.join(os.environ['LAB_VAR'], 'lab-image.raw')
    with open(path, 'wb') as f:
        f.write(b'image of the lab, not bootable\n'.ljust(1 << 20, b'\0'))
    admin.create_image('lab-image', filename=path, disk_format='raw',
                       container_format='bare', visibility='public', wait=True,
                       min_ram=0, min_disk=1)


def public_network(net):
    """The external network: floating IPs come from here."""
    public = net.find_network('public') or net.create_network(
        name='public', is_router_external=True,
        provider_network_type='flat', provider_physical_network='public')
    if not net.find_subnet('public-v4', network_id=public.id):
        net.create_subnet(name='public-v4', network_id=public.id, ip_version=4,
                          cidr='172.24.0.0/16', gateway_ip='172.24.0.1',
                          enable_dhcp=False)
    return public


def project_contents(cloud, project, cidr, public, public_key):
    """A network behind a router, a security group and a keypair."""
    net = cloud.network
    own = {'project_id': cloud.current_project_id}
    network = net.find_network(project + '-net', **own) \
        or net.create_network(name=project + '-net')
    subnet = net.find_subnet(project + '-v4', network_id=network.id) or net.create_subnet(
        name=project + '-v4', network_id=network.id, ip_version=4, cidr=cidr,
        enable_dhcp=False)
    router = net.find_router(project + '-router') or net.create_router(
        name=project + '-router', external_gateway_info={'network_id': public.id})
    if not list(net.ports(device_id=router.id, device_owner='network:router_interface')):
        net.add_interface_to_router(router, subnet_id=subnet.id)
    if not net.find_security_group(project + '-sg', **own):
        group = net.create_security_group(name=project + '-sg')
        net.create_security_group_rule(security_group_id=group.id, direction='ingress',
                                       protocol='tcp', port_range_min=22,
                                       port_range_max=22, ethertype='IPv4')
        net.create_security_group_rule(security_group_id=group.id, direction='ingress',
                                       protocol='icmp', ethertype='IPv4')
    if not cloud.compute.find_keypair('lab-key'):
        cloud.compute.create_keypair(name='lab-key', public_key=public_key)


def kvm(directory):
    """Availability zone, flavor, network and image of the real guests."""
    admin = connect('admin-r1')
    zone(admin, 'kvm', 'kvm-r1')
    if not admin.compute.find_flavor('lab.kvm'):
        admin.compute.create_flavor(name='lab.kvm', vcpus=1, ram=512, disk=1)
    net = admin.network
    network = net.find_network('kvm-net') or net.create_network(
        name='kvm-net', provider_network_type='flat', provider_physical_network='kvm',
        is_shared=True)
    if not net.find_subnet('kvm-v4', network_id=network.id):
        net.create_subnet(name='kvm-v4', network_id=network.id, ip_version=4,
                          cidr='10.99.0.0/24', gateway_ip=None, enable_dhcp=True,
                          allocation_pools=[{'start': '10.99.0.10', 'end': '10.99.0.250'}])
    if not admin.image.find_image('kvm-image'):
        kvm_image(admin, directory)


def kvm_image(admin, directory):
    def upload(name, file, **properties):
        return admin.create_image(name, filename=os.path.join(directory, file),
                                  visibility='public', wait=True, **properties)
    kernel = upload('kvm-kernel', 'vmlinuz', disk_format='aki', container_format='aki')
    initrd = upload('kvm-initrd', 'initrd', disk_format='ari', container_format='ari')
    upload('kvm-image', 'disk.raw', disk_format='raw', container_format='bare',
           kernel_id=kernel.id, ramdisk_id=initrd.id, min_disk=1, min_ram=256,
           os_command_line='root=/dev/vda console=ttyS0')


def main(what, *args):
    if what == 'identity':
        identity(*args)
    elif what == 'resources':
        number, key_file = args
        with open(key_file) as f:
            resources(number, f.read())
    elif what == 'kvm':
        kvm(*args)
    else:
        sys.exit('contents.py: unknown: ' + what)


main(*sys.argv[1:])
