package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"poold/client"
	"poold/pool"
	"poold/store/kv"
	"poold/store/kv/memkv"
)

// service stands in for etcd and poold: it has the request job-17 answered at
// once. A program opens etcd with poold/store/kv/etcdkv instead.
func service(ctx context.Context) *memkv.KV {
	db := memkv.New(time.Now())
	go func() { _ = db.Run(ctx) }() // ends with ctx
	go func() {
		for batch := range db.Watch(ctx, client.DefaultPrefix+"/requests/ci/", 1) {
			for _, e := range batch.Events {
				if e.Item.Value == nil {
					continue // the request is gone
				}
				answer := answerTo(e.Item)
				_, _, _ = db.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(client.DefaultPrefix+"/allocations/ci/job-17", answer)}})
			}
		}
	}()
	return db
}

// answerTo is what poold would write: the nodes of a request that is to be
// accepted first are ready, and have no address before they are.
func answerTo(request kv.Item) []byte {
	var r pool.Request
	if err := json.Unmarshal(request.Value, &r); err != nil {
		panic(err)
	}
	a := pool.Allocation{State: pool.AllocationFulfilled, RequestRevision: request.CreateRevision}
	for i, label := range r.Labels {
		n := pool.AllocatedNode{ID: pool.NodeID(fmt.Sprint("n", i+1)), Label: label, State: string(pool.NodeReady)}
		if r.Accept != pool.AcceptExplicit || r.Accepted {
			n.State, n.InterfaceIP = string(pool.NodeInUse), fmt.Sprint("192.0.2.", i+7)
		}
		a.Nodes = append(a.Nodes, n)
	}
	answer, err := json.Marshal(a)
	if err != nil {
		panic(err)
	}
	return answer
}

// A job asks for a node, waits for it, uses it and gives it back.
func Example() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(service(ctx), "", "ci")
	if err != nil {
		panic(err)
	}
	req, err := c.Create(ctx, "job-17", pool.Request{Labels: []string{"ubuntu-noble"}}, time.Minute)
	if err != nil {
		panic(err)
	}
	answer, err := req.Wait(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.State, answer.Nodes[0].ID, answer.Nodes[0].InterfaceIP)
	if err := req.Close(ctx); err != nil {
		panic(err)
	}
	// Output: fulfilled n1 192.0.2.7
}

// A CI system that was restarted has the nodes of its jobs again.
func ExampleClient_Resume() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(service(ctx), "", "ci")
	if err != nil {
		panic(err)
	}
	if _, err := c.Create(ctx, "job-17", pool.Request{Labels: []string{"ubuntu-noble"}}, time.Minute); err != nil {
		panic(err)
	}
	// Here the process ends, and another one begins.
	req, err := c.Resume(ctx, "job-17")
	if err != nil {
		panic(err)
	}
	answer, err := req.Wait(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println(answer.State, answer.Nodes[0].ID)
	if err := req.Close(ctx); err != nil {
		panic(err)
	}
	// Output: fulfilled n1
}

// A job that looks at what it is offered accepts the nodes, keeps one of them for
// a human, and gives the other back before it ends.
func ExampleRequest_Accept() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := client.New(service(ctx), "", "ci")
	if err != nil {
		panic(err)
	}
	want := pool.Request{Labels: []string{"ubuntu-noble", "ubuntu-noble"}, Accept: pool.AcceptExplicit}
	req, err := c.Create(ctx, "job-17", want, time.Minute)
	if err != nil {
		panic(err)
	}
	offer, err := req.Wait(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("offered:", offer.Nodes[0].ID, offer.Nodes[1].ID)
	answer, err := req.Accept(ctx)
	if err != nil {
		panic(err)
	}
	fmt.Println("in use:", answer.Nodes[0].InterfaceIP, answer.Nodes[1].InterfaceIP)
	if err := req.Release(ctx, "n2"); err != nil {
		panic(err)
	}
	hold := pool.Hold{Nodes: []pool.NodeID{"n1"}, Reason: "the tests hang, see job 17", TTL: "8h"}
	if err := req.Hold(ctx, hold); err != nil {
		panic(err)
	}
	if err := req.Close(ctx); err != nil {
		panic(err)
	}
	// Output:
	// offered: n1 n2
	// in use: 192.0.2.7 192.0.2.8
}
