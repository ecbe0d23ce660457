// Package bench measures poold as a whole: an etcd, a simulated cloud and
// poold as processes of their own, and this one as the CI system that asks. It
// prints one table in which each figure stands beside its goal, beside what
// nodepool takes, and beside a floor that was measured in the same run.
//
// The tests need the build tag bench (`make bench`). How each figure is taken
// is said in docs/benchmarks.md.
package bench
