// Package client asks poold for nodes on behalf of a CI system. It is the
// protocol of docs/protocol.md as a library and knows nothing else of poold:
// one key it writes, one key it watches.
//
//	req, err := c.Create(ctx, "job-17", pool.Request{Labels: []string{"ubuntu-noble"}}, time.Minute)
//	answer, err := req.Wait(ctx)   // waits for fulfilled or failed
//	... use answer.Nodes ...
//	err = req.Close(ctx)           // the nodes are destroyed
//
// A request lives under a lease that is kept alive in the background until
// Close. If the process dies, so does the lease, and with it the request: no
// node is ever stranded. A process that is back before the lease ends takes its
// request up again with Resume, by its id, with the nodes that it has.
package client
