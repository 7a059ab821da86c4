package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/skerry/skerry/registry"
)

// fullEvery is the interval of full reads, which find rows edited by hand. All processes together
// read the square of their number each time. A site of up to 250 therefore reads each minute, and
// one of a thousand each quarter of an hour.
func fullEvery(processes int64) time.Duration {
	n := time.Duration(min(processes, 1000))
	return max(time.Minute, n*n*(15*time.Minute)/1e6)
}

// head is the first part of each answer to beatSQL and readSQL. entries are the changes after it.
type head struct {
	now, rev, kept    int64
	settled, writable bool
	expiring          bool  // a process expires leases in the table as they run out
	spacing           int64 // of notifications, µs
	leased, mine      int
	mineRev           int64 // the highest revision of the rows of this process
	pulsed, clean     bool
	newest            []int64 // of the rule log: timeline and number
	policy            *string // newest entry of the policy log: number and hash
	secret            *string // state of the row of the secret; nil: no row, or no right to read it
	free              *int64  // connections that the server still takes; nil: not asked
	stale             []string
	entries           []listing
	wrote             bool // it was a beat
	empty             bool // the rows of the cluster are missing: it says nothing of leases
}

// listing is one instance of an answer, as text of an entry.
type listing struct {
	text   []byte
	lapsed bool // its lease has run out
}

const many = 5000 // changes in an answer from which a full read follows

// sync is one beat: it renews the lease, reads, publishes, and does what the answer asks for.
func (s *session) sync(ctx context.Context, services []string, all, full bool) error {
	s.lastRead = time.Now()
	full = full || s.reread || time.Since(s.full) > fullEvery(s.r.size.Load()) || s.m.rev == 0
	h, err := s.exchange(ctx, services, all, full)
	if err != nil {
		return err
	}
	// A full read follows when an older database came back, removed rows were cleaned away, there
	// are too many changes, or a settled database can show which doubted instances are gone. A standby
	// that has caught up has new heartbeats without new revisions.
	again := !full && (h.rev < s.m.rev || s.m.rev < h.kept || len(h.entries) >= many ||
		h.settled && (s.m.doubted || s.lagged))
	trusting := s.listening && h.expiring
	if again || s.trusting && !trusting || h.settled && s.m.anyNew(h.stale) {
		full, s.trusting = full || again, trusting
		first := h
		if h, err = s.exchange(ctx, services, all, full); err != nil {
			return err
		}
		h.pulsed, h.clean = h.pulsed || first.pulsed, h.clean || first.clean
	}
	s.trusting, s.lagged = trusting, s.standby && !h.settled
	if err := s.compareSecret(ctx, h.secret); err != nil {
		return err
	}
	s.r.size.Store(max(0, h.spacing) / 100) // a tenth of a millisecond for each process
	s.noteFree(h.free)
	if h.rev < s.m.rev {
		s.m.older = time.Now()
	}
	// An owner missing in a restored database has a heartbeat's time to come back.
	h.settled = h.settled && time.Since(s.m.older) > s.r.cfg.pause()
	s.up()
	s.apply(h, services, all, full)
	// The policy comes first: a process that starts waits for the rules.
	if err := s.comparePolicy(ctx, h); err != nil {
		return err
	}
	if err := s.compare(ctx, h.newest); err != nil {
		return err
	}
	return s.afterBeat(ctx, h)
}

// apply merges an answer into the model and publishes it.
func (s *session) apply(h head, services []string, all, full bool) {
	now := time.Now()
	rows := s.rows(h.entries, now, full)
	if full {
		s.m.replace(rows, h.stale, h.settled)
		s.m.sees(services, all)
		s.full, s.reread = now, false
		s.readAll, s.read = all, make(map[string]bool, len(services))
		for _, service := range services {
			s.read[service] = true
		}
	} else {
		s.expectNotification(len(rows))
		s.m.merge(rows)
	}
	s.m.rev = h.rev
	if !h.empty {
		s.m.judge(h.stale, h.settled, now)
	}
	if full {
		s.m.publish(s.r.publisher, services...)
	} else {
		s.m.publish(s.r.publisher)
	}
	if full && all {
		s.r.publisher.Publish(registry.AllServices, nil)
	}
	s.r.publisher.Confirm()
}

// expectNotification detects that notifications do not arrive: reads bring changes that
// notifications should have brought. One read may overtake its notification.
func (s *session) expectNotification(news int) {
	if !s.listening || news == 0 || s.deafLogged {
		return
	}
	if s.quiet++; s.quiet < 3 {
		return
	}
	s.deafLogged = true
	s.r.log.Warn("notifications do not arrive, perhaps because of a connection pooler; changes are seen by polling",
		"every", s.r.cfg.tick())
}

// exchange sends the beat. A connection that may not write reads instead.
func (s *session) exchange(ctx context.Context, services []string, all, full bool) (head, error) {
	args := s.r.args()
	args["since"] = s.m.rev
	args["services"] = append([]string{}, services...)
	if all {
		args["services"] = []string(nil)
	}
	args["owners"], args["crowd"] = s.suspects(full), s.checksConnections()
	if s.writable {
		h, err := s.either(ctx, beatSQL, full, all, args)
		if errors.Is(err, errNoCluster) || err == nil && h.spacing < 0 {
			first := h.leased // the second beat finds the lease valid
			if err = s.join(ctx); err == nil {
				h, err = s.either(ctx, beatSQL, full, all, args)
				h.leased = min(h.leased, first)
			}
		}
		if err == nil {
			h.wrote, s.refused = true, time.Time{}
			s.relist(h)
			return h, nil
		}
		if s.lost(err) || sqlState(err) == tooSlow {
			return head{}, fmt.Errorf("heartbeat: %w", err)
		}
		if err := s.refuse(ctx, err); err != nil {
			return head{}, err
		}
		s.writable, s.refused = false, time.Now()
	}
	// After a refused beat, this process assumes that no process can write.
	args["watching"] = s.refused.IsZero() && time.Since(s.connected) > s.r.cfg.pause()
	h, err := s.either(ctx, readSQL, full, all, args)
	if errors.Is(err, errNoCluster) {
		return head{writable: true, empty: true}, nil // no process has ever registered here, or they were lost
	}
	if err != nil {
		return head{}, fmt.Errorf("read: %w", err)
	}
	return h, nil
}

// relist lists everything again when a heartbeat found the own lease run out, because readers may
// have left this process out. Only the first answer says so, since a second beat finds the lease
// valid.
func (s *session) relist(h head) {
	if h.leased == 0 && s.r.registrar.Listed() > 0 {
		s.r.registrar.Refresh()
	}
}

// refuse handles a heartbeat that the database refused. While another session holds the lease, this
// process shows by its instances that it lives.
func (s *session) refuse(ctx context.Context, why error) error {
	first := s.refused.IsZero()
	if sqlState(why) != lockedNow {
		if first {
			s.r.log.Warn("heartbeat is refused; reading only", "err", s.r.explain(why, roleService))
		}
		return nil
	}
	if first {
		s.r.log.Warn("the lease can't be renewed; this process shows by its instances that it lives",
			"err", s.r.held(ctx, s.conn, why, "skerry_lease"))
	}
	if _, err := s.cleanOne(ctx, vouchSQL); err != nil {
		if s.lost(err) {
			return fmt.Errorf("heartbeat: %w", err)
		}
		s.r.log.Info("the instances are held, too", "err", err)
	}
	return nil
}

// either sends the statement with the state of the rule log, the policy and the secret, or without
// them after the right was revoked.
func (s *session) either(ctx context.Context, r reading, full, all bool, args pgx.NamedArgs) (head, error) {
	of := logs{s.ruled, s.policied, s.secretive}
	h, err := s.query(ctx, r.pick(full, all, of), args)
	if of != (logs{}) && sqlState(err) == noRight {
		s.ruled, s.policied = false, false
		if err := s.learnSecret(ctx); err != nil { // which finds out whether this process has the right
			return h, err
		}
		h, err = s.query(ctx, r.pick(full, all, logs{secret: s.secretive}), args)
	}
	return h, err
}

// suspects returns the owners of the leases that this process checks itself. While another process
// expires leases in the table, and this one receives changes, these are only the owners in stale:
// checking all would cost the database the square of the number of processes. A full read leaves
// out lapsed leases, so it checks the owners of all listed instances.
func (s *session) suspects(full bool) []string {
	if s.trusting && !full {
		return append([]string{}, slices.Sorted(maps.Keys(s.m.stale))...)
	}
	return s.m.owners(s.r.cfg.Owner.String())
}

func (s *session) query(ctx context.Context, sql string, args pgx.NamedArgs) (h head, err error) {
	err = serially(ctx, func() error {
		h, err = s.queryOnce(ctx, sql, args)
		return err
	})
	return h, err
}

func (s *session) queryOnce(ctx context.Context, sql string, args pgx.NamedArgs) (head, error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	var h head
	asked := time.Now()
	rows, err := s.conn.Query(ctx, sql, args)
	if err != nil {
		return h, err
	}
	defer rows.Close()
	any := false
	for rows.Next() {
		any = true
		var text *string
		var lapsed *bool
		err := rows.Scan(&h.now, &h.rev, &h.kept, &h.settled, &h.writable, &h.expiring, &h.spacing, &h.leased,
			&h.mine, &h.mineRev, &h.pulsed, &h.clean, &h.newest, &h.policy, &h.secret, &h.free, &h.stale,
			&text, &lapsed)
		if err != nil {
			return h, err
		}
		if text != nil {
			h.entries = append(h.entries, listing{[]byte(*text), lapsed != nil && *lapsed})
		}
	}
	if err := rows.Err(); err != nil {
		return h, err
	}
	if !any {
		return h, errNoCluster
	}
	s.checkHead(&h)
	s.r.clock.set(h.now, asked)
	s.r.resetLimit(time.Since(asked))
	return h, nil
}

// checkHead replaces a revision out of range by 0. Each poll then reads everything until a writer's
// next change corrects it.
func (s *session) checkHead(h *head) {
	if !s.r.odd.checkRevision(s.r.cfg.Cluster, h.rev, h.kept) {
		h.rev, h.kept = 0, 0
	}
}
