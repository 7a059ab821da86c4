package postgres

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Limits of the key ring.
const (
	maxKeys = 16
	maxKey  = 256 // bytes
)

// errKeysChanged says that the site's keys are not those that SetKeys was to replace, because
// another operator was faster. The caller reads them and decides again.
var errKeysChanged = errors.New("the site's keys in the database are others than expected")

// secret is the cluster's row of skerry_secret. The zero value stands for no row.
type secret struct {
	state   string // of the row, from the fragment {secret}
	channel string
	keys    []string
}

var channelForm = regexp.MustCompile(`^skerry:[0-9a-f]{40}$`)

// newChannel returns a random name of 160 bits.
func newChannel() string {
	random := make([]byte, 20)
	_, _ = rand.Read(random) // it never fails
	return "skerry:" + hex.EncodeToString(random)
}

const (
	// Values longer than any that skerry writes are cut.
	secretSQL = `SELECT xmin::text, coalesce(left(channel, 100), ''),
			coalesce((SELECT json_agg(left(u.k, 300) ORDER BY u.i)
				FROM unnest(keys) WITH ORDINALITY u(k, i) WHERE u.i <= 20), '[]')::text
		FROM skerry_secret WHERE cluster = @cluster`
	makeSecretSQL = `INSERT INTO skerry_secret (cluster, channel, keys) VALUES (@cluster, @new_channel, @keys)
		ON CONFLICT DO NOTHING`
	setKeysSQL = `UPDATE skerry_secret SET keys = @keys, changed = now(),
		channel = CASE WHEN channel ~ '^skerry:[0-9a-f]{40}$' THEN channel ELSE @new_channel END
		WHERE cluster = @cluster AND keys = @old RETURNING channel`
	fillKeysSQL   = `UPDATE skerry_secret SET keys = @keys, changed = now() WHERE cluster = @cluster AND keys = '{}'`
	tellSecretSQL = `SELECT pg_notify(@channel, json_build_object('c', @cluster::text, 'k', true)::text)`
)

// readSecret reads the row. An odd row returns an oddSecretError.
func (r *Registry) readSecret(ctx context.Context, conn *pgx.Conn) (secret, error) {
	var s secret
	var keys string
	err := serially(ctx, func() error {
		return conn.QueryRow(ctx, secretSQL, r.args()).Scan(&s.state, &s.channel, &keys)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return secret{}, nil
	}
	if err != nil {
		return secret{}, err
	}
	var ring []*string
	if err = json.Unmarshal([]byte(keys), &ring); err == nil {
		for _, k := range ring {
			if k == nil {
				k = new(string)
			}
			s.keys = append(s.keys, *k)
		}
		err = s.check()
	}
	if err != nil {
		return secret{state: s.state}, &oddSecretError{err}
	}
	return s, nil
}

type oddSecretError struct{ error }

// check returns an error for values that skerry would not write, without showing a part of them.
func (s *secret) check() error {
	if !channelForm.MatchString(s.channel) {
		return errors.New("channel is not skerry: and 40 hexadecimal digits")
	}
	return checkKeys(s.keys)
}

func checkKeys(keys []string) error {
	if len(keys) > maxKeys {
		return fmt.Errorf("%d keys, at most %d are allowed", len(keys), maxKeys)
	}
	for i, k := range keys {
		switch {
		case k == "" || len(k) > maxKey:
			return fmt.Errorf("key %d has %d bytes, 1 to %d are allowed", i+1, len(k), maxKey)
		case slices.ContainsFunc([]byte(k), func(c byte) bool { return c <= ' ' || c > '~' }):
			return fmt.Errorf("key %d is not one word of ASCII", i+1)
		case slices.Contains(keys[:i], k):
			return fmt.Errorf("key %d is there twice", i+1)
		}
	}
	return nil
}

// makeSecret writes the missing row, or its keys. It uses the channel and keys that this process
// knows, so a database that lost the row changes no key. Of two first processes one inserts the
// row, and both read it.
func (r *Registry) makeSecret(ctx context.Context, conn *pgx.Conn, found secret) error {
	known := r.currentSecret()
	channel, keys := known.channel, known.keys
	if channel == "" {
		channel = newChannel()
	}
	if len(keys) == 0 && r.cfg.NewKey != nil {
		keys = []string{r.cfg.NewKey()}
	}
	if err := checkKeys(keys); err != nil {
		return fmt.Errorf("make the site's key: %w", err)
	}
	sql := makeSecretSQL
	if found.state != "" {
		sql = fillKeysSQL
	}
	return flushed(ctx, conn, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql,
			pgx.NamedArgs{"cluster": r.cfg.Cluster, "new_channel": channel, "keys": append([]string{}, keys...)})
		return err
	})
}

// currentSecret returns the secret as it was last read.
func (r *Registry) currentSecret() secret {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.secret
}

// learnSecret reads the secret and makes missing parts of it. Without the right to read it, this
// process receives no notifications.
func (s *session) learnSecret(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.r.limit())
	defer cancel()
	before := s.r.currentSecret()
	found, err := s.r.readSecret(ctx, s.conn)
	lacking := found.state == "" || len(found.keys) == 0 && (s.r.cfg.NewKey != nil || len(before.keys) > 0)
	if err == nil && lacking && s.writable && !s.keyless && !s.r.cfg.Observe {
		if err = s.r.makeSecret(ctx, s.conn, found); err == nil {
			found, err = s.r.readSecret(ctx, s.conn)
		}
		if err != nil && !s.lost(err) {
			need := roleOperator // an operator may alter an existing row
			if found.state == "" {
				need = roleService
			}
			s.keyless = true
			s.r.log.Warn("the site's secret in the database can't be made by this user; the next session tries again",
				"err", s.r.explain(err, need))
			err = nil
		}
	}
	odd, isOdd := errors.AsType[*oddSecretError](err)
	switch {
	case isOdd:
		s.secretive = true
		s.r.odd.add("skerry_secret", true, oddRow("skerry_secret", odd, s.r.cfg.Cluster))
		s.r.mu.Lock()
		s.r.secret.state = found.state // the rest stays as it was
		s.r.mu.Unlock()
		return nil
	case err == nil:
		s.secretive = true
		s.r.odd.add("skerry_secret", true)
		s.r.learn(found)
		if found.rewrites(&before) {
			s.restored()
		}
		if s.r.currentSecret().channel != s.channel {
			s.asked.at = time.Now() // ends the wait, so that the session listens to the new channel
		}
		return nil
	case s.lost(err):
		return fmt.Errorf("read the site's secret: %w", err)
	case sqlState(err) == noRight:
		s.secretive = false
		s.r.mu.Lock()
		said := s.r.deaf
		s.r.deaf, s.r.secret.channel, s.r.secret.state = true, "", ""
		s.r.mu.Unlock()
		if !said {
			s.r.log.Warn(
				"the user may not read skerry_secret: changes are seen by polling only, and the site's key is not "+
					"known from here; a member of the site needs the rights of `skerry schema --grant-reader`",
				"user",
				s.r.conn.User,
				"every",
				s.r.cfg.tick(),
			)
		}
		return nil
	}
	s.r.log.Warn("the site's secret was not read; the next poll tries again", "err", err)
	return nil
}

// rewrites reports whether the row was written again with the same content, as a restored backup does.
func (s *secret) rewrites(before *secret) bool {
	return before.state != "" && s.state != "" && s.state != before.state &&
		s.channel == before.channel && slices.Equal(s.keys, before.keys)
}

// restored makes the next beat read everything, because the database may be an older copy. The
// revisions do not always show that: they may have grown beyond the known one again.
func (s *session) restored() {
	s.m.older, s.reread = time.Now(), true
	s.next = time.Now()
	s.r.log.Info("the database was restored, perhaps from an older copy; all lists are read again")
}

// learn records the secret that was read and passes new keys on. A lost row or ring changes no key,
// and each poll reads the secret until it is there again.
func (r *Registry) learn(found secret) {
	r.mu.Lock()
	before := r.secret
	if len(found.keys) == 0 && (len(before.keys) > 0 || r.cfg.NewKey != nil) {
		found.state, found.keys = "", before.keys
	}
	if found.channel == "" {
		found.channel = before.channel
	}
	r.secret, r.deaf = found, false
	r.mu.Unlock()
	known := func(key string) bool { return slices.Contains(before.keys, key) }
	if len(before.keys) > 0 && len(found.keys) > 0 && !slices.ContainsFunc(found.keys, known) { // a rotation keeps one
		r.log.Error("the database has other keys of the site than before, as a copy from before a rotation has; this " +
			"process follows them; if a key was given up because strangers know it: skerry key rotate")
	}
	if !slices.Equal(found.keys, before.keys) && r.cfg.Secret != nil {
		r.cfg.Secret(slices.Clone(found.keys))
	}
}

// Keys reads the site's keys, possibly none: the first signs, all verify. It uses a connection of
// its own and works without Run.
func (r *Registry) Keys(ctx context.Context) ([]string, error) {
	conn, err := r.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the site's keys: %w", unavailable(err))
	}
	defer hangUp(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, stmtTime)
	defer cancel()
	found, err := r.readSecret(ctx, conn)
	if odd, ok := errors.AsType[*oddSecretError](err); ok {
		return nil, fmt.Errorf("read the site's keys: the row of cluster %s in skerry_secret makes no sense: %w; "+
			"let an operator delete the row: a running process writes it again with the keys that it knows",
			r.cfg.Cluster, odd)
	}
	if err != nil {
		return nil, fmt.Errorf("read the site's keys: %w", r.explainQuestion(err, roleReader))
	}
	return found.keys, nil
}

// SetKeys replaces the site's keys when they equal old, else it fails. It notifies every process.
// It needs the rights of an operator, uses a connection of its own, and works without Run.
func (r *Registry) SetKeys(ctx context.Context, old, keys []string) error {
	err := checkKeys(keys)
	if err == nil && len(keys) == 0 {
		err = errors.New("no key is left")
	}
	if err != nil {
		return fmt.Errorf("write the site's keys: %w", err)
	}
	conn, err := r.connect(ctx)
	if err != nil {
		return fmt.Errorf("write the site's keys: %w", unavailable(err))
	}
	defer hangUp(ctx, conn)
	ctx, cancel := context.WithTimeout(ctx, 2*stmtTime)
	defer cancel()
	channel := ""
	err = flushed(ctx, conn, func(tx pgx.Tx) (err error) {
		channel, err = r.replaceKeys(ctx, tx, old, keys)
		return err
	})
	if err == nil && channel != "" {
		r.announce(ctx, conn, tellSecretSQL, pgx.NamedArgs{"cluster": r.cfg.Cluster, "channel": channel})
	}
	if err != nil && !errors.Is(err, errKeysChanged) {
		err = r.explain(r.held(ctx, conn, err, "skerry_secret"), roleOperator)
	}
	if err != nil {
		return fmt.Errorf("write the site's keys: %w", err)
	}
	return nil
}

// replaceKeys returns the channel of the listeners, or "" when no process listens yet.
func (r *Registry) replaceKeys(ctx context.Context, tx pgx.Tx, old, keys []string) (channel string, err error) {
	args := pgx.NamedArgs{
		"cluster":     r.cfg.Cluster,
		"keys":        keys,
		"old":         append([]string{}, old...),
		"new_channel": newChannel(),
	}
	err = tx.QueryRow(ctx, setKeysSQL, args).Scan(&channel)
	if !errors.Is(err, pgx.ErrNoRows) {
		return channel, err
	}
	if len(old) > 0 {
		return "", errKeysChanged
	}
	tag, err := tx.Exec(ctx, makeSecretSQL, args)
	if err == nil && tag.RowsAffected() == 0 {
		err = errKeysChanged
	}
	return "", err
}

// listen listens to the current channel. After a change it also listens to the earlier channel for
// two more polls, for writers that have not read the new one. A notification there only causes a
// read.
func (s *session) listen(ctx context.Context) error {
	channel := s.r.currentSecret().channel
	if channel == s.channel {
		if s.former != "" && time.Now().After(s.formerEnds) {
			err := s.exec(ctx, "UNLISTEN "+pgx.Identifier{s.former}.Sanitize())
			s.former = ""
			return err
		}
		return nil
	}
	if channel != "" {
		if err := s.exec(ctx, "LISTEN "+pgx.Identifier{channel}.Sanitize()); err != nil {
			return err
		}
	}
	if s.former != "" && s.former != channel {
		if err := s.exec(ctx, "UNLISTEN "+pgx.Identifier{s.former}.Sanitize()); err != nil {
			return err
		}
	}
	s.former, s.formerEnds = s.channel, time.Now().Add(2*s.r.cfg.tick())
	if !s.full.IsZero() {
		s.next = time.Now() // read the changes from before this process listened
	}
	s.channel = channel
	s.listening = channel != ""
	return nil
}
