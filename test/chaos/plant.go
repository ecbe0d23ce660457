//go:build chaos || lab

package chaos

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"poold/test/proc"
)

// PlantUser gives a node that is in use to somebody else, by its record, as a poold
// without fences and compares could. Clients must ask meanwhile.
func (s *Storm) PlantUser() {
	s.t.Helper()
	proc.Await(s.t, "a node is given twice", time.Minute, func() (string, bool) {
		answer, err := s.recorder.etcd.Get(s.t.Context(), prefix+"nodes/", clientv3.WithPrefix())
		if err != nil {
			return err.Error(), false
		}
		for _, item := range answer.Kvs {
			// Every record of a node holds its earlier states, too.
			var n nodeRecord
			if err := json.Unmarshal(item.Value, &n); err != nil || n.State != "in-use" {
				continue
			}
			changed := strings.Replace(string(item.Value), `"client":"ci"`, `"client":"other"`, 1)
			key := string(item.Key)
			done, err := s.recorder.etcd.Txn(s.t.Context()).
				If(clientv3.Compare(clientv3.ModRevision(key), "=", item.ModRevision)).
				Then(clientv3.OpPut(key, changed)).Commit()
			return fmt.Sprint(err), err == nil && done.Succeeded
		}
		return "no node is in use", false
	})
}
