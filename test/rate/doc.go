// Package rate tests what a cloud's rate limit does to the whole: allocator and
// launcher of one provider on real records in a model of etcd, with the real
// limiter in front of a simulated cloud that enforces a limit of its own. It
// runs in virtual time.
package rate
