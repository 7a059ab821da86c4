package agent

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

// What the agent keeps, so that the disk does not fill up by itself.
const (
	collectEvery = time.Hour
	collectAfter = time.Minute        // after the last step: what went may be garbage now
	youngTime    = 7 * 24 * time.Hour // an artifact that no plan has named yet stays so long
	maxEnded     = 10                 // logs of instances of one service that the plan does not want

	planPin = "plan"
)

// instancePin is the reason for which the artifact of an instance is kept.
func instancePin(i plan.Instance) string { return "instance " + i.String() }

// collect removes what nothing on this host needs: artifacts of the store that neither run nor stand in the plan and
// are not among the last good versions, unpacked ones beside nothing that runs, and old logs of instances.
func (a *Agent) collect(ctx context.Context, seen []Instance, wanted []plan.Wanted) error {
	named := map[artifact.Digest]bool{}
	wants := map[plan.Instance]bool{}
	for _, w := range wanted {
		named[w.Artifact], wants[w.Instance] = true, true
	}
	runs := map[artifact.Digest][]string{}
	unpacked := map[string]bool{}
	for _, s := range seen {
		if i := s.record.Instance; s.alive || wants[i] {
			d := s.record.Artifact
			runs[d] = append(runs[d], instancePin(i))
			unpacked[unpackedName(d)] = true
		}
	}
	for d := range named {
		unpacked[unpackedName(d)] = true
	}
	if err := a.repin(ctx, named, runs); err != nil {
		return err
	}
	_, _, err := a.store.GC(ctx, artifact.Garbage{Keep: a.config.Keep, Age: youngTime})
	return errors.Join(err, a.removeUnpacked(unpacked), a.removeEnded(ctx, seen, wants))
}

// repin gives each artifact of the store the reasons of now. Those of other tools and of people stay.
func (a *Agent) repin(ctx context.Context, named map[artifact.Digest]bool, runs map[artifact.Digest][]string) error {
	all, err := a.store.List()
	if err != nil {
		return err
	}
	for _, x := range all {
		want := slices.Clone(runs[x.Digest])
		if named[x.Digest] {
			want = append(want, planPin)
		}
		for _, reason := range want {
			if !slices.Contains(x.Pins, reason) {
				err = errors.Join(err, a.store.Pin(ctx, x.Digest, reason))
			}
		}
		for _, reason := range x.Pins {
			own := reason == planPin || strings.HasPrefix(reason, "instance ")
			if own && !slices.Contains(want, reason) {
				err = errors.Join(err, a.store.Unpin(ctx, x.Digest, reason))
			}
		}
	}
	return err
}

// unpackedName is the directory of an unpacked artifact, in artifacts/.
func unpackedName(d artifact.Digest) string {
	hex := d.Hex()
	return hex[:min(32, len(hex))]
}

// removeUnpacked removes unpacked artifacts, and what an unpacking that was interrupted has left.
func (a *Agent) removeUnpacked(keep map[string]bool) error {
	dir := filepath.Join(a.config.Dir, "artifacts")
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		if keep[e.Name()] {
			continue
		}
		// A directory with its own name is whole: it loses the name first.
		path := filepath.Join(dir, e.Name())
		gone := filepath.Join(dir, ".gone-"+strings.TrimPrefix(e.Name(), ".gone-"))
		if path != gone {
			if renameErr := os.Rename(path, gone); renameErr != nil {
				err = errors.Join(err, renameErr)
				continue
			}
		}
		err = errors.Join(err, os.RemoveAll(gone))
	}
	return err
}

// removeEnded removes the oldest logs of a service with many instances that have ended.
func (a *Agent) removeEnded(ctx context.Context, seen []Instance, wants map[plan.Instance]bool) (err error) {
	ended := map[string][]Instance{}
	for _, s := range seen {
		if i := s.record.Instance; !s.alive && !wants[i] {
			ended[i.Service] = append(ended[i.Service], s)
		}
	}
	for _, list := range ended {
		slices.SortFunc(list, func(a, b Instance) int { return b.Since.Compare(a.Since) })
		for _, s := range list[min(maxEnded, len(list)):] {
			err = errors.Join(err, a.forget(ctx, s.record))
		}
	}
	return err
}

// remove takes away what an instance has left, when its log was kept long enough.
func (a *Agent) remove(ctx context.Context, i plan.Instance) error {
	if gone, err := a.leaveProxy(ctx, i); !gone {
		return err
	}
	info, err := os.Stat(filepath.Join(a.instanceDir(i), "state.json"))
	if err == nil && time.Since(info.ModTime()) < keepTime {
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	now, _ := a.watches.get(i)
	return a.forget(ctx, now.record)
}

// forget removes an instance that has ended from the disk.
func (a *Agent) forget(ctx context.Context, r record) error {
	i := r.Instance
	err := a.store.Unpin(ctx, r.Artifact, instancePin(i))
	if err != nil && !errors.Is(err, artifact.ErrNotFound) {
		return err
	}
	delete(a.tries, i)
	delete(a.proxyTries, i)
	a.watches.end(i)
	a.proxies.end(i)
	return errors.Join(os.RemoveAll(a.proxyDir(i)), os.RemoveAll(a.workDir(i)),
		os.RemoveAll(filepath.Join(a.config.Dir, "files", dirName(i))), os.RemoveAll(a.instanceDir(i)))
}
