package broadcast

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"
)

// keyWait bounds the wait for keys of a database.
const keyWait = 10 * time.Second

// awaitKeys returns when there is a key, or none is awaited any longer. Until then there is no
// socket, because packets under the key of the cluster's name count as forged where the site's key
// is known.
func (r *Registry) awaitKeys(ctx context.Context, n *network) error {
	defer r.unmute()
	if r.cfg.LateKeys == nil {
		return nil
	}
	left := time.NewTimer(keyWait - time.Since(n.begun))
	defer left.Stop()
	for {
		changed := r.keysChanged() // before reading the keys, so that no change is missed
		if ring, _ := usableKeys(r.cfg.Keys()); len(ring) > 0 || r.cfg.Open {
			return nil
		}
		poll := time.NewTimer(scanEvery)
		select {
		case <-changed:
		case <-poll.C:
		case <-r.cfg.LateKeys:
			return nil
		case <-left.C:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		poll.Stop()
	}
}

// unmute makes the process seal packets from now on, by its present keys.
func (r *Registry) unmute() {
	ring, _ := usableKeys(r.cfg.Keys())
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.core.muted {
		return
	}
	r.core.codec = newCodec(r.cfg.Cluster, ring)
	r.core.muted = false
	close(r.unmuted)
}

// awaitUnmuted waits until packets are sealed.
func (r *Registry) awaitUnmuted(ctx context.Context) error {
	select {
	case <-r.unmuted:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// keysChanged is Config.KeysChanged, or nil.
func (r *Registry) keysChanged() <-chan struct{} {
	if r.cfg.KeysChanged == nil {
		return nil
	}
	return r.cfg.KeysChanged()
}

// rekey reads the ring of keys, so that a rotation or the first key takes effect without a restart.
// An empty ring changes nothing, so a key file that is unreadable for a moment cuts no host off.
func (r *Registry) rekey(n *network) {
	ring, bad := usableKeys(r.cfg.Keys())
	r.mu.Lock()
	had := n.ring != nil
	if len(ring) > 0 {
		r.core.codec = newCodec(r.cfg.Cluster, ring)
	} else if !had {
		r.core.codec = newCodec(r.cfg.Cluster, nil)
	}
	r.loopbackOnly = len(ring) == 0 && !had && !r.cfg.Open
	alone := r.loopbackOnly
	r.keyAwaited = alone && r.cfg.LateKeys != nil && time.Since(n.begun) < keyWait
	late := r.keyAwaited
	r.mu.Unlock()

	state := ringState{keys: len(ring), bad: bad, alone: alone, begun: true}
	if state == n.loggedKeys && slices.EqualFunc(ring, n.ring, bytes.Equal) {
		return
	}
	if late {
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
	case len(ring) > 0 && n.loggedKeys.begun:
		log.Info("LAN keys have changed", "keys", len(ring))
	}
	n.loggedKeys = state
	if len(ring) > 0 {
		n.ring = ring
		r.mu.Lock()
		r.core.otherKeys.reset() // the former keys decided about them
		r.mu.Unlock()
		if !had && len(r.links) > 0 { // packets without the key were ignored
			r.do(func(now time.Time) { r.core.linksChanged(now, len(r.links), true) })
		}
	}
}

// keyCommands returns the commands that give two hosts one key.
func keyCommands(cluster string) string {
	return fmt.Sprintf(
		"before a second host joins: skerry key new --cluster %s here, skerry key set --cluster %[1]s there",
		cluster,
	)
}

// ringState is the state of the ring that was last logged.
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
