package keyfile

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/sitekey"
	"github.com/skerry/skerry/internal/sshsig"
)

// Period is the time between two reads of the files.
const Period = 5 * time.Second

// watch keeps the result of the last good read.
type watch[T any] struct {
	read func() ([]T, error)
	set  func([]T)
	id   func(T) string   // equal for the same value
	void func(error) bool // whether an error means that the list is empty; nil: no error does

	mu      sync.Mutex
	good    []T
	pending []string // ids of the last read, if some were missing
	trouble string
	voided  bool // the last read found an empty list
}

func (w *watch[T]) look() error {
	list, err := w.read()
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.pending = nil
		void := w.void != nil && w.void(err)
		if void && w.voided { // confirmed: the file is not just being replaced
			w.good = nil
			w.set(nil)
		}
		w.voided = void
		if text := err.Error(); text != w.trouble {
			w.trouble = text
			return err
		}
		return nil
	}
	w.trouble, w.voided = "", false
	ids := w.ids(list)
	lacks := slices.ContainsFunc(w.ids(w.good), func(id string) bool { return !slices.Contains(ids, id) })
	if lacks && !slices.Equal(w.pending, ids) {
		w.pending = ids
		return nil
	}
	w.good, w.pending = list, nil
	w.set(list)
	return nil
}

func (w *watch[T]) ids(list []T) []string {
	out := make([]string, 0, len(list)) // not nil: nil means that no change is pending
	for _, e := range list {
		out = append(out, w.id(e))
	}
	return out
}

func (w *watch[T]) last() []T {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.good)
}

func (w *watch[T]) problem() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.trouble
}

func (w *watch[T]) run(ctx context.Context, report func(error)) error {
	tick := time.NewTicker(Period)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			bad := w.problem() != ""
			if err := w.look(); err != nil || bad && w.problem() == "" {
				report(err)
			}
		}
	}
}

// Key is a site key with its place in a file.
type Key struct {
	sitekey.Line
	Path string
}

// Place is the place as FILE:LINE.
func (k Key) Place() string {
	if k.Number == 0 {
		return k.Path
	}
	return fmt.Sprintf("%s:%d", k.Path, k.Number)
}

// Keys are the key files of a process.
type Keys struct {
	w    watch[Key]
	ring *sitekey.Ring
}

// OpenKeys reads the key files of a cluster: the named ones, else the first of Places that exists.
// Without any file the ring is empty, and a later read may fill it.
func OpenKeys(cluster string, files []string) (*Keys, error) {
	k := &Keys{ring: sitekey.NewRing()}
	k.w = watch[Key]{
		read: func() ([]Key, error) {
			list, err := findKeys(cluster, files)
			if err == nil && len(list) == 0 && len(k.ring.Keys()) > 0 {
				err = fmt.Errorf("the key file %s is gone; the process keeps its key until it ends", k.Found()[0].Path)
			}
			return list, err
		},
		set: func(list []Key) { k.ring.Set(plain(list)) },
		id:  func(e Key) string { return e.Key.Text() },
	}
	return k, k.w.look()
}

// Ring is the ring for the rest of the process. It changes with the files.
func (k *Keys) Ring() *sitekey.Ring { return k.ring }

// Found is every key with its place, from the last good read.
func (k *Keys) Found() []Key { return k.w.last() }

// Look reads the files again. It returns an error once, until the error changes.
func (k *Keys) Look() error { return k.w.look() }

// Problem is the error of the last read; "" without one.
func (k *Keys) Problem() string { return k.w.problem() }

// Run reads the files every Period until ctx ends. It reports each error once, and nil when the
// files are good again.
func (k *Keys) Run(ctx context.Context, report func(error)) error { return k.w.run(ctx, report) }

func plain(list []Key) []sitekey.Key {
	var keys []sitekey.Key
	for _, e := range list {
		keys = append(keys, e.Key)
	}
	return keys
}

// findKeys reads the named files, or the first place that exists. It skips a place that this user
// may not read if there is one that it may.
func findKeys(cluster string, files []string) ([]Key, error) {
	if len(files) > 0 {
		return readAll(files)
	}
	var denied error
	for _, path := range Places(cluster) {
		list, err := readAll([]string{path})
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, fs.ErrPermission):
			denied = errors.Join(denied, err)
		default:
			return list, err
		}
	}
	return nil, denied
}

func readAll(files []string) ([]Key, error) {
	var all []Key
	for _, path := range files {
		text, err := read(path, secret, maxKeys)
		if err != nil {
			return nil, err
		}
		list, err := sitekey.ParseList(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		for _, l := range list {
			if i := slices.IndexFunc(all, func(k Key) bool { return k.Key == l.Key }); i >= 0 {
				return nil, fmt.Errorf("%s: line %d: the same key stands in %s; take one of them out",
					path, l.Number, all[i].Path)
			}
			all = append(all, Key{l, path})
		}
	}
	if len(all) > sitekey.Most {
		return nil, fmt.Errorf("%s hold %d keys, at most %d are taken",
			strings.Join(files, " and "), len(all), sitekey.Most)
	}
	return all, nil
}

// Operators is the file of operators of a process.
type Operators struct {
	w         watch[sshsig.Operator]
	operators *sshsig.Operators
}

// NoOperator reports whether an error of Look says that the file has no operator any more: it is
// empty, or gone. After the next read with the same result, no operator may sign.
func NoOperator(err error) bool {
	return errors.Is(err, sshsig.ErrNone) || errors.Is(err, fs.ErrNotExist)
}

// OpenOperators reads a file of operators.
func OpenOperators(path string) (*Operators, error) {
	o := &Operators{operators: sshsig.NewOperators()}
	o.w = watch[sshsig.Operator]{
		void: NoOperator,
		read: func() ([]sshsig.Operator, error) {
			text, err := read(path, public, sshsig.MaxFile)
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf(
					"%w; copy it from a host that has it, or begin it: skerry operator add NAME KEY.pub", err)
			}
			if err != nil {
				return nil, err
			}
			return sshsig.ParseOperators(path, text)
		},
		set: o.operators.Set,
		id: func(op sshsig.Operator) string {
			return op.Name + " " + op.Key.String() + strings.Join(op.Namespaces, ",")
		},
	}
	return o, o.w.look()
}

// Trusted is the set of operators for the rest of the process. It changes with the file.
func (o *Operators) Trusted() *sshsig.Operators { return o.operators }

// Look reads the file again. It returns an error once, until the error changes.
func (o *Operators) Look() error { return o.w.look() }

// Problem is the error of the last read; "" without one.
func (o *Operators) Problem() string { return o.w.problem() }

// Run reads the file every Period until ctx ends. It reports each error once, and nil when the file
// is good again.
func (o *Operators) Run(ctx context.Context, report func(error)) error { return o.w.run(ctx, report) }
