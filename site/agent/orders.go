package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/skerry/skerry/internal/keyfile"
	"github.com/skerry/skerry/internal/sshsig"
	"github.com/skerry/skerry/internal/statedir"
	"github.com/skerry/skerry/site/plan"
)

const (
	maxPlan      = 1 << 20 // bytes
	maxSignature = 16 << 10
)

// held is the plan that an agent obeys, as its file has it.
type held struct {
	By        string    `json:"by"` // the operator that signed it
	At        time.Time `json:"at"`
	Text      string    `json:"text"`
	Signature string    `json:"signature"`

	plan *plan.Plan
}

// orders are the plans of a host: the one that is obeyed, and the file from which the next one comes.
type orders struct {
	config Config
	now    *held // nil: none yet

	looked string // sizes and times of the files when they were read last
	wrong  error  // why the plan of the file is not obeyed
}

func openOrders(c Config) (*orders, error) {
	o := &orders{config: c}
	text, err := statedir.ReadFile(o.path())
	if errors.Is(err, fs.ErrNotExist) {
		return o, nil
	}
	if err != nil {
		return nil, err
	}
	h := &held{}
	if err := json.Unmarshal(text, h); err != nil {
		return nil, fmt.Errorf("%q: %w; remove it, and the agent takes the plan of %q anew", o.path(), err, c.Plan)
	}
	if h.plan, err = plan.Parse(o.path(), []byte(h.Text)); err != nil {
		return nil, err
	}
	o.now = h
	return o, nil
}

func (o *orders) path() string { return filepath.Join(o.config.Dir, "plan.json") }

// look takes the plan of the file if it is a newer one and may be obeyed.
func (o *orders) look() error {
	if locked(o.config.Dir) {
		o.looked = ""
		return nil
	}
	mark := stamp(o.config.Plan) + stamp(o.config.Plan+".sig") + stamp(o.config.Operators)
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

func (o *orders) take() error {
	path := o.config.Plan
	text, err := statedir.ReadNamed(path, maxPlan)
	if errors.Is(err, fs.ErrNotExist) && o.now != nil {
		return nil // the one that is held goes on
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
	by, err := o.verify(text, armored)
	if err != nil {
		return fmt.Errorf("the signature of %q: %w", path, err)
	}
	p, err := plan.Parse(path, text)
	if err != nil {
		return err
	}
	if p.Cluster != o.config.Cluster {
		return fmt.Errorf("%q is for the cluster %q, and this host is of %q", path, p.Cluster, o.config.Cluster)
	}
	if o.now != nil {
		switch number := o.now.plan.Number; {
		case p.Number < number:
			return fmt.Errorf("%q has number %d, and this host obeys %d; give a plan that goes back a higher number",
				path, p.Number, number)
		case p.Number == number && string(text) == o.now.Text:
			return nil
		case p.Number == number:
			return fmt.Errorf("%q is another plan with number %d than the one that is obeyed; give it a higher number",
				path, number)
		}
	}
	h := &held{By: by, At: time.Now().UTC(), Text: string(text), Signature: string(armored), plan: p}
	out, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := statedir.WriteFile(o.path(), out); err != nil {
		return err
	}
	o.now = h
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
