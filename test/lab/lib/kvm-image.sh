# The image of the real guests, and how they run.

KVM_IMAGE=$VAR/kvm-image

# A Debian with sshd and nothing else. Boots from a kernel and initrd held in
# glance (no bootloader). Takes the network from DHCP and root's ssh key from
# nova's config drive, and prints its host keys on the console as cloud-init does.
build_kvm_image() {
	[ -e "$KVM_IMAGE/done" ] && return 0
	local root=$KVM_IMAGE/root mirror
	# the mirror apt already uses
	# shellcheck disable=SC2016 # apt-get fills these in, not the shell
	mirror=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(COMPONENT)' |
		awk '$2 == "bookworm" && $3 == "main" {print $1; exit}')
	[ -n "$mirror" ] || die "no apt source for bookworm main"
	say "building the guest image (debootstrap)"
	rm -rf "$KVM_IMAGE"; mkdir -p "$root"
	once kvm-image debootstrap --variant=minbase \
		--include=linux-image-cloud-amd64,openssh-server,systemd-sysv,udev,iproute2 \
		bookworm "$root" "$mirror"
	cat >"$root/etc/systemd/network/dhcp.network" <<-E
	[Match]
	Name=en* eth*
	[Network]
	DHCP=ipv4
	LinkLocalAddressing=no
	E
	cat >"$root/usr/local/sbin/lab-config-drive" <<-'E'
	#!/bin/sh
	# root's ssh keys and the host name, from nova's config drive
	mkdir -p /run/config /root/.ssh
	mount -o ro /dev/disk/by-label/config-2 /run/config || exit 1
	grep -o 'ssh-[a-z0-9-]* [A-Za-z0-9+/=]*' /run/config/openstack/latest/meta_data.json \
		| sort -u >/root/.ssh/authorized_keys
	hostname "$(sed -n 's/.*"name": "\([^"]*\)".*/\1/p' /run/config/openstack/latest/meta_data.json | head -n 1)"
	chmod 700 /root/.ssh; umount /run/config
	[ -e /etc/ssh/ssh_host_ed25519_key ] || ssh-keygen -A
	{
		echo "-----BEGIN SSH HOST KEY KEYS-----"
		cat /etc/ssh/ssh_host_*_key.pub
		echo "-----END SSH HOST KEY KEYS-----"
	} >/dev/console
	E
	chmod 755 "$root/usr/local/sbin/lab-config-drive"
	cat >"$root/etc/systemd/system/lab-config-drive.service" <<-E
	[Unit]
	Before=ssh.service
	Wants=systemd-udev-settle.service
	After=systemd-udev-settle.service
	[Service]
	Type=oneshot
	ExecStart=/usr/local/sbin/lab-config-drive
	[Install]
	WantedBy=multi-user.target
	E
	rm -f "$root"/etc/ssh/ssh_host_* "$root/etc/machine-id"; touch "$root/etc/machine-id"
	echo '/dev/vda / ext4 defaults 0 1' >"$root/etc/fstab"
	mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
	ln -sf /lib/systemd/system/systemd-networkd.service \
		"$root/etc/systemd/system/multi-user.target.wants/"
	ln -sf /etc/systemd/system/lab-config-drive.service \
		"$root/etc/systemd/system/multi-user.target.wants/"
	cp "$root"/boot/vmlinuz-* "$KVM_IMAGE/vmlinuz"
	cp "$root"/boot/initrd.img-* "$KVM_IMAGE/initrd"
	rm -rf "${root:?}"/boot/* "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
	once kvm-image mke2fs -q -t ext4 -d "$root" "$KVM_IMAGE/disk.raw" 1000M
	rm -rf "$root"
	touch "$KVM_IMAGE/done"
}

# Does a guest really run with /dev/kvm? (Opening it proves nothing.) The
# kernel of the image must reach its console within 20 seconds.
kvm_or_qemu() {
	[ -e "$KVM_IMAGE/virt-type" ] && { cat "$KVM_IMAGE/virt-type"; return; }
	local t=qemu
	if [ -w /dev/kvm ] && timeout 20 qemu-system-x86_64 -accel kvm -cpu host -m 256 \
		-display none -serial stdio -no-reboot -kernel "$KVM_IMAGE/vmlinuz" \
		-append 'console=ttyS0 panic=-1' 2>/dev/null </dev/null |
		grep -qa 'Unable to mount root'; then t=kvm; fi
	echo $t | tee "$KVM_IMAGE/virt-type"
}
