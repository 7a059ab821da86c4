package console

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skerry/skerry"
	"github.com/skerry/skerry/internal/control"
	"github.com/skerry/skerry/internal/doctor"
)

// examineLimit bounds an examination of the whole site, and the action that asks for it.
const examineLimit = time.Minute

// examination is what the processes of the site have found of themselves and of their hosts.
type examination struct {
	At     time.Time      `json:"at"`
	Hosts  []doctor.Host  `json:"hosts"` // those with problems first
	Silent []silentDoctor `json:"silent"`
}

// silentDoctor is a process that has not examined itself.
type silentDoctor struct {
	Process string `json:"process"`
	Why     string `json:"why"`
	Old     bool   `json:"too_old"` // its release can't
}

// Problems is the number of findings that need an action, those of the silent processes among them.
func (e *examination) Problems() (n int) {
	for _, h := range e.Hosts {
		n += h.Problems()
	}
	for _, s := range e.Silent {
		if !s.Old {
			n++
		}
	}
	return n
}

// Processes is the number of processes that have examined themselves.
func (e *examination) Processes() (n int) {
	for _, h := range e.Hosts {
		n += len(h.Processes)
	}
	return n
}

func examinationOf(found control.Examined, now time.Time) *examination {
	e := &examination{At: now, Hosts: doctor.ByHost(found.Reports), Silent: []silentDoctor{}}
	for _, name := range slices.Sorted(maps.Keys(found.Silent)) {
		err := found.Silent[name]
		e.Silent = append(e.Silent, silentDoctor{name, err.Error(), errors.Is(err, control.ErrNoDoctor)})
	}
	return e
}

// doctors have the processes examine themselves, and keep the last examination.
type doctors struct {
	ask  func(context.Context) (control.Examined, error)
	last atomic.Pointer[examination]
	one  sync.Mutex // held while an examination is under way
}

func doctorsOf(n *skerry.Node) *doctors {
	if n == nil {
		return &doctors{}
	}
	return &doctors{ask: func(ctx context.Context) (control.Examined, error) { return control.Examine(ctx, n) }}
}

// run has the processes examine themselves; it refuses a second time at once.
func (d *doctors) run(ctx context.Context) (*examination, error) {
	if !d.one.TryLock() {
		return nil, refuse("processes.doctor-busy")
	}
	defer d.one.Unlock()
	if d.ask == nil {
		return nil, refuse("processes.doctor-none")
	}
	ctx, cancel := context.WithTimeout(ctx, examineLimit)
	defer cancel()
	found, err := d.ask(ctx)
	if err != nil {
		return nil, err
	}
	e := examinationOf(found, time.Now())
	d.last.Store(e)
	return e, nil
}

// runDoctor is the action of that name.
func (c *handler) runDoctor(ctx context.Context, _ actor, _ url.Values) (outcome, error) {
	e, err := c.doctors.run(ctx)
	if err != nil {
		return outcome{}, err
	}
	return outcome{Said: say("processes.doctor-done", "n", e.Problems(), "processes", e.Processes(), "hosts",
		len(e.Hosts))}, nil
}

// reportPage answers: what may a reader outside of the site see of the last examination?
type reportPage struct {
	Made     bool          `json:"made"` // false: no examination was made yet
	Report   *vendorReport `json:"report"`
	Problems int           `json:"-"`
}

// vendorReport is an examination without the names of the site.
type vendorReport struct {
	At       time.Time      `json:"at"`
	Skerry   string         `json:"skerry"`
	Services int            `json:"services"`
	Count    int            `json:"instances"`
	Problems int            `json:"problems"`
	Hosts    []doctor.Host  `json:"hosts"`
	Silent   []silentDoctor `json:"silent"`
}

// reportFile is the name of the file that a browser keeps.
const reportFile = "skerry-report.json"

func (p reportPage) file() (name string, doc any) { return reportFile, p.Report }

func (s *snapshot) reportPage(*http.Request) (any, error) {
	p := reportPage{}
	if s.Doctor == nil {
		return p, nil
	}
	r := &doctor.Redactor{}
	r.Name("cluster", s.Cluster)
	r.Name("site", s.Title)
	rows := s.services()
	for _, row := range rows {
		r.Name("service", row.Name)
	}
	for _, m := range s.Processes {
		r.Name("host", hostOf(m.Name))
	}
	e := s.Doctor
	v := &vendorReport{At: e.At, Skerry: s.Release, Services: len(rows), Count: s.instances(), Problems: e.Problems(),
		Hosts: doctor.Redacted(e.Hosts, r), Silent: []silentDoctor{}}
	for _, m := range e.Silent {
		host, rest, _ := strings.Cut(m.Process, "/")
		r.Name("host", host)
		v.Silent = append(v.Silent, silentDoctor{r.Text(host) + "/" + rest, r.Text(m.Why), m.Old})
	}
	p.Made, p.Report, p.Problems = true, v, v.Problems
	return p, nil
}
