// Package static is the [cloud.Driver] for hosts that are there already. It
// lends their slots: an instance is a slot while it is lent, its zone is the
// host, and to create it changes nothing in the world but that.
//
// There is no cloud to remember what is lent; the records of nodes do. Each
// names its host and slot from before it is asked for until it is given back,
// and whoever makes records gives no slot twice. So a driver is opened with the
// nodes that live, by the one owner that its provider has, and knows from them
// all that is lent. It counts again what it is asked for, and lends no host
// more often than it has slots.
//
// No cloud tells either when a host is gone. The driver looks itself
// ([Driver.Prove]): it connects, reads what an SSH server says first, and its
// host keys when they are not known. Looks at one host are made one after the
// other, and whoever waits for one takes what the last one found, if that is
// new enough: a host with many slots is not flooded with connections, which SSH
// servers take amiss.
//
// A driver is safe for concurrent use.
package static
