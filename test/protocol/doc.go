// Package protocol is a CI system written from docs/protocol.md alone: it asks
// for nodes through the JSON gateway of etcd, with nothing but net/http, and
// imports no package of poold. What it cannot do the page does not tell.
package protocol
