// Package cloudsyaml reads clouds.yaml and what belongs to it as openstacksdk
// does: files and environment in, one cloud and region out, resolved and
// checked, or errors that each name file and line, what is wrong and the way
// out. No error, note or printed value quotes a secret.
//
// The layers, of which a later one goes over an earlier one:
//
//	defaults < vendor profile < clouds.yaml < secure.yaml < values of the region
//
// and the environment is a cloud of its own, "envvars". It makes no network
// call; what only the cloud can tell (which identity API an address without a
// version speaks) it says is to be asked. docs/clouds.md is the reference.
package cloudsyaml
