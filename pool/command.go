package pool

import (
	"slices"
	"time"
)

// Verb is what an operator wants done.
type Verb string

// The verbs that exist.
const (
	// VerbDelete deletes the target node.
	VerbDelete Verb = "node-delete"
	// VerbForceDelete deletes the target node though it is in use or held.
	VerbForceDelete Verb = "node-force-delete"
	// VerbHold keeps the target node for a human.
	VerbHold Verb = "node-hold"
	// VerbUnhold ends a hold: the node is deleted.
	VerbUnhold Verb = "node-unhold"
	// VerbExplain asks what becomes of the target request, CLIENT/ID, and why.
	VerbExplain Verb = "request-explain"
	// VerbBuild builds the target image now.
	VerbBuild Verb = "image-build"
	// VerbWithdrawBuild takes the target build, IMAGE/BUILD, out of service.
	VerbWithdrawBuild Verb = "build-withdraw"
	// VerbRestoreBuild puts a build that was withdrawn back into service.
	VerbRestoreBuild Verb = "build-restore"
	// VerbDeleteBuild deletes the target build with its files and uploads.
	VerbDeleteBuild Verb = "build-delete"
	// VerbWithdrawUpload takes the upload of the target build in a provider
	// out of service.
	VerbWithdrawUpload Verb = "upload-withdraw"
	// VerbRestoreUpload puts an upload that was withdrawn back into service.
	VerbRestoreUpload Verb = "upload-restore"
	// VerbDeleteUpload deletes an upload, and has it not made again.
	VerbDeleteUpload Verb = "upload-delete"
	// VerbRetryUpload makes an upload anew without waiting.
	VerbRetryUpload Verb = "upload-retry"
	// VerbPauseImage stops the builds of the target image, and VerbUnpauseImage
	// lets them go on; the operator carries both out himself.
	VerbPauseImage   Verb = "image-pause"
	VerbUnpauseImage Verb = "image-unpause"
	// VerbPauseProvider stops the launches in the target provider, and
	// VerbUnpauseProvider lets them go on, as for images.
	VerbPauseProvider   Verb = "provider-pause"
	VerbUnpauseProvider Verb = "provider-unpause"
	// VerbFreeze stops the launches everywhere, and VerbUnfreeze lets them go on;
	// they have no target, and the operator carries both out himself.
	VerbFreeze   Verb = "freeze"
	VerbUnfreeze Verb = "unfreeze"
	// VerbDrainPeer has the target peer take no duty that another can do, and
	// VerbUndrainPeer ends that, as for pauses.
	VerbDrainPeer   Verb = "peer-drain"
	VerbUndrainPeer Verb = "peer-undrain"
	// VerbForgetPeer removes what the target peer had, which does not run.
	VerbForgetPeer Verb = "peer-forget"
	// VerbEraseProvider forgets what there is of the target provider; the operator
	// carries it out himself, in several writes.
	VerbEraseProvider Verb = "provider-erase"
	// VerbRemoveLeaks agrees to the removal of the named leaks of the target
	// provider.
	VerbRemoveLeaks Verb = "leak-remove"
)

// Command is an operator's wish, made by poolctl or the web pages under a lease
// of 10 minutes and applied by the owner of the edge it asks for, who writes the
// result in the same transaction as the effect.
type Command struct {
	V    int    `json:"v"`
	Verb Verb   `json:"verb"`
	Node NodeID `json:"node,omitempty"`
	// Target is an image's name for verbs about images, IMAGE/BUILD for those
	// about builds and uploads, CLIENT/ID for those about requests, a
	// provider's name for those about providers and leaks, a peer's for those
	// about peers.
	Target string `json:"target,omitempty"`
	// Provider is where an upload is.
	Provider string `json:"provider,omitempty"`
	// Leaks are the keys of the leaks that are meant; see [Leak.Key].
	Leaks []string `json:"leaks,omitempty"`
	// By is who asks, for the timeline.
	By     string    `json:"by"`
	Reason string    `json:"reason,omitempty"`
	TTL    string    `json:"ttl,omitempty"`
	At     time.Time `json:"at"`
	// Done is set together with Error ("" when it was applied).
	Done  bool   `json:"done,omitempty"`
	Error string `json:"error,omitempty"`
	// Explanation is the answer to VerbExplain.
	Explanation *Explanation `json:"explanation,omitempty"`
	// NotFound tells an error about a target that does not exist from a
	// refusal.
	NotFound bool `json:"not_found,omitempty"`

	ID string `json:"-"`

	Record
}

// Suits tells whether a command about a node makes sense for it as it is: nodes
// that somebody has are only deleted with force, and none that goes away already.
func (v Verb) Suits(n *Node) bool {
	given := n.State == NodeReady && n.AllocatedTo != nil
	return slices.Contains(suitable(n.State), v) && (!given || v == VerbForceDelete)
}

// suitable are the commands that make sense in a state.
func suitable(s NodeState) []Verb {
	switch s {
	case NodePending, NodeBuilding:
		return []Verb{VerbDelete, VerbForceDelete}
	case NodeReady:
		return []Verb{VerbDelete, VerbForceDelete, VerbHold}
	case NodeInUse:
		return []Verb{VerbForceDelete, VerbHold}
	case NodeHold:
		return []Verb{VerbForceDelete, VerbUnhold}
	case NodeFailed:
		return []Verb{VerbHold}
	case NodeUsed, NodeDeleting, NodeDeleted:
	}
	return nil
}

// Why says who wants it and why, for records and timelines.
func (c *Command) Why() string {
	if c.Reason == "" {
		return "by " + c.By
	}
	return "by " + c.By + ": " + c.Reason
}
