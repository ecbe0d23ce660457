package sim

import (
	"poold/cloud/sim"
)

// Fault is a kind of thing that goes wrong, a column of the table.
type Fault string

// The faults between a process and etcd.
const (
	FaultUnavailable   Fault = "etcd-unavailable"
	FaultCommitDropped Fault = "etcd-dropped"
	FaultCommitLate    Fault = "etcd-late"
	FaultReplyLost     Fault = "etcd-reply-lost"
	FaultSlow          Fault = "etcd-slow"
	FaultWatchBroken   Fault = "watch-broken"
	FaultCompacted     Fault = "watch-compacted"
	FaultCut           Fault = "network-cut"
	FaultEtcdDown      Fault = "etcd-down"
	FaultLeaseLost     Fault = "lease-lost"
)

// The faults of peers.
const (
	FaultKill     Fault = "peer-killed"
	FaultFreeze   Fault = "peer-frozen"
	FaultHandover Fault = "handover"
	FaultClock    Fault = "clock-off"
	FaultConfig   Fault = "old-configuration"
)

// The faults of clouds.
const (
	FaultUnanswered   Fault = "503"
	FaultCallCut      Fault = "call-cut"
	FaultCallLost     Fault = "call-reply-lost"
	FaultErrorAfter   Fault = "500-after"
	FaultLimited      Fault = "429"
	FaultLimitedAfter Fault = "429-retry-after"
	FaultQuotaCall    Fault = "403-quota"
	FaultInvalid      Fault = "400"
	FaultConflict     Fault = "409"
	FaultForbidden    Fault = "403"
	FaultToken        Fault = "token-revoked"
	FaultSlowCall     Fault = "call-slow"
	FaultCreateLate   Fault = "create-late"
	FaultNoHost       Fault = "no-valid-host"
	FaultServerQuota  Fault = "error-quota"
	FaultServerError  Fault = "error-other"
	FaultStuckBuild   Fault = "stuck-build"
	FaultNoSSH        Fault = "no-ssh"
	FaultVanish       Fault = "vanish"
	FaultStuckDelete  Fault = "stuck-delete"
	FaultStaleList    Fault = "stale-list"
	FaultCellDown     Fault = "cell-down"
	FaultZoneGone     Fault = "zone-gone"
	FaultQuotaChange  Fault = "quota-change"
	FaultByHand       Fault = "deleted-by-hand"
	FaultOutage       Fault = "outage"
)

// The faults of clients.
const (
	FaultClientDead Fault = "client-died"
)

// faults lists every kind, in the order of the table.
func allFaults() []Fault {
	return []Fault{
		FaultUnavailable, FaultCommitDropped, FaultCommitLate, FaultReplyLost, FaultSlow,
		FaultWatchBroken, FaultCompacted, FaultCut, FaultEtcdDown, FaultLeaseLost,
		FaultKill, FaultFreeze, FaultHandover, FaultClock, FaultConfig,
		FaultUnanswered, FaultCallCut, FaultCallLost, FaultErrorAfter, FaultLimited, FaultLimitedAfter,
		FaultQuotaCall, FaultInvalid, FaultConflict, FaultForbidden, FaultToken, FaultSlowCall,
		FaultCreateLate,
		FaultNoHost, FaultServerQuota, FaultServerError, FaultStuckBuild, FaultNoSSH, FaultVanish,
		FaultStuckDelete, FaultStaleList, FaultCellDown, FaultZoneGone, FaultQuotaChange, FaultByHand, FaultOutage,
		FaultClientDead,
	}
}

// kindOf names a fault of a simulated cloud.
func kindOf(f sim.Fault) Fault {
	switch f.Kind {
	case sim.FaultStatus:
		return statusKind(f)
	case sim.FaultCut:
		if f.On == "" {
			return FaultOutage
		}
		return FaultCallCut
	case sim.FaultLostReply:
		return FaultCallLost
	case sim.FaultStatusAfter:
		return FaultErrorAfter
	case sim.FaultSlow:
		return FaultSlowCall
	case sim.FaultRevoke:
		return FaultToken
	case sim.FaultServerError:
		return serverKind(f)
	case sim.FaultStuckBuild, sim.FaultNoSSH, sim.FaultVanish, sim.FaultStuckDelete,
		sim.FaultStaleList, sim.FaultCellDown, sim.FaultZoneGone:
	case sim.FaultImageKilled, sim.FaultImageDeleted, sim.FaultImportFails:
	}
	return Fault(f.Kind)
}

func statusKind(f sim.Fault) Fault {
	switch f.Status {
	case 400:
		return FaultInvalid
	case 403:
		if f.Body != "" {
			return FaultQuotaCall
		}
		return FaultForbidden
	case 409:
		return FaultConflict
	case 413, 429:
		if f.RetryAfter > 0 {
			return FaultLimitedAfter
		}
		return FaultLimited
	}
	return FaultUnanswered
}

func serverKind(f sim.Fault) Fault {
	switch f.Body {
	case bodyNoHost:
		return FaultNoHost
	case bodyQuota:
		return FaultServerQuota
	}
	return FaultServerError
}

// What clouds say.
const (
	bodyNoHost = "No valid host was found."
	bodyQuota  = "Quota exceeded for cores: Requested 1, but already used 20 of 20 cores"
	bodyOther  = "Build of instance was re-scheduled: something odd"
)
