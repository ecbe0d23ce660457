package model

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// imageTroubles tells of images that are not built, do not get to a provider,
// or do not work there.
func imageTroubles(in *Input) []Trouble {
	var all []Trouble
	serving := in.Records.Serving()
	for i := range in.Catalog.Images {
		name := in.Catalog.Images[i].Name
		builds := in.Records.BuildsOf(name)
		if t, bad := buildTrouble(name, builds); bad {
			all = append(all, t)
		}
		for _, u := range in.Records.Uploads {
			if u.Image == name {
				serves := serving[pool.Use{Provider: u.Provider, Image: name}]
				all = append(all, uploadTroubles(u, len(serves) > 0 && serves[0] == u)...)
			}
		}
	}
	return all
}

// buildTrouble tells of an image whose newest builds failed.
func buildTrouble(image string, builds []*pool.Build) (Trouble, bool) {
	var newest *pool.Build
	var since time.Time
	for _, b := range builds {
		if b.WasReady() || b.Error == "" && b.State != pool.BuildBuilding {
			break
		}
		if b.Error == "" {
			continue // under way
		}
		if newest == nil {
			newest = b
		}
		since = failedBuild(b)
	}
	if newest == nil {
		return Trouble{}, false
	}
	return Trouble{
		Class: "build-fails", Of: image, Image: image, Since: since, Path: ImagePath(image),
		Text: fmt.Sprintf("image %s cannot be built on %s: %s", image, newest.Builder, newest.Error),
	}, true
}

func failedBuild(b *pool.Build) time.Time {
	for _, e := range b.Timeline {
		if e.State == pool.BuildFailed {
			return e.At
		}
	}
	return b.Since
}

// uploadTroubles tells of an upload. One from which launches fail is a trouble as
// long as it is the newest that serves: not once it was withdrawn, or there is one
// of a newer build.
func uploadTroubles(u *pool.Upload, newest bool) []Trouble {
	t := Trouble{
		Of: u.Image + " in " + u.Provider, Provider: u.Provider, Image: u.Image, Since: u.Since, Path: ImagePath(u.Image),
	}
	switch {
	case newest && u.Failing != "":
		t.Class = "image-bad"
		t.Text = fmt.Sprintf("image %s is bad in %s: %s", u.Image, u.Provider, u.Failing)
	case u.State == pool.UploadFailed:
		t.Class = "upload-fails"
		t.Text = fmt.Sprintf("image %s does not get to %s: %s", u.Image, u.Provider, u.Error)
	default:
		return nil
	}
	return []Trouble{t}
}

// duties tells of what no peer does.
func duties(in *Input) []Trouble {
	var owned []string
	for _, m := range in.Records.Members {
		owned = append(owned, m.Owns...)
	}
	nobody := func(key, text, path string) []Trouble {
		if slices.Contains(owned, key) {
			return nil
		}
		return []Trouble{{Class: NobodyDoes, Of: key, Text: text, Path: path}}
	}
	all := nobody("allocator", "no peer allocates: requests are not answered", "/peers")
	for i := range in.Catalog.Providers {
		name := in.Catalog.Providers[i].Name
		all = append(all, nobody("provider/"+name, "no peer launches in "+name, ProviderPath(name))...)
	}
	for i := range in.Catalog.Images {
		image := &in.Catalog.Images[i]
		if !image.Recipe() {
			continue // nobody is meant to
		}
		text := "no peer builds " + image.Name
		if image.SnapshotOf != nil {
			text += ": its builder needs the cloud of " + image.SnapshotOf.Provider
		}
		all = append(all, nobody("image/"+image.Name, text, ImagePath(image.Name))...)
	}
	return all
}

// The paths of the pages of what has a name.

// ProviderPath is that of a provider.
func ProviderPath(name string) string { return "/providers/" + escape(name) }

// ImagePath is that of an image.
func ImagePath(name string) string { return "/images/" + escape(name) }

// LabelPath is that of a label.
func LabelPath(name string) string { return "/labels/" + escape(name) }

// PeerPath is that of a peer.
func PeerPath(name string) string { return "/peers/" + escape(name) }

// NodePath is that of a node.
func NodePath(id pool.NodeID) string { return "/nodes/" + escape(string(id)) }

// RequestPath is that of a request.
func RequestPath(client, id string) string { return "/requests/" + escape(client) + "/" + escape(id) }

// escape makes a name fit for a path and for a query.
func escape(name string) string { return strings.ReplaceAll(url.QueryEscape(name), "+", "%20") }
