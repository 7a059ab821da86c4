package agent

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/artifact"
	"github.com/skerry/skerry/site/plan"
)

const (
	maxPlan      = 1000 << 10 // bytes: with its signature less than a question may have
	maxSignature = 16 << 10
)

var (
	// ErrRefused: a plan may not be obeyed here.
	ErrRefused = errors.New("the plan is refused")
	// ErrLocked: the host takes no plan.
	ErrLocked = errors.New("this host is locked; unlock it with skerry agent unlock")

	errOld = errors.New("a plan that goes back needs a higher number")
)

// held is a plan that an agent has taken, as its file has it.
type held struct {
	By        string    `json:"by"` // the operator that signed it
	At        time.Time `json:"at"`
	Text      string    `json:"text"`
	Signature string    `json:"signature"`

	plan *plan.Plan
}

// SignedPlan is a plan with its signature.
type SignedPlan struct {
	Number    int64
	Text      []byte
	Signature []byte // armored
	By        string // the operator that signed it
	At        time.Time
}

// Digest is the digest of the text; empty without one.
func (p SignedPlan) Digest() artifact.Digest {
	if len(p.Text) == 0 {
		return ""
	}
	sum := sha256.Sum256(p.Text)
	return artifact.Digest("sha256:" + hex.EncodeToString(sum[:]))
}

// signed is the plan for other processes.
func (h *held) signed() SignedPlan {
	if h == nil {
		return SignedPlan{}
	}
	return SignedPlan{Number: h.plan.Number, Text: []byte(h.Text), Signature: []byte(h.Signature), By: h.By, At: h.At}
}

// orders are the plans of a host: the one that is obeyed, and where the next one comes from: a file, and neighbours.
type orders struct {
	config Config
	keep   func(path string, text []byte) error // statedir.WriteFile but in tests

	mu    sync.Mutex
	now   *held // nil: none yet
	rival *held // another plan of the same number that is validly signed: neither is carried out

	// sizes and times of the files when they were read last, and the plan that was obeyed; for the one goroutine that
	// looks
	looked string
	wrong  error // why the plan of the file is not obeyed
}

func openOrders(c Config) (*orders, error) {
	o := &orders{config: c, keep: statedir.WriteFile}
	now, err := o.read(o.path())
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%w; remove it, and the agent takes the plan of %q anew", err, c.Plan)
	}
	o.now = now
	rival, err := o.read(o.rivalPath())
	if err == nil && rival.plan.Number == now.plan.Number && rival.Text != now.Text {
		o.rival = rival
	}
	return o, nil
}

// read reads the file of a plan.
func (o *orders) read(path string) (*held, error) {
	text, err := statedir.ReadFile(path)
	if err != nil {
		return nil, err
	}
	h := &held{}
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("%q: %w", path, err)
	}
	h.plan, err = plan.Parse(path, []byte(h.Text))
	return h, err
}

func (o *orders) path() string { return filepath.Join(o.config.Dir, "plan.json") }

func (o *orders) rivalPath() string { return filepath.Join(o.config.Dir, "plan-conflict.json") }

// current is the plan that is obeyed, and another one with its number.
func (o *orders) current() (now, rival *held) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now, o.rival
}

// conflict says that two plans have one number.
func (o *orders) conflict() error {
	now, rival := o.current()
	if rival == nil {
		return nil
	}
	return fmt.Errorf("two plans have the number %d: %s, which %s signed, and %s, which %s signed; nothing is changed "+
		"until a plan with a higher number comes", now.plan.Number, now.signed().Digest().Short(), now.By,
		rival.signed().Digest().Short(), rival.By)
}

// look takes the plan of the file if it is a newer one and may be obeyed.
func (o *orders) look() error {
	if locked(o.config.Dir) {
		o.looked = ""
		return nil
	}
	now, _ := o.current() // a neighbour may have brought what the file is compared with
	mark := stamp(o.config.Plan) + stamp(o.config.Plan+".sig") + stamp(o.config.Operators) +
		string(now.signed().Digest())
	if mark == o.looked {
		return o.wrong
	}
	o.looked = mark
	o.wrong = o.take()
	return o.wrong
}

// stamp changes when a file does.
func stamp(path string) string {
	info, err := os.Stat(path)
	if err != nil {
		return "-;"
	}
	return fmt.Sprintf("%d %d;", info.Size(), info.ModTime().UnixNano())
}

// take reads the file.
func (o *orders) take() error {
	path := o.config.Plan
	text, err := statedir.ReadNamed(path, maxPlan)
	if now, _ := o.current(); errors.Is(err, fs.ErrNotExist) && (now != nil || o.config.Site != "") {
		return nil // the one that is held goes on, or neighbours bring one
	}
	if err != nil {
		return err
	}
	armored, err := statedir.ReadNamed(path+".sig", maxSignature)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("the plan %q is not signed: ssh-keygen -Y sign -n %s -f KEY %s", path, plan.Namespace, path)
	}
	if err != nil {
		return err
	}
	err = o.accept(fmt.Sprintf("%q", path), text, armored)
	if errors.Is(err, errOld) && o.hasObeyed(text) {
		return nil // neighbours have brought a newer one since
	}
	return err
}

// offer takes a plan that another process has brought.
func (o *orders) offer(text, armored []byte) error {
	switch {
	case locked(o.config.Dir):
		return fmt.Errorf("%w: %w", ErrRefused, ErrLocked)
	case len(text) > maxPlan || len(armored) > maxSignature:
		return fmt.Errorf("%w: it has %d bytes and its signature %d, at most %d and %d are taken", ErrRefused,
			len(text), len(armored), maxPlan, maxSignature)
	}
	if now, _ := o.current(); now != nil && now.Text == string(text) {
		return nil
	}
	if err := o.accept("the plan", text, armored); err != nil {
		return fmt.Errorf("%w: %w", ErrRefused, err)
	}
	return nil
}

// accept obeys a plan if it may be obeyed: a key of the operators has signed it for this cluster, and its number is
// higher. name names it in errors.
func (o *orders) accept(name string, text, armored []byte) error {
	by, err := o.verify(text, armored)
	if err != nil {
		return fmt.Errorf("the signature of %s: %w", name, err)
	}
	p, err := plan.Parse(name, text)
	if err != nil {
		return err
	}
	if p.Cluster != o.config.Cluster {
		return fmt.Errorf("%s is for the cluster %q, and this host is of %q", name, p.Cluster, o.config.Cluster)
	}
	h := &held{By: by, At: time.Now().UTC(), Text: string(text), Signature: string(armored), plan: p}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.now != nil {
		switch number := o.now.plan.Number; {
		case p.Number < number:
			return fmt.Errorf("%s has number %d, and this host obeys %d: %w", name, p.Number, number, errOld)
		case p.Number == number && h.Text == o.now.Text:
			return nil
		case p.Number == number:
			return o.refuseBoth(name, h)
		}
	}
	return o.obey(h)
}

// refuseBoth notes that two plans have one number. The caller holds mu.
func (o *orders) refuseBoth(name string, h *held) error {
	if o.rival == nil {
		out, err := json.Marshal(h)
		if err == nil {
			err = o.keep(o.rivalPath(), out)
		}
		o.rival = h // also when the disk is full
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("%s is another plan with number %d than the one that is obeyed; neither is carried out: sign "+
		"one with a higher number", name, h.plan.Number)
}

// obey makes a plan the one that is obeyed. The caller holds mu.
func (o *orders) obey(h *held) error {
	out, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := o.remember(h.plan.Number, out); err != nil {
		return err
	}
	if err := o.keep(o.path(), out); err != nil {
		return err
	}
	o.now, o.rival = h, nil
	_ = statedir.Remove(o.rivalPath()) // one that stays is of a lower number, and counts no more
	return nil
}

// verify returns the operator that has signed a plan.
func (o *orders) verify(text, armored []byte) (string, error) {
	list, err := keyfile.ReadOperators(o.config.Operators)
	if err != nil {
		return "", err
	}
	blob, err := sshsig.Dearmor(armored)
	if err != nil {
		return "", err
	}
	key, err := sshsig.Verify(blob, plan.Namespace, text)
	if err != nil {
		return "", err
	}
	by, ok := sshsig.NewOperators(list...).Find(key, plan.Namespace)
	if !ok {
		return "", fmt.Errorf("the key %s may not sign %s; %q does not name it", key.Fingerprint(), plan.Namespace,
			o.config.Operators)
	}
	return by, nil
}

const lockName = "locked"

func locked(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, lockName))
	return err == nil
}

// Lock makes the agent of a directory take no new plan, or take them again. What runs goes on in both cases.
func Lock(dir string, locks bool) error {
	path := filepath.Join(dir, lockName)
	if locks {
		return statedir.WriteFile(path, nil)
	}
	if err := statedir.Remove(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
