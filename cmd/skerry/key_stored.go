package main

import (
	"context"

	"github.com/skerry/skerry/config"
	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sitekey"
)

// placeStored is the place of keys outside this host's files.
const placeStored = "the database"

// keysInForce returns the keys that processes of this configuration use: those of
// files, else those of the database.
func (a *app) keysInForce(ctx context.Context) (keys, error) {
	k, err := a.keys()
	if err != nil || len(k.found) > 0 {
		return k, err
	}
	return k, a.addStored(ctx, &k)
}

// addStored adds the keys of the database, if the configuration has one.
func (a *app) addStored(ctx context.Context, k *keys) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	if c = c.WithDefaults(); c.Mode == config.ModeBroadcast || c.Database.URL == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.flags.timeout)
	defer cancel()
	k.stored = true
	texts, err := storedKeys(ctx, c)
	if err != nil {
		return unreachablef("no file of this host holds a key of the site %s, and of the database is not known "+
			"whether it does: %w", k.cluster, err)
	}
	for _, text := range texts {
		key, err := sitekey.Parse(text)
		if err != nil {
			return problemf("a key in the database is none: %w", err)
		}
		k.found = append(k.found, keyfile.Key{Line: sitekey.Line{Key: key}, Path: placeStored})
	}
	return nil
}

// refuseBesideStored returns an error when the database has a key. The processes of
// this host would use a new key file, and all others the key of the database.
func (a *app) refuseBesideStored(ctx context.Context, k keys) error {
	if err := a.addStored(ctx, &k); err != nil {
		a.note("%v", err) // a key file precedes the database, so it may be made without it
		return nil
	}
	if len(k.found) == 0 {
		return nil
	}
	return problemf("the database holds the key %s already, and every process with this database uses it; for a host "+
		"without the database: skerry key show | ssh HOST skerry key set; to change it: skerry key rotate",
		k.found[0].Key.Fingerprint())
}
