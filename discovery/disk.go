package discovery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/skerry/skerry/internal/run"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/registry"
)

// diskLimit is how long the start and the stop wait for a disk that hangs.
const diskLimit = 2 * time.Second

// savedAge is how long the state file keeps a service that no process resolves any more.
const savedAge = 30 * 24 * time.Hour

// savedList is the state file.
type savedList struct {
	Cluster  string                  `json:"cluster"`
	Saved    time.Time               `json:"saved"`
	Services map[string]savedService `json:"services"`
}

type savedService struct {
	Seen time.Time           `json:"seen"`
	List []registry.Instance `json:"list"`
}

// instances are the entries that this package could have written, in order.
func (s savedService) instances() []registry.Instance {
	list := slices.DeleteFunc(slices.Clone(s.List),
		func(in registry.Instance) bool { return in.Check() != nil })
	slices.SortFunc(list, registry.Compare)
	return slices.CompactFunc(list, func(a, b registry.Instance) bool { return a.ID() == b.ID() })
}

// restore reads the state file and updates the services that were resolved already. A start goes on
// without an unusable file.
func (d *Discovery) restore() {
	if d.cfg.StateFile == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), diskLimit)
	defer cancel()
	saved, err := run.Read(ctx, &d.disk,
		func() (savedList, error) { return readSaved(d.cfg.StateFile, d.cfg.Cluster) }, nil)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.cfg.Logger.Warn("last known list not used", "file", d.cfg.StateFile, "err", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.saved, d.remembers = saved, true
	for name, s := range *d.services.Load() {
		d.remind(s, name)
	}
}

// remind gives a new service the list of the state file. d.mu is held.
func (d *Discovery) remind(s *service, name string) {
	list := d.saved.Services[name].instances()
	list = slices.DeleteFunc(list, func(in registry.Instance) bool { return in.Service != name })
	if !d.remembers || len(list) == 0 {
		return
	}
	s.heardFrom(s.u.disk(),
		registry.Snapshot{Service: name, Source: Disk, Instances: list, Read: d.saved.Saved, Partial: true})
}

func readSaved(path, cluster string) (savedList, error) {
	var saved, empty savedList
	b, err := statedir.ReadFile(path)
	if err != nil {
		return empty, fmt.Errorf("read last known list: %w", err)
	}
	if err := json.Unmarshal(b, &saved); err != nil {
		return empty, fmt.Errorf("read last known list: %w", err)
	}
	if saved.Cluster != cluster {
		return empty, fmt.Errorf("it is of cluster %q, this is %q", saved.Cluster, cluster)
	}
	return saved, nil
}

// saveLoop saves every saveEvery, when something changed.
func (d *Discovery) saveLoop(ctx context.Context) error {
	for run.Sleep(ctx, saveEvery) == nil {
		d.save()
	}
	return nil
}

// save writes the state file if lists have changed since the last time.
func (d *Discovery) save() {
	if d.cfg.StateFile == "" {
		return
	}
	text, err := d.toSave(time.Now())
	if err == nil && text == nil {
		return
	}
	if err == nil {
		ctx, cancel := context.WithTimeout(context.Background(), diskLimit)
		defer cancel()
		err = d.disk.Do(ctx, func() error { return writeFile(d.cfg.StateFile, text) }, nil)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unsaved = d.unsaved || err != nil // the next save tries again
	switch {
	case err == nil:
		d.saveFailed = false
	case !d.saveFailed:
		d.cfg.Logger.Warn(
			"last known list not saved: a start without any registry would find an older one; it is tried again",
			"file", d.cfg.StateFile, "err", err)
		d.saveFailed = true
	}
}

// toSave is the text of the state file; nil when nothing has changed.
func (d *Discovery) toSave(now time.Time) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.collect(now) {
		return nil, nil
	}
	text, err := json.Marshal(d.saved)
	if err != nil {
		return nil, fmt.Errorf("encode: %w", err)
	}
	return text, nil
}

// collect brings d.saved up to date and reports whether it has to be
// written. d.mu is held.
func (d *Discovery) collect(now time.Time) bool {
	changed := d.unsaved
	d.unsaved = false
	for name, s := range *d.services.Load() {
		list, known := s.listed()
		old, had := d.saved.Services[name]
		if !known || !had && len(list) == 0 {
			continue
		}
		changed = changed || !slices.EqualFunc(old.List, list, registry.Instance.Equal)
		if d.saved.Services == nil {
			d.saved.Services = map[string]savedService{}
		}
		d.saved.Services[name] = savedService{Seen: now, List: list}
	}
	for name, s := range d.saved.Services {
		if now.Sub(s.Seen) > savedAge {
			delete(d.saved.Services, name)
			changed = true
		}
	}
	if changed {
		d.saved.Cluster, d.saved.Saved = d.cfg.Cluster, now
	}
	return changed
}

// listed is the list for a cold start: every instance that may be called. known is false while no
// source has answered, so that an empty list does not replace the saved one.
func (s *service) listed() (list []registry.Instance, known bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.u.order {
		if m.buried == nil {
			in := *m.in
			in.Leaving = false // a source must say it again
			list = append(list, in)
		}
	}
	heard := slices.ContainsFunc(s.u.sources[:s.u.disk()], func(src sourceState) bool { return src.answered })
	settled, _ := s.u.settled(time.Now())
	return list, heard && (settled || len(list) > 0)
}

// writeFile replaces a file, so that a crash leaves the old one or the new one.
func writeFile(path string, text []byte) error {
	if err := statedir.Make(filepath.Dir(path)); err != nil {
		return err
	}
	return statedir.WriteFile(path, text)
}
