package launcher

import (
	"testing"
	"time"

	"poold/cloud"
	"poold/pool"
)

// A node with a boot volume is deleted when the volume is gone too, and the
// volume is on record before anybody could attach another.
func TestVolumeThatStays(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].BootFromVolume = true
		w.start()
		w.store.add("n1")
		pass(30 * time.Second)
		w.want(pool.NodeReady, 1)
		n := w.store.node("n1")
		if len(n.Volumes) != 1 || n.Volumes[0] != "vol-"+n.InstanceID {
			w.t.Fatalf("volumes on record: %v", n.Volumes)
		}
		w.cloud.stays[n.Volumes[0]] = 3
		w.store.move(pool.NodeInUse, "n1")
		// A client's own volume.
		w.cloud.mu.Lock()
		w.cloud.find(n.InstanceID).Volumes = []string{n.Volumes[0], "theirs"}
		w.cloud.stays["theirs"] = 1
		w.cloud.mu.Unlock()
		pass(10 * time.Minute)
		w.store.move(pool.NodeUsed, "n1")
		pass(10 * time.Second)
		w.want(pool.NodeDeleting, 1)
		w.end()
		w.start() // the next owner knows it from the record
		pass(2 * time.Minute)
		w.want(pool.NodeDeleted, 1)
		if w.cloud.stays[n.Volumes[0]] != 0 || w.cloud.stays["theirs"] != 1 {
			w.t.Errorf("volumes that are left: %v", w.cloud.stays)
		}
		if w.cloud.called("ports") != 0 {
			w.t.Error("ports of a node that never failed were looked for")
		}
		w.end()
	})
}

// The volume of a node that is given up while it is built is on record before
// its instance is deleted.
func TestVolumeOfAnUnfinishedNode(t *testing.T) {
	bubble(t, func(w *world) {
		w.cfg.Provider.Pools[0].Labels[0].BootFromVolume = true
		w.cloud.boot = 5 * time.Minute
		w.start()
		w.store.add("n1")
		pass(firstSweep + 5*time.Second) // the sweep's list shows it
		w.want(pool.NodeBuilding, 1)
		w.store.move(pool.NodeDeleting, "n1")
		pass(time.Second)
		n := w.store.node("n1")
		if len(n.Volumes) != 1 {
			w.t.Fatalf("volumes on record: %v", n.Volumes)
		}
		pass(2 * time.Minute)
		w.want(pool.NodeDeleted, 1)
		if w.cloud.called("remove volume") == 0 {
			w.t.Error("nobody looked for the volume")
		}
		w.end()
	})
}

// The ports that a failed launch left are removed; those of a node that went
// well cost no call.
func TestPortThatStays(t *testing.T) {
	bubble(t, func(w *world) {
		w.cloud.broken = func(cloud.Instance) (string, cloud.Kind) { return "no luck", cloud.Transient }
		w.start()
		w.store.add("n1")
		w.cloud.mu.Lock()
		w.cloud.ports["id-0001"] = []string{"port"}
		w.cloud.mu.Unlock()
		pass(3 * time.Minute)
		w.want(pool.NodeDeleted, 1)
		if len(w.cloud.ports) != 0 {
			w.t.Errorf("ports are left: %v", w.cloud.ports)
		}
		w.end()
	})
}

// A delete without effect is forced, where the cloud lets us.
func TestForcedDelete(t *testing.T) {
	for name, unforced := range map[string]bool{"allowed": false, "refused": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(w *world) {
				w.cloud.stuck = func(cloud.Instance) bool { return true }
				w.cloud.unforced = unforced
				w.start()
				w.store.add("n1")
				pass(20 * time.Second)
				w.store.move(pool.NodeDeleting, "n1")
				pass(30 * time.Minute)
				deletes, forces := w.cloud.called("delete"), w.cloud.called("force")
				if unforced {
					w.want(pool.NodeDeleting, 1)
					if forces != 1 || deletes < 4 {
						w.t.Errorf("%d plain deletes and %d forced ones where force is refused", deletes, forces)
					}
				} else {
					w.want(pool.NodeDeleted, 1)
					if forces != 1 || deletes != forceFrom-1 {
						w.t.Errorf("%d plain deletes and %d forced ones", deletes, forces)
					}
				}
				w.end()
			})
		})
	}
}
