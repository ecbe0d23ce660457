// Package sim is a simulated cloud: the state of one region of an
// OpenStack-like service, with quotas, capacity, boot times, rate limits,
// tokens that expire, lists that lie, and faults that are put in as values.
//
// It has two faces over the same [Cloud]: the [Driver], which is what the
// simulator steps, and package openstackapi, which is the same cloud over
// HTTP. Both ask [Cloud.Begin] about every call before they do it, so a fault,
// a count or a limit works the same on either.
//
// Time is an argument. A Cloud has no goroutines and reads no clock: whatever
// was due is done when a method is called with a later time, in the order of
// its due times. Times never go back; an earlier one counts as the latest
// seen. With equal seeds, calls and times everything is equal, ids included.
// Only [SSHD], which lets booted servers answer on loopback addresses, does
// I/O; leave it out in a synctest bubble.
package sim
