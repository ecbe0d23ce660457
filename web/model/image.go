package model

import (
	"slices"
	"strings"
	"time"

	"poold/pool"
)

// Matrix is how fresh the images are in each provider.
type Matrix struct {
	Providers []string
	Rows      []Image
}

// Image is one image, built and in each provider.
type Image struct {
	Name string
	// Paused is why it is not built; empty if it is.
	Paused string
	// Serving is the newest build that is ready, Newest the newest of all; nil
	// if there is none.
	Serving, Newest *pool.Build
	// Cells are one for each provider of the matrix.
	Cells []Cell
}

// Cell is one image in one provider.
type Cell struct {
	Provider string
	// Wanted says that the configuration has the image there.
	Wanted bool
	// Serving is the upload that nodes are made from, Coming the one that is on
	// its way or failed since; nil if there is none.
	Serving, Coming *pool.Upload
	// Built is when what serves was built.
	Built time.Time
	// Behind says that there is a newer build than the one that serves.
	Behind bool
}

// Percent is how much of what is coming was sent.
func (c *Cell) Percent() int {
	if c.Coming == nil || c.Coming.Bytes <= 0 {
		return 0
	}
	return int(min(100, 100*c.Coming.SentBytes/c.Coming.Bytes))
}

// Sums is in how many of the providers that are to have an image it is how fresh.
type Sums struct {
	// Newest have the newest build that is ready, Behind an older one, Missing
	// none.
	Newest, Behind, Missing int
	// To have one on its way, in Failed the last one did not get there, and in Bad
	// launches from it fail.
	To, Failed, Bad int
}

// Sums counts the cells.
func (i *Image) Sums() Sums {
	var s Sums
	for j := range i.Cells {
		c := &i.Cells[j]
		if !c.Wanted {
			continue
		}
		switch {
		case c.Serving == nil:
			s.Missing++
		case c.Behind:
			s.Behind++
		default:
			s.Newest++
		}
		if c.Serving != nil && c.Serving.Failing != "" {
			s.Bad++
		}
		switch {
		case c.Coming == nil:
		case c.Coming.State == pool.UploadFailed:
			s.Failed++
		default:
			s.To++
		}
	}
	return s
}

func matrix(in *Input) Matrix {
	var m Matrix
	for i := range in.Catalog.Providers {
		if len(in.Catalog.Providers[i].Images) > 0 {
			m.Providers = append(m.Providers, in.Catalog.Providers[i].Name)
		}
	}
	slices.Sort(m.Providers)
	uploads := map[pool.Use][]*pool.Upload{}
	for _, u := range in.Records.Uploads {
		use := pool.Use{Provider: u.Provider, Image: u.Image}
		uploads[use] = append(uploads[use], u)
	}
	for i := range in.Catalog.Images {
		m.Rows = append(m.Rows, image(in, &in.Catalog.Images[i], m.Providers, uploads))
	}
	slices.SortFunc(m.Rows, func(a, b Image) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func image(in *Input, conf *pool.Image, providers []string, uploads map[pool.Use][]*pool.Upload) Image {
	row := Image{Name: conf.Name}
	if conf.Paused {
		row.Paused = "paused by the configuration"
	}
	if p := in.Records.Pause(conf.Name); p != nil {
		row.Paused = p.Text()
	}
	builds := in.Records.BuildsOf(conf.Name)
	for _, b := range builds {
		if row.Newest == nil {
			row.Newest = b
		}
		if row.Serving == nil && b.State == pool.BuildReady && b.Withdrawn == "" {
			row.Serving = b
		}
	}
	for _, name := range providers {
		cell := Cell{Provider: name}
		p := in.Catalog.Provider(name)
		cell.Wanted = slices.ContainsFunc(p.Images, func(use pool.ProviderImage) bool { return use.Name == conf.Name })
		cell.fill(uploads[pool.Use{Provider: name, Image: conf.Name}], builds)
		cell.Behind = cell.Serving != nil && row.Serving != nil && cell.Serving.Build != row.Serving.ID
		row.Cells = append(row.Cells, cell)
	}
	return row
}

// fill finds the uploads of the builds, which are newest first; all of them are of
// the image in the provider.
func (c *Cell) fill(uploads []*pool.Upload, builds []*pool.Build) {
	for _, b := range builds {
		for _, u := range uploads {
			if u.Build == b.ID && c.Serving == nil {
				c.take(u, b)
			}
		}
	}
}

// take takes in an upload of a build that is older than those before.
func (c *Cell) take(u *pool.Upload, b *pool.Build) {
	switch u.State {
	case pool.UploadReady:
		if u.Withdrawn == "" {
			c.Serving, c.Built = u, b.Created
		}
	case pool.UploadPending, pool.UploadUploading, pool.UploadTrial, pool.UploadFailed:
		if c.Coming == nil {
			c.Coming = u
		}
	case pool.UploadDeleting, pool.UploadDeleted:
	}
}
