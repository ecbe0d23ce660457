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

// service stands in for etcd and poold: it has the request job-17 answered with
// one node. A program opens etcd with poold/store/kv/etcdkv instead.
func service(ctx context.Context) *memkv.KV {
	db := memkv.New(time.Now())
	go func() { _ = db.Run(ctx) }() // ends with ctx
	go func() {
		for batch := range db.Watch(ctx, client.DefaultPrefix+"/requests/ci/", 1) {
			for _, e := range batch.Events {
				if e.Item.Value == nil {
					continue // the request is gone
				}
				answer, err := json.Marshal(pool.Allocation{
					State: pool.AllocationFulfilled, RequestRevision: e.Item.CreateRevision,
					Nodes: []pool.AllocatedNode{{ID: "n1", Label: "ubuntu-noble", InterfaceIP: "192.0.2.7"}},
				})
				if err != nil {
					panic(err)
				}
				_, _, _ = db.Commit(ctx, kv.Txn{Then: []kv.Op{kv.Put(client.DefaultPrefix+"/allocations/ci/job-17", answer)}})
			}
		}
	}()
	return db
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
