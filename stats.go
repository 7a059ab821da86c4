package skerry

import (
	"context"
	"errors"
	"slices"

	"github.com/skerry/skerry/health"
	"github.com/skerry/skerry/health/statlog"
	"github.com/skerry/skerry/internal/membership"
	"github.com/skerry/skerry/internal/state"
)

// newRecorder counts calls for the database's table while the database can be reached, else for a
// log file.
func (n *Node) newRecorder() *health.Recorder {
	var s statSink
	for _, source := range n.sources {
		if db, ok := source.Registry.(health.Sink); ok {
			s = append(s, db)
		}
	}
	file := n.cfg.Stats.File
	if file == "" {
		file = n.files.Path(state.Stats)
	}
	if file != "" {
		s = append(s, statlog.New(statlog.Config{Path: file, MaxSize: n.cfg.Stats.MaxSize >> 20,
			Keep: n.cfg.Stats.Keep}))
	}
	c := health.Config{Period: n.cfg.Stats.Interval, Logger: n.log}
	if len(s) > 0 {
		c.Sinks = []health.Sink{s}
	}
	if c.Period < 0 {
		c.Period, c.Sinks = 0, nil
	}
	return health.NewRecorder(c)
}

// closeStats writes the last counts. The database registry must still run.
func (n *Node) closeStats() error { return n.counting.Stop() }

// statSink writes to the first of its sinks that accepts the rows.
type statSink []health.Sink

func (s statSink) Write(ctx context.Context, rows []health.Row) error {
	rows = ofUsers(rows)
	var all error
	for _, sink := range s {
		err := sink.Write(ctx, rows)
		if err == nil {
			return nil
		}
		all = errors.Join(all, err)
	}
	return all
}

// ofUsers leaves out the calls between skerry's own processes.
func ofUsers(rows []health.Row) []health.Row {
	return slices.DeleteFunc(slices.Clone(rows), func(r health.Row) bool { return membership.Hidden(r.Service) })
}
