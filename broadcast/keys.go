package broadcast

import (
	"bytes"
	"fmt"
	"slices"
	"time"
)

// lateKeys is how long keys of a database are waited for.
const lateKeys = 10 * time.Second

// rekey asks for the ring of keys, so that a rotation, or the first key, takes
// effect without a restart. A ring that becomes empty changes nothing: a file
// that can't be read for a moment cuts no host off.
func (r *Registry) rekey(n *network) {
	ring, bad := usableKeys(r.cfg.Keys())
	r.mu.Lock()
	had := n.ring != nil
	if len(ring) > 0 {
		r.core.codec = newCodec(r.cfg.Cluster, ring)
	} else if !had {
		r.core.codec = newCodec(r.cfg.Cluster, nil)
	}
	r.alone = len(ring) == 0 && !had && !r.cfg.Open
	alone := r.alone
	r.mu.Unlock()

	state := ringState{keys: len(ring), bad: bad, alone: alone, begun: true}
	if state == n.told && slices.EqualFunc(ring, n.ring, bytes.Equal) {
		return
	}
	if alone && r.cfg.LateKeys && time.Since(n.begun) < lateKeys {
		return
	}
	log := r.cfg.Logger
	switch {
	case bad > 0:
		log.Error("LAN keys are passed over: a packet key has 32 bytes", "passed_over", bad, "used", len(ring))
	case len(ring) == 0 && had:
		log.Warn("the key of the site is gone: the LAN goes on with the last one",
			"do", "bring the key back: skerry key set --cluster "+r.cfg.Cluster)
	case alone:
		log.Warn("no key of the site: the LAN is not used, and only processes of this host find each other",
			"do", keyCommands(r.cfg.Cluster))
	case len(ring) > 0 && n.told.begun:
		log.Info("LAN keys have changed", "keys", len(ring))
	}
	n.told = state
	if len(ring) > 0 {
		n.ring = ring
		r.mu.Lock()
		clear(r.core.strays.by) // they were such by the keys of before
		r.mu.Unlock()
	}
}

// keyCommands says how two hosts come to one key.
func keyCommands(cluster string) string {
	return fmt.Sprintf("before a second host joins: skerry key new --cluster %s here, skerry key set --cluster %[1]s there",
		cluster)
}

// ringState is what the log was last told of the ring.
type ringState struct {
	keys, bad    int
	alone, begun bool
}

// usableKeys copies the keys that have the right size, at most ringMost.
func usableKeys(ring [][]byte) (keys [][]byte, bad int) {
	for _, k := range ring {
		if len(k) != keySize || len(keys) == ringMost {
			bad++
			continue
		}
		keys = append(keys, bytes.Clone(k))
	}
	return keys, bad
}
