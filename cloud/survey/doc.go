// Package survey asks a cloud whether it has what a provider's configuration
// counts on: credentials, flavors, images, networks, security groups, key pairs,
// zones, quota, formats. It changes nothing there, and what it finds it finds all
// at once: one thing that is wrong hides no other, but for a cloud that cannot be
// asked at all, which is one finding.
package survey
