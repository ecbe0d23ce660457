package web

import (
	"slices"

	"poold/pool"
	"poold/web/login"
)

// offered is what a page offers to be done.
type offered struct {
	Verb pool.Verb
	// Targets are what it can be done with.
	Targets []string
	// Text is what it is called, Says what it means.
	Text, Says string
	// Grave says that it cannot be undone, or takes something from somebody.
	Grave bool
}

// Holds tells whether it is asked for how long.
func (o offered) Holds() bool { return o.Verb == pool.VerbHold }

// offers is a page with things that can be done.
type offers interface{ offers() []offered }

// acts are what a page offers to who may act.
func (s *Server) acts(v login.Visitor, data any) []offered {
	page, ok := data.(offers)
	if !ok || s.Operate == nil || !v.MayAct() {
		return nil
	}
	return page.offers()
}

func (d nodeData) offers() []offered {
	id := []string{string(d.Node.ID)}
	all := []offered{
		{Verb: pool.VerbHold, Targets: id, Text: "Hold", Says: "It is kept for a human, and given to nobody else."},
		{Verb: pool.VerbUnhold, Targets: id, Text: "End the hold", Says: "It is deleted.", Grave: true},
		{Verb: pool.VerbDelete, Targets: id, Text: "Delete", Says: "Its server is deleted.", Grave: true},
		{Verb: pool.VerbForceDelete, Targets: id, Text: "Take away and delete", Says: "Somebody has it: it is taken away, and its server is deleted.", Grave: true},
	}
	suits := func(o offered) bool {
		return o.Verb.Suits(d.Node) && (o.Verb != pool.VerbForceDelete || !pool.VerbDelete.Suits(d.Node))
	}
	return slices.DeleteFunc(all, func(o offered) bool { return !suits(o) })
}

func (d imageData) offers() []offered {
	name := []string{d.Name}
	var all []offered
	if d.Image != nil {
		all = append(all, offered{Verb: pool.VerbBuild, Targets: name, Text: "Build now", Says: "Whatever the age of the newest build is."})
	}
	if d.Paused {
		all = append(all, offered{Verb: pool.VerbUnpauseImage, Targets: name, Text: "Unpause", Says: "It is built again when it is due."})
	} else {
		all = append(all, offered{Verb: pool.VerbPauseImage, Targets: name, Text: "Pause", Says: "It is not built any more. What there is serves."})
	}
	var serve, out []string
	for _, b := range d.Builds {
		switch {
		case b.State != pool.BuildReady:
		case b.Withdrawn != "":
			out = append(out, b.Image+"/"+b.ID)
		default:
			serve = append(serve, b.Image+"/"+b.ID)
		}
	}
	if len(serve) > 0 {
		all = append(all, offered{
			Verb: pool.VerbPauseImage, Targets: serve, Text: "Take a build out of service", Grave: true,
			Says: "The build before it serves from then on. Idle nodes of it are deleted.",
		})
	}
	if len(out) > 0 {
		all = append(all, offered{Verb: pool.VerbUnpauseImage, Targets: out, Text: "Put a build back", Says: "It serves again."})
	}
	return all
}

func (d providerData) offers() []offered {
	name := []string{d.Name}
	if d.Paused != nil {
		return []offered{{Verb: pool.VerbUnpauseProvider, Targets: name, Text: "Unpause", Says: "Nodes are launched there again."}}
	}
	return []offered{{
		Verb: pool.VerbPauseProvider, Targets: name, Text: "Pause",
		Says: "Nothing is launched there any more. What is ready is given out, and images are brought there.",
	}}
}
