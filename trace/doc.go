// Package trace tells an OpenTelemetry collector of the lives of nodes and
// requests: one trace for each node, and one for each request.
//
// A span is made when a phase is over, by the peer that wrote the end of it, from
// the times in the record. Trace and span ids follow from the names of what they
// are of, so that peers add to the same trace without knowing of one another. A
// peer that dies loses the spans that it had not sent yet, and nothing else; one
// whose write got no answer loses the spans of that write.
//
// Nothing waits for the collector: spans wait in a queue of bounded length, and
// what finds no room there, or is not taken, is dropped and counted.
package trace
