package skerry

import (
	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/state"
	"github.com/skerry/skerry/internal/trust"
)

// trustOf is the trust.Config of a configuration.
func trustOf(c Config) trust.Config {
	return trust.Config{
		Cluster:   c.Cluster,
		Mode:      c.Site.KeyMode(),
		KeyFiles:  c.Site.Keys,
		Key:       c.LAN.Key,
		Operators: c.Site.Operators,
	}
}

// storeKeys sets the site's keys from the database, and saves them for a start without it.
func (n *Node) storeKeys(texts []string) {
	if err := n.trust.Store(texts); err != nil {
		n.log.Error("the site's keys in the database are not used", "err", err)
		return
	}
	if n.trust.Mode() != "" {
		return
	}
	if err := n.files.Write(state.Keys, texts); err != nil {
		n.log.Warn("the site's keys are not kept: a start without the database will find no other process", "err", err)
	}
}

// loadKeys sets the keys that an earlier run has read from the database.
func (n *Node) loadKeys() {
	if n.mode() == config.ModeBroadcast {
		return
	}
	texts, err := state.Read[[]string](n.files, state.Keys)
	if err == nil {
		err = n.trust.Store(texts)
	}
	if err != nil {
		n.log.Warn("the kept keys of the site can't be read; the database tells them again", "err", err)
	}
}
