package main

import (
	"context"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/event"
	"poold/pool"
)

// completeTime bounds how long a shell waits for names.
const completeTime = 3 * time.Second

// names lists what an argument or a flag may be, by the records.
type names func(*pool.Snapshot) []string

// complete offers names to the shell. If etcd cannot be reached there are none:
// an error would only disturb the line that is being typed.
func (e *env) complete(of names) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		ctx, cancel := context.WithTimeout(cmd.Context(), completeTime)
		defer cancel()
		s, err := e.snapshot(ctx)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		offered := slices.Compact(slices.Sorted(slices.Values(of(s))))
		return slices.DeleteFunc(offered, func(name string) bool {
			name, _, _ = strings.Cut(name, "\t") // what follows describes it
			return slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}

// completions adds names to the arguments and flags of all commands below root:
// what takes an argument takes the names of its noun, but for some verbs.
func (e *env) completions(root *cobra.Command) {
	arguments := map[string]names{
		"node": nodeNames, "request": requestNames, "image": imageNames, "upload": uploadNames, "provider": providerNames,
		"peer": peerNames, "leak": leakNames, "agree": providerNames, root.Name(): nodeNames,
		// nodepool's
		"image-build": imageNames, "image-pause": imageNames, "image-unpause": imageNames, "dib-image-delete": dashedNames,
		"info": providerNames,
	}
	states := map[string][]string{
		"node": plain(pool.NodeMachine().States()), root.Name(): plain(pool.NodeMachine().States()),
		"image": plain(pool.BuildMachine().States()), "upload": plain(pool.UploadMachine().States()),
	}
	for _, noun := range append(root.Commands(), root) {
		for _, verb := range noun.Commands() {
			of := arguments[noun.Name()]
			if own := arguments[verb.Name()]; own != nil {
				of = own
			}
			if argument.MatchString(verb.Use) && !verb.HasSubCommands() {
				verb.ValidArgsFunction = e.complete(of)
			}
			e.completeFlags(verb, map[string]names{
				"provider": providerNames, "label": labelNames, "image": imageNames,
				"state": func(*pool.Snapshot) []string { return states[noun.Name()] },
				"kind":  func(*pool.Snapshot) []string { return event.Kinds() }, "request": requestNames,
			})
		}
	}
}

// argument matches the usage of a command that takes names.
var argument = regexp.MustCompile(`^\S+ [A-Z]+`)

func (e *env) completeFlags(verb *cobra.Command, flags map[string]names) {
	for flag, of := range flags {
		if verb.Flags().Lookup(flag) == nil {
			continue
		}
		if err := verb.RegisterFlagCompletionFunc(flag, e.complete(of)); err != nil {
			panic(err) // registered twice
		}
	}
}

// called lists what records are called.
func called[T any](records []T, name func(T) string) []string {
	list := make([]string, 0, len(records))
	for _, r := range records {
		list = append(list, name(r))
	}
	return list
}

func nodeNames(s *pool.Snapshot) []string {
	var list []string
	for _, n := range s.Nodes {
		if n.State != pool.NodeDeleted {
			list = append(list, string(n.ID)+"\t"+n.Label+" "+string(n.State)+" in "+n.Provider)
		}
	}
	return list
}

func requestNames(s *pool.Snapshot) []string {
	return called(s.Requests, func(r *pool.Request) string { return r.Client + "/" + r.ID })
}

func imageNames(s *pool.Snapshot) []string {
	var list []string
	for _, m := range s.Members {
		list = append(list, m.Images...)
	}
	return list
}

// dashedNames are builds as nodepool calls them.
func dashedNames(s *pool.Snapshot) []string {
	return called(s.Builds, func(b *pool.Build) string { return b.Image + "-" + b.ID })
}

func uploadNames(s *pool.Snapshot) []string {
	return called(s.Uploads, uploadName)
}

func providerNames(s *pool.Snapshot) []string { return slices.Collect(maps.Keys(providers(s))) }

func labelNames(s *pool.Snapshot) []string { return slices.Collect(maps.Keys(labels(s))) }

func peerNames(s *pool.Snapshot) []string {
	return called(s.Members, func(m *pool.Member) string { return m.Name })
}

func leakNames(s *pool.Snapshot) []string {
	return called(leaks(s, ""), func(f found) string { return f.Key() })
}
