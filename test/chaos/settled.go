package chaos

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"poold/test/demo"
)

// uploadRecord is what the judge looks at in the record of an upload.
type uploadRecord struct {
	State      string
	Provider   string
	ExternalID string `json:"external_id"`
	Bytes      int64
}

// now is what the records say and what the clouds have, at one time.
type now struct {
	nodes   []nodeRecord
	uploads []uploadRecord
	servers []demo.Server
	images  []demo.Image
	objects []string
}

// unsettled lists everything in the records that the clouds do not have and
// the other way round, and everything that is still on its way.
func (n now) unsettled() []string {
	servers, images := map[string]bool{}, map[string]*demo.Image{}
	for _, s := range n.servers {
		servers[s.ID] = true
	}
	for i := range n.images {
		if n.images[i].Properties["poold_installation"] != "" || strings.HasPrefix(n.images[i].Name, "poold ") {
			images[n.images[i].ID] = &n.images[i]
		}
	}
	var left []string
	for i := range n.nodes {
		left = append(left, n.nodes[i].unsettled(servers)...)
		delete(servers, n.nodes[i].InstanceID)
	}
	for _, u := range n.uploads {
		left = append(left, u.unsettled(images)...)
		delete(images, u.ExternalID)
	}
	for id := range servers {
		left = append(left, "no record has the server "+id)
	}
	for id := range images {
		left = append(left, "no record has the image "+id)
	}
	for _, name := range n.objects {
		left = append(left, "nobody needs the object "+name)
	}
	slices.Sort(left)
	return left
}

func (n *nodeRecord) unsettled(servers map[string]bool) []string {
	at := fmt.Sprintf("node %s of %s ", n.ID, n.Provider)
	switch {
	case n.State == "deleted" && servers[n.InstanceID]:
		return []string{at + "is deleted and has the server " + n.InstanceID}
	case n.State == "deleted":
		return nil
	case n.State != "ready":
		return []string{at + "is " + n.State}
	case !servers[n.InstanceID]:
		return []string{at + "has no server " + n.InstanceID}
	case n.AllocatedTo != nil:
		return []string{fmt.Sprintf("%sbelongs to %v, which is over", at, n.ref())}
	}
	return nil
}

// A ready upload has an image with all of its data, never an empty one.
func (u *uploadRecord) unsettled(images map[string]*demo.Image) []string {
	at := "the upload to " + u.Provider + " "
	image := images[u.ExternalID]
	switch {
	case u.State == "deleted" && image != nil:
		return []string{at + "is deleted and has the image " + u.ExternalID}
	case u.State == "deleted":
		return nil
	case u.State != "ready":
		return []string{at + "is " + u.State}
	case image == nil:
		return []string{at + "has no image " + u.ExternalID}
	case image.Status != "active" || image.Bytes != u.Bytes || u.Bytes == 0:
		return []string{fmt.Sprintf("%sof %d bytes has the image %s, which is %s and has %d", at, u.Bytes, u.ExternalID, image.Status, image.Bytes)}
	}
	return nil
}

// revealed lists the records, and the files by their names, that say a secret
// (I10).
func revealed(secret string, history []event, files map[string][]byte) []string {
	var all []string
	for _, e := range history {
		if bytes.Contains(e.value, []byte(secret)) {
			all = append(all, fmt.Sprintf("at revision %d %s: it has the password of the clouds", e.revision, e.key))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if bytes.Contains(files[name], []byte(secret)) {
			all = append(all, name+" has the password of the clouds")
		}
	}
	return all
}

// outcome is how a client's request ended.
type outcome struct {
	name  string
	nodes []string
	// declined says that the client did not accept what it was offered.
	declined bool
	// err is why the request was lost.
	err error
}

// lost lists the requests that were not served, and the nodes that two clients
// were given.
func lost(outcomes []outcome) []string {
	var problems []string
	users := map[string]string{}
	for _, o := range outcomes {
		if o.err != nil {
			problems = append(problems, fmt.Sprintf("lost: %s: %v", o.name, o.err))
		}
		if o.declined {
			continue
		}
		for _, id := range o.nodes {
			if users[id] != "" {
				problems = append(problems, fmt.Sprintf("node %s was given to %s and to %s", id, users[id], o.name))
			}
			users[id] = o.name
		}
	}
	return problems
}
