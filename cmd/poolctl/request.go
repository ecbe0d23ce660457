package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"poold/client"
	"poold/pool"
)

// defaultClient is in whose name poolctl asks.
const defaultClient = "poolctl"

// row is a request with its answer, if there is one.
type row struct {
	*pool.Request

	Answer *pool.Allocation `json:"allocation,omitempty"`
	// Client and ID shadow the request's, which are not part of its value.
	Client string `json:"client"`
	ID     string `json:"id"`
}

func (r row) state() string {
	if r.Answer == nil {
		return string(pool.AllocationWaiting)
	}
	return string(r.Answer.State)
}

// why is what an operator wants to know about a request at a glance.
func (r row) why() string {
	if r.Answer == nil {
		return "not seen by an allocator yet"
	}
	if r.Answer.Error != "" {
		return r.Answer.Error
	}
	if len(r.Answer.Reasons) == 0 {
		return ""
	}
	// The others would not fit a line; request show has them.
	first := r.Answer.Reasons[0]
	why := first.Provider + ": " + first.Text
	if n := len(r.Answer.Reasons) - 1; n > 0 {
		why += fmt.Sprintf(" (and %d more)", n)
	}
	return why
}

func (r row) nodes() string {
	if r.Answer == nil {
		return ""
	}
	var ids []string
	for _, n := range r.Answer.Nodes {
		ids = append(ids, string(n.ID))
	}
	return strings.Join(ids, ",")
}

func request(e *env) *cobra.Command {
	return noun("request", "Requests: list, show, explain, create, delete",
		requestList(e), requestShow(e), requestExplain(e), requestCreate(e), requestDelete(e))
}

func rows(s *pool.Snapshot) []row {
	answers := s.Answers()
	list := make([]row, 0, len(s.Requests))
	for _, r := range s.Requests {
		list = append(list, row{Request: r, Answer: answers[r.Ref()], Client: r.Client, ID: r.ID})
	}
	return list
}

func requestTable() table[row] {
	return table[row]{
		name: func(r row) string { return r.Client + "/" + r.ID },
		columns: []column[row]{
			{title: "CLIENT", value: func(r row) string { return r.Client }},
			{title: "ID", value: func(r row) string { return r.ID }},
			{title: "STATE", value: row.state},
			{title: "PRIORITY", value: func(r row) string { return fmt.Sprint(r.EffectivePriority()) }},
			{title: "LABELS", value: func(r row) string { return strings.Join(r.Labels, ",") }},
			{title: "NODES", value: row.nodes},
			{title: "WHY", value: row.why},
		},
	}
}

func requestList(e *env) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "List requests and why they wait", Args: exactly(0)}
	return e.shows(cmd, nil, func(w io.Writer, s *pool.Snapshot) error {
		return requestTable().print(w, e.output, rows(s))
	})
}

func requestShow(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "show CLIENT/ID", Short: "Show a request and its answer", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := e.snapshot(cmd.Context())
			if err != nil {
				return err
			}
			for _, r := range rows(s) {
				if r.Client+"/"+r.ID != args[0] {
					continue
				}
				if encoded(e.output) {
					return encode(cmd.OutOrStdout(), e.output, r)
				}
				return show(cmd.OutOrStdout(), e.output, r)
			}
			return fmt.Errorf("request %s: %w", args[0], pool.ErrNotFound)
		},
	}
}

// show prints a request and, below it, why each provider has not served it.
func show(w io.Writer, format string, r row) error {
	err := requestTable().print(w, format, []row{r})
	if err != nil || format == formatName || r.Answer == nil || len(r.Answer.Reasons) == 0 {
		return err
	}
	reasons := table[pool.Reason]{columns: []column[pool.Reason]{
		{title: "PROVIDER", value: func(r pool.Reason) string { return r.Provider }},
		{title: "CLASS", value: func(r pool.Reason) string { return r.Class }},
		{title: "NEXT", value: func(r pool.Reason) string { return clock(r.Next) }},
		{title: "WHY", value: func(r pool.Reason) string { return r.Text }},
	}}
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	return reasons.print(w, format, r.Answer.Reasons)
}

// clock shows a time that is near, or nothing.
func clock(at *time.Time) string {
	if at == nil {
		return ""
	}
	return at.Format("15:04:05")
}

func requestExplain(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "explain CLIENT/ID", Short: "Say for each provider why a request waits", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			done, err := e.carriedOut(cmd.Context(), pool.Command{Verb: pool.VerbExplain, Target: args[0]})
			if err != nil {
				return err
			}
			if done.Explanation == nil {
				return errors.New("the command was carried out without an answer")
			}
			return explain(cmd.OutOrStdout(), e.output, done.Explanation)
		},
	}
}

// placeTable leaves the longest column, the reason, for last.
func placeTable() table[pool.Place] {
	return table[pool.Place]{
		name: func(p pool.Place) string { return p.Where() },
		columns: []column[pool.Place]{
			{title: "PROVIDER", value: func(p pool.Place) string { return p.Provider }},
			{title: "POOL", value: func(p pool.Place) string { return p.Pool }},
			{title: "AZ", value: func(p pool.Place) string { return p.AZ }},
			{title: "CLASS", value: func(p pool.Place) string { return p.Class }},
			{title: "NEXT", value: func(p pool.Place) string { return clock(p.Next) }},
			{title: "WHY", value: func(p pool.Place) string { return p.Text }},
		},
	}
}

func explain(w io.Writer, format string, x *pool.Explanation) error {
	if encoded(format) {
		return encode(w, format, x)
	}
	if format == formatName {
		return placeTable().print(w, format, x.Places)
	}
	_, err := fmt.Fprintln(w, x.Intro())
	if err == nil && len(x.Places) > 0 {
		err = placeTable().print(w, format, x.Places)
	}
	if err == nil {
		_, err = fmt.Fprintln(w, x.Outcome)
	}
	return err
}

// ask is what request create was told.
type ask struct {
	labels             []string
	client, id, tenant string
	provider, prefer   string
	priority           int
	wait               bool
	ttl, timeout       time.Duration
}

func requestCreate(e *env) *cobra.Command {
	var a ask
	cmd := &cobra.Command{
		Use: "create --label L [--label L2]", Short: "Ask for nodes", Args: exactly(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return e.create(cmd.Context(), cmd.OutOrStdout(), a)
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&a.labels, "label", nil, "a label; once per node")
	f.StringVar(&a.client, "client", defaultClient, "in whose name")
	f.StringVar(&a.id, "id", "", "the request's id; a new one if not said")
	f.StringVar(&a.tenant, "tenant", "", "whose limits the nodes count against")
	f.StringVar(&a.provider, "provider", "", "only this provider will do")
	f.StringVar(&a.prefer, "prefer", "", "this provider, if that costs no time")
	f.IntVar(&a.priority, "priority", pool.DefaultPriority, "lower is served first")
	f.DurationVar(&a.ttl, "ttl", 4*time.Hour, "delete the request after this time, answered or not")
	f.BoolVar(&a.wait, "wait", false, "wait for the answer and print it")
	f.DurationVar(&a.timeout, "timeout", 10*time.Minute, "how long to wait")
	return cmd
}

// create asks, and with --wait waits for the answer. A request that was not
// answered in time is withdrawn.
func (e *env) create(ctx context.Context, w io.Writer, a ask) (err error) {
	if len(a.labels) == 0 {
		return fmt.Errorf("%w: which label? Say --label NAME, once per node", errUsage)
	}
	if a.id == "" {
		if a.id, err = pool.NewID(rand.Reader); err != nil {
			return err
		}
	}
	return e.open(ctx, func(at *conn) error {
		c, err := at.client(a.client)
		if err != nil {
			return err
		}
		req, err := c.Create(ctx, a.id, pool.Request{
			Labels: a.labels, Priority: &a.priority, Tenant: a.tenant, Provider: a.provider, Prefer: a.prefer, MaxLifetime: a.ttl.String(),
		}, 0)
		if err != nil {
			return err
		}
		if a.wait {
			return e.await(ctx, w, req, a)
		}
		return e.printName(w, a)
	})
}

// printName prints how the request is called from now on.
func (e *env) printName(w io.Writer, a ask) error {
	if encoded(e.output) {
		return encode(w, e.output, map[string]string{"client": a.client, "id": a.id})
	}
	_, err := fmt.Fprintln(w, a.client+"/"+a.id)
	return err
}

func (e *env) await(ctx context.Context, w io.Writer, req *client.Request, a ask) error {
	waiting, cancel := context.WithTimeoutCause(ctx, a.timeout, errors.New("no answer within "+a.timeout.String()))
	defer cancel()
	answer, err := req.Wait(waiting)
	if err != nil {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTime)
		defer cancel()
		return errors.Join(fmt.Errorf("request %s/%s: %w", a.client, a.id, err), req.Close(closing))
	}
	if err := e.printAnswer(w, a.client+"/"+a.id, answer); err != nil {
		return err
	}
	if answer.State == pool.AllocationFailed {
		return fmt.Errorf("request %s/%s failed: %s", a.client, a.id, answer.Error)
	}
	return nil
}

// closeTime bounds the withdrawal of a request that was not answered.
const closeTime = 5 * time.Second

func (e *env) printAnswer(w io.Writer, name string, answer *pool.Allocation) error {
	t := table[pool.AllocatedNode]{
		name: func(n pool.AllocatedNode) string { return string(n.ID) },
		columns: []column[pool.AllocatedNode]{
			{title: "REQUEST", value: func(pool.AllocatedNode) string { return name }},
			{title: "NODE", value: func(n pool.AllocatedNode) string { return string(n.ID) }},
			{title: "LABEL", value: func(n pool.AllocatedNode) string { return n.Label }},
			{title: "PROVIDER", value: func(n pool.AllocatedNode) string { return n.Provider }},
			{title: "CONNECT", value: func(n pool.AllocatedNode) string {
				return fmt.Sprintf("%s@%s port %d", n.Username, n.InterfaceIP, n.Port)
			}},
			{title: "HOST KEYS", wide: true, value: func(n pool.AllocatedNode) string { return strings.Join(n.HostKeys, ", ") }},
		},
	}
	if encoded(e.output) {
		return encode(w, e.output, answer)
	}
	return t.print(w, e.output, answer.Nodes)
}

func requestDelete(e *env) *cobra.Command {
	return &cobra.Command{
		Use: "delete CLIENT/ID", Short: "End a request: its nodes are destroyed", Args: exactly(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name, id, ok := strings.Cut(args[0], "/")
			if !ok {
				return fmt.Errorf("%w: %q: a request is named CLIENT/ID", errUsage, args[0])
			}
			return e.open(cmd.Context(), func(at *conn) error {
				c, err := at.client(name)
				if err != nil {
					return err
				}
				return c.Delete(cmd.Context(), id)
			})
		},
	}
}
